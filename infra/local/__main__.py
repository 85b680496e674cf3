"""`python -m infra.local VERB`: what the Makefile's targets do once `.venv` is ready."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from infra.containers import running as containers
from infra.local import background, following, requirements, screen
from infra.local.clone import Clone, wished_environment
from infra.local.passwords import private_folder
from infra.local.problems import Problem
from infra.local.runner import Runner
from infra.local.system import CONVEYOR
from infra.local.table import table

ALL_TESTS = ["--numprocesses=3", "--dist=loadfile", "--no-loadscope-reorder", "--durations=20"]
"""Files beside each other, each process with servers of its own: most of their time is waiting.

In the order of `testpaths`: the slow stories begin, the many quick ones fill up the end.
"""
CLONE = Clone(Path(__file__).resolve().parents[2])


def run() -> None:
    """The whole system in this terminal."""
    with CLONE.locked():
        requirements.check(CLONE, CONVEYOR)
        runner = Runner(CLONE, CONVEYOR, screen.say)
        runner.run(lambda: screen.show(runner, table(CONVEYOR, runner.addresses)))


def in_background() -> None:
    """What `make up` starts."""
    with CLONE.locked():
        Runner(CLONE, CONVEYOR, screen.say).run()


def clean_data(force: bool) -> None:
    """Remove what the servers stored."""
    if CLONE.runs():
        raise Problem("Conveyor runs here: stop it first ('make down', or Ctrl-C where 'make run' runs).")
    if not force:
        if not sys.stdin.isatty():
            raise Problem(
                "This removes all data of this clone; without a terminal to ask, "
                "say 'make clean-data FORCE=1'."
            )
        if input(f"Remove all data in {CLONE.home}? Type yes: ").strip() != "yes":
            raise Problem("Nothing was removed.")
    with CLONE.locked():
        for name in ("blobs", "mongodb", "postgresql", "rabbitmq"):
            shutil.rmtree(CLONE.home / name, ignore_errors=True)
        for file in CLONE.home.glob("*.db*"):  # SQLite's, with their logs and locks
            file.unlink()
    print("The data is removed; the next start begins empty.")


def check() -> int:
    """Every check, also after one has failed."""
    commands = [
        ["-m", "ruff", "check", "."],
        ["-m", "ruff", "format", "--check", "."],
        ["-m", "mypy", "."],
        ["-m", "infra.containers.compose_check"],
    ]
    if _has_import_rules():
        commands.append(["-c", "from importlinter.cli import lint_imports_command as check; check()"])
    return max([_python(*command) for command in commands])


def _has_import_rules() -> bool:
    return (CLONE.root / ".importlinter").exists() or "tool.importlinter" in (
        CLONE.root / "pyproject.toml"
    ).read_text()


def format_code() -> int:
    """Sort imports, fix what can be fixed, format."""
    return max(_python("-m", "ruff", "check", "--fix", "."), _python("-m", "ruff", "format", "."))


def _python(*arguments: str) -> int:
    return subprocess.run([sys.executable, *arguments], cwd=CLONE.root, check=False).returncode


def against_what_runs(module: str, arguments: list[str]) -> None:
    """Become a program that talks to the running system."""
    addresses = _running()
    if not addresses:
        raise Problem(background.NOTHING_RUNS)
    _become(["-m", module, *arguments], addresses)


def _running() -> dict[str, str]:
    """The addresses of what runs here, as processes or in containers; none where nothing does."""
    return CLONE.addresses() if CLONE.runs() else containers.addresses(CLONE)


def topology(arguments: list[str]) -> None:
    """Become the program that looks at the broker: the one that runs here, else the one that was given."""
    given = CLONE.given()
    chosen = given if given.get("RABBITMQ_URL") and not CLONE.runs() else _running() or given
    _become(["-m", "infra.topology_check", *arguments], chosen)


def desk(arguments: list[str]) -> int:
    """Work with what failed, wherever the desk is."""
    arguments = arguments or ["groups"]
    if not CLONE.runs() and containers.addresses(CLONE):
        return containers.desk(CLONE, arguments)
    against_what_runs("desk_service", arguments)
    return 0


def story(arguments: list[str]) -> None:
    """Become the program that reads the logs of this clone."""
    given, *options = arguments
    if not given:
        raise Problem(
            "Which story? Say the id of a message, an operation or a resource: make story ID=/tasks/…"
        )
    in_containers = not CLONE.runs() and containers.addresses(CLONE)
    logs = containers.logs(CLONE) if in_containers else CLONE.logs
    _become(["-m", "infra.story", "--logs", str(logs), *options, "--", given])


def _become(arguments: list[str], settings: dict[str, str] | None = None) -> None:
    os.chdir(CLONE.root)
    os.execve(sys.executable, [sys.executable, *arguments], wished_environment() | (settings or {}))


def main(verb: str, arguments: list[str]) -> int:
    """Do what `verb` says; its exit code."""
    verbs: dict[str, Callable[[], int | None]] = {
        "run": run,
        "up": lambda: background.up(CLONE, CONVEYOR),
        "background": in_background,
        "down": lambda: background.down(CLONE),
        "status": lambda: background.status(CLONE),
        "logs": lambda: following.follow(CLONE, arguments),
        "clean-data": lambda: clean_data("--force" in arguments),
        "test": lambda: _become(["-m", "pytest", *(arguments or ALL_TESTS)]),
        "faults": lambda: _become(["-m", "tests.faults", *arguments]),
        "bench": lambda: _become(["-m", "benchmarks", *arguments]),
        "check": check,
        "format": format_code,
        "compose-test": lambda: _become(["-m", "tests.compose", *arguments]),
        "settings": lambda: _become(["-m", "infra.containers.settings_table"]),
        "upgrade": lambda: _become(["-m", "infra.containers.upgrade"]),
        "backup": lambda: _become(["-m", "infra.containers.backup", "backup", *arguments]),
        "restore": lambda: _become(["-m", "infra.containers.backup", "restore", *arguments]),
        "secrets": lambda: _become(["-m", "infra.containers.secrets", *arguments]),
        "examples": lambda: _become(["-m", "infra.examples"]),
        "demo": lambda: against_what_runs("infra.demo_waste", arguments),
        "demo-texts": lambda: against_what_runs("infra.demo_texts", arguments),
        "story": lambda: story(arguments),
        "topology": lambda: topology(arguments),
        "desk": lambda: desk(arguments),
        "events": lambda: against_what_runs("infra.events", arguments),
    }
    if verb not in verbs:
        raise Problem(f"'{verb}' is not known here; 'make' lists what is.")
    private_folder(CLONE.home)
    return verbs[verb]() or 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1], sys.argv[2:]))
    except Problem as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader of `make up | head` is gone
        os._exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.exit(f"No room on disk ({error.filename or CLONE.root}): free some and try again.")
