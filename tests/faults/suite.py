"""Runs lines one after another on one system; a line that fell short leaves the next one a new system."""

import sys
from pathlib import Path

from infra.local.servers import Servers
from tests.faults import broker, delays, endurance, poison, processes, starting, stores
from tests.faults.accountant import Accountant
from tests.faults.line import Line, run_line
from tests.faults.load import load
from tests.faults.registry import FAULTS, Fault
from tests.faults.report import say
from tests.faults.stage import Stage

GROUPS = (processes, broker, stores, poison, starting, delays, endurance)
"""The modules whose faults are registered, in the order of the report."""
ORDER = [name for group in GROUPS for name in FAULTS if FAULTS[name].strike.__module__ == group.__name__]
LEAST = 60
WARM_UP = 600
"""Commands before memory is first weighed: pools, caches and prepared statements are full by then."""


def chosen(only: str) -> list[Fault]:
    names = [name.strip() for name in only.split(",") if name.strip()] or ORDER
    if unknown := [name for name in names if name not in FAULTS]:
        sys.exit(f"No fault is called {unknown[0]}; there are: {', '.join(ORDER)}.")
    return [FAULTS[name] for name in ORDER if name in names]


async def run(faults: list[Fault], servers: Servers, folder: Path, seed: int) -> list[Line]:
    lines: list[Line] = []
    stage: Opened | None = None
    for fault in faults:
        stage = stage or await Opened.make(servers, folder)
        line = await run_line(
            fault, stage.stage, stage.accountant, seed, stage.version, times=fault.times, least=LEAST
        )
        say(line)
        sys.stdout.flush()
        lines.append(line)
        if line.wrong:
            await stage.close()
            stage = None
    if stage:
        await stage.close()
    return lines


class Opened:
    """A stage with its accountant, warm."""

    def __init__(self, stage: Stage, accountant: Accountant, version: str):
        self.stage = stage
        self.accountant = accountant
        self.version = version

    @classmethod
    async def make(cls, servers: Servers, folder: Path, warm_up: int = WARM_UP) -> "Opened":
        stage = Stage(servers, folder)
        await stage.open()
        accountant = Accountant(stage)
        await accountant.open()
        overview = await stage.management("GET", "/api/overview")
        async with load(stage, f"warm-up-{stage.system.name}", 0, warm_up // 2):
            pass
        return cls(stage, accountant, f"RabbitMQ {overview['rabbitmq_version']}")

    async def close(self) -> None:
        await self.accountant.close()
        await self.stage.close()
