"""The system in containers as `make demo`, `make events`, `make desk` and `make story` find it."""

import getpass
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from infra.local.clone import Clone, read_addresses
from infra.local.health import accepts
from infra.local.passwords import private_folder
from infra.local.problems import Problem
from infra.local.system import CONVEYOR

CLEAR_LINE = b"\x1b[2K"
"""Compose writes it into what is no terminal, too."""


def addresses(clone: Clone) -> dict[str, str]:
    """Where docker-compose.yml has published it; nothing where nobody listens there."""
    found = read_addresses(secrets_folder(clone) / "addresses.env")
    place = urlsplit(found.get("GATEWAY_URL", ""))
    listens = place.hostname and place.port and accepts((place.hostname, place.port))
    return found if listens else {}


def secrets_folder(clone: Clone) -> Path:
    """Where `make secrets` has put them."""
    return Path(clone.given().get("CONVEYOR_SECRETS") or clone.root / "infra" / "secrets")


def compose(*words: str) -> list[str]:
    """A command for Docker Compose; a Problem where there is none."""
    program = shutil.which("docker")
    if program is None:
        raise Problem("The system runs in containers, and there is no 'docker' here to ask them with.")
    return [program, "compose", *words]


def desk(clone: Clone, arguments: list[str]) -> int:
    """The desk answers nobody outside its container, so its program runs in there."""
    terminal = [] if sys.stdin.isatty() else ["--no-TTY"]
    who = [] if {"--as", "--help"} & {*arguments} else ["--as", _login()]
    command = compose("exec", *terminal, "desk_service", "python", "-m", "desk_service", *arguments, *who)
    return subprocess.run(command, cwd=clone.root, check=False).returncode


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def logs(clone: Clone) -> Path:
    """What all processes have logged, in a file for each service."""
    folder = private_folder(clone.home / "container-logs")
    for service in CONVEYOR.services:
        command = compose("logs", "--no-log-prefix", "--no-color", service.name)
        said = subprocess.run(command, cwd=clone.root, stdout=subprocess.PIPE, check=True).stdout
        (folder / f"{service.name}.log").write_bytes(said.replace(CLEAR_LINE, b""))
    return folder
