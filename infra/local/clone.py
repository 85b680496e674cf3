"""One clone of the project on this machine: where its data, logs and state are, and whether it runs."""

import contextlib
import fcntl
import hashlib
import json
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.passwords import private_folder, write_private
from infra.local.problems import Problem

OURS = "CONVEYOR_ADDRESSES"
"""Has the digests of those assignments of an addresses.env that were no wish of whoever loads it."""


@dataclass(frozen=True)
class Clone:
    """The project's folder; all that running it leaves behind is in `.conveyor/`, open to its owner alone."""

    root: Path

    @property
    def home(self) -> Path:
        """Data, passwords, ports, logs, state."""
        return self.root / ".conveyor"

    @property
    def logs(self) -> Path:
        """A file for each process."""
        return self.home / "logs"

    def given(self) -> dict[str, str]:
        """The settings that the person gave: `.env`, and before it the environment."""
        return read_assignments(self.root / ".env") | wished_environment()

    def addresses(self) -> dict[str, str]:
        """Every address of what runs here."""
        return read_addresses(self.home / "addresses.env")

    def write_addresses(self, addresses: dict[str, str]) -> None:
        """Readable by the owner alone, and by a shell: `. .conveyor/addresses.env`."""
        write_addresses(self.home / "addresses.env", addresses)

    def state(self) -> dict[str, Any]:
        """What the runner last said of itself and its processes; empty when it never ran."""
        try:
            return dict(json.loads((self.home / "state.json").read_text()))
        except (OSError, ValueError):
            return {}

    def write_state(self, state: dict[str, Any]) -> None:
        """For `make status` and `make up`, which run in other processes."""
        write_private(self.home / "state.json", json.dumps(state, indent=1))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Held by the one runner of this clone; the system frees it whatever way the runner ends."""
        private_folder(self.home)
        with (self.home / "run.lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Problem(
                    "Conveyor already runs here: 'make status' shows it, 'make down' stops it."
                ) from None
            yield

    def runs(self) -> bool:
        """Whether a runner holds the lock."""
        try:
            with (self.home / "run.lock").open("a+") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False


def write_addresses(path: Path, addresses: dict[str, str]) -> None:
    """Addresses as assignments that a shell loads, and that are no wish of whoever has loaded them."""
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in addresses.items()]
    wished = wished_environment().items()
    ours = ",".join(_digest(*one) for one in addresses.items() if one not in wished)
    write_private(path, "".join([*lines, f"export {OURS}={ours}\n"]))


def read_addresses(path: Path) -> dict[str, str]:
    """What `write_addresses` has written there; nothing where it has not."""
    return {name: value for name, value in read_assignments(path).items() if name != OURS}


def wished_environment() -> dict[str, str]:
    """The environment without what came into it from the addresses.env of any clone."""
    ours = os.environ.get(OURS, "").split(",")
    return {
        name: value for name, value in os.environ.items() if name != OURS and _digest(name, value) not in ours
    }


def _digest(name: str, value: str) -> str:
    return hashlib.sha256(f"{name}={value}".encode(errors="surrogateescape")).hexdigest()[:16]


def read_assignments(path: Path) -> dict[str, str]:
    """NAME=value lines as a shell takes them, with comments and `export` in front; none without the file."""
    found = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            try:
                words = shlex.split(value, comments=True)
            except ValueError:
                raise Problem(f"{path}: a quote is not closed in the line of {name}.") from None
            found[name.strip()] = " ".join(words)
    return found
