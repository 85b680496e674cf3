"""Programs that a comparison starts: contenders, and clients, whose last words are what they found."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.environments import ROOT
from infra.local.logs import Log
from infra.local.problems import Problem
from infra.local.processes import Process

_numbers = count(1)


def program(name: str, command: Sequence[str], settings: Mapping[str, str], folder: Path) -> Process:
    """A child that begins in the project's folder and knows of the environment what `settings` say."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **settings}
    log = Log(folder / f"{name}.{next(_numbers)}.log")
    return Process(name, command, log=log, environment=environment, folder=ROOT)


async def outcome_of(client: Process, seconds: float) -> dict[str, Any]:
    """Run a client to its end; the JSON object in its last line. A Problem where it fails or takes longer."""
    client.start()
    if not await asyncio.to_thread(client.wait, seconds):
        client.kill()
        raise Problem(f"{client.name} took longer than {seconds:.0f} s: see {client.log.path}")
    client.log.settle()
    if client.exit_code:
        raise Problem(f"{client.name} failed; {client.log.path} ends with: {client.log.last_lines(3)}")
    found: dict[str, Any] = json.loads(client.log.last_lines(1)[0])
    return found
