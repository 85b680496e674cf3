"""The virtual environment: `.venv` holds exactly what requirements.lock pins, checked by hash.

A stamp written last says for which lock, Python and folder it was made; without it `.venv` is half done and
is made anew. Standard library only.
"""

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.local import packages
from infra.local.problems import Problem, check_room


def ready(root: str) -> str:
    """The path of `.venv`'s python, after installing what is missing; ends the process with a sentence."""
    venv = Path(root, ".venv")
    lock = Path(root, "requirements.lock").read_bytes()
    made_for = f"{venv} {sys.version.split()[0]}"
    stamp = f"{made_for}\n{hashlib.sha256(lock).hexdigest()}\n"
    try:
        if not _is_stamped(venv, stamp):
            with _alone(Path(root)):
                if not _is_stamped(venv, stamp):
                    _set_up(venv, made_for, lock.decode())
                    (venv / "stamp").write_text(stamp)
    except Problem as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit("Stopped; the next 'make' starts the setting up again.")
    return str(venv / "bin" / "python")


def _is_stamped(venv: Path, stamp: str) -> bool:
    try:
        return (venv / "stamp").read_text() == stamp and os.access(venv / "bin" / "python", os.X_OK)
    except OSError:
        return False


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """One setting up at a time in a clone; the second waits and finds the work done."""
    home = root / ".conveyor"
    home.mkdir(mode=0o700, exist_ok=True)
    with (home / "setup.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print("Another 'make' is setting up .venv: waiting for it …", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _set_up(venv: Path, made_for: str, lock: str) -> None:
    check_room(venv.parent)
    stamp = venv / "stamp"
    if stamp.exists() and stamp.read_text().startswith(made_for) and os.access(venv / "bin/python", os.X_OK):
        stamp.unlink()
    else:
        _create(venv)
    _install(venv, lock)


def _create(venv: Path) -> None:
    """An empty environment, with pip where nothing else can install into it."""
    shutil.rmtree(venv, ignore_errors=True)
    if not shutil.which("uv") and not _has("ensurepip") and not _has("pip"):
        packages.install(f"python3.{sys.version_info.minor}-venv", "the venv package of Python")
    print(f"Creating .venv with Python {sys.version.split()[0]} …", flush=True)
    pip = [] if _has("ensurepip") else ["--without-pip"]
    made = subprocess.run([sys.executable, "-m", "venv", *pip, str(venv)], capture_output=True, check=False)
    if made.returncode:
        raise Problem(
            f"Python could not create {venv}: {(made.stdout + made.stderr).decode().strip()[-300:]}"
        )


def _has(module: str) -> bool:
    importlib.invalidate_caches()
    return importlib.util.find_spec(module) is not None


def _install(venv: Path, lock: str) -> None:
    requirements = ["--require-hashes", "-r", str(venv.parent / "requirements.lock")]
    python = str(venv / "bin" / "python")
    count = len(re.findall(r"^[a-zA-Z0-9]", lock, flags=re.MULTILINE))
    print(f"Installing the {count} packages of requirements.lock into .venv …", flush=True)
    if uv := shutil.which("uv"):
        if (
            subprocess.run([uv, "pip", "install", "--python", python, *requirements], check=False).returncode
            == 0
        ):
            return
        print("uv could not; trying pip …", flush=True)
    own_pip = (
        subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0
    )
    pip = [python, "-m", "pip"] if own_pip else [sys.executable, "-m", "pip", "--python", python]
    _watch([*pip, "install", "--progress-bar", "off", "--disable-pip-version-check", *requirements], count)


def _watch(command: list[str], count: int) -> None:
    """Run pip, show how many packages it has, and where it fails say its last words."""
    said: list[str] = []
    seen, shown = 0, time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            if "is ignored: it is" in line:
                continue
            said = [*said[-7:], line.strip()]
            seen += line.startswith("Collecting ")
            if line.startswith("Installing collected") or (
                line.startswith("Collecting ") and time.monotonic() > shown + 2
            ):
                shown = time.monotonic()
                what = line.split()[1] if line.startswith("Collecting") else "unpacking"
                print(f"  {min(seen, count)}/{count} {what}", flush=True)
    if pip.returncode:
        raise Problem(
            "pip could not install requirements.lock (is the network there?). It said:\n  "
            + "\n  ".join(said)
        )
