"""The system in containers as `make demo`, `make events`, `make desk` and `make story` find it."""

import getpass
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from infra.local.clone import Clone, read_addresses
from infra.local.passwords import private_folder
from infra.local.problems import Problem
from infra.local.system import CONVEYOR

CLEAR_LINE = b"\x1b[2K"
"""Compose writes it into what is no terminal, too."""


def addresses(clone: Clone) -> dict[str, str]:
    """Where docker-compose.yml has published it; nothing where nobody, or somebody else, listens there."""
    found = read_addresses(secrets_folder(clone) / "addresses.env")
    return found if is_conveyor(found.get("GATEWAY_URL", "")) else {}


def is_conveyor(url: str) -> bool:
    """Whether a gateway answers there, or NGINX, which says in its place that none does."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"{url}/health/live", timeout=5
        ) as answer:
            said = json.loads(answer.read(1000))
    except urllib.error.HTTPError as refusal:
        said = _problem(refusal)
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and (said.get("alive") is True or said.get("code") == "outcome_unknown")


def _problem(refusal: urllib.error.HTTPError) -> object:
    try:
        return json.loads(refusal.read(1000))
    except (OSError, ValueError):
        return None


def secrets_folder(clone: Clone) -> Path:
    """Where `make secrets` puts what Compose mounts; both read `.env`, and the environment before it."""
    return clone.root / (clone.given().get("CONVEYOR_SECRETS") or "infra/secrets")


def definitions_file(clone: Clone) -> Path:
    """The same for what RabbitMQ loads."""
    return clone.root / (clone.given().get("CONVEYOR_DEFINITIONS") or "infra/rabbitmq/definitions.json")


def engine(*words: str) -> list[str]:
    """A command for Docker; a Problem where there is none."""
    program = shutil.which("docker")
    if program is None:
        raise Problem("The system runs in containers, and there is no 'docker' here to ask them with.")
    return [program, *words]


def compose(*words: str) -> list[str]:
    """The same for its Compose."""
    return engine("compose", *words)


def desk(clone: Clone, arguments: list[str]) -> int:
    """The desk answers nobody outside its container, so its program runs in there."""
    terminal = [] if sys.stdin.isatty() else ["--no-TTY"]
    verb, rest = arguments[:1], arguments[1:]
    words = [*verb, "--as", _login(), *rest]  # of two names the last counts, however it is said
    command = compose("exec", *terminal, "desk_service", "python", "-m", "desk_service", *words)
    return subprocess.run(command, cwd=clone.root, check=False).returncode


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def logs(clone: Clone) -> Path:
    """What all processes have logged and Docker still has, in a file for each service."""
    folder = private_folder(clone.home / "container-logs")
    for service in CONVEYOR.services:
        command = compose("logs", "--no-log-prefix", "--no-color", service.name)
        done = subprocess.run(command, cwd=clone.root, capture_output=True, check=False)
        if done.returncode:
            last = (done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"])[-1]
            raise Problem(
                f"'docker compose logs {service.name}' fails, saying: {last}. Logs of containers are read by "
                "who may use Docker, in the folder from which they were started."
            )
        (folder / f"{service.name}.log").write_bytes(done.stdout.replace(CLEAR_LINE, b""))
    return folder
