"""Runs lines one after another on one system; a line that fell short leaves the next one a new system."""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

import httpx2

from infra.local.rabbitmq import RabbitMQ
from infra.local.servers import Servers
from tests.faults import broker, cluster, delays, endurance, poison, processes, starting, stores
from tests.faults.accountant import Accountant
from tests.faults.line import Line, run_line
from tests.faults.registry import FAULTS, Fault
from tests.faults.stage import WARM_UP, Stage

GROUPS = (processes, broker, stores, poison, starting, delays, cluster, endurance)
"""The modules whose faults are registered, in the order of the report."""
ORDER = [name for group in GROUPS for name in FAULTS if FAULTS[name].strike.__module__ == group.__name__]
LEAST = 60


def chosen(only: str) -> list[Fault]:
    names = [name.strip() for name in only.split(",") if name.strip()] or ORDER
    if unknown := [name for name in names if name not in FAULTS]:
        sys.exit(f"No fault is called {unknown[0]}; there are: {', '.join(ORDER)}.")
    return [FAULTS[name] for name in ORDER if name in names]


async def run(
    faults: list[Fault], servers: Servers, folder: Path, seed: int, told: Callable[[Line], None]
) -> list[Line]:
    """The lines, each told as soon as it is there.

    One after another those for which processes need no warm-up, those for which they do, those for which they
    are armed, those on a cluster.
    """
    lines: list[Line] = []
    stage: Opened | None = None
    for fault in sorted(faults, key=lambda one: (one.cluster, one.armed, not one.ends)):
        if fault.cluster:
            lines.append(await _on_a_cluster(fault, servers, folder, seed))
            told(lines[-1])
            continue
        stage = stage or await Opened.make(servers, folder)
        line = await run_line(
            fault, stage.stage, stage.accountant, seed, stage.version, times=fault.times, least=LEAST
        )
        told(line)
        lines.append(line)
        if line.wrong:
            await stage.close()
            stage = None
    if stage:
        await stage.close()
    return lines


async def _on_a_cluster(fault: Fault, servers: Servers, folder: Path, seed: int) -> Line:
    with cluster.cluster_of_three(folder / "cluster", servers.rabbitmq) as nodes:
        on_three = replace(servers, rabbitmq=cast(RabbitMQ, nodes))
        opened = await Opened.make(on_three, folder, QUERY_QUEUES="quorum")
        version = f"{opened.version}, three nodes"
        line = await run_line(
            fault, opened.stage, opened.accountant, seed, version, times=fault.times, least=LEAST
        )
        with suppress(httpx2.TransportError):  # a virtual host is not removed in a moment, and need not be
            await opened.close()
    return line


class Opened:
    """A stage with its accountant."""

    def __init__(self, stage: Stage, accountant: Accountant, version: str):
        self.stage = stage
        self.accountant = accountant
        self.version = version

    @classmethod
    async def make(cls, servers: Servers, folder: Path, warm_up: int = WARM_UP, **everybody: str) -> "Opened":
        stage = Stage(servers, folder, warm_up)
        stage.system.everybody |= everybody
        await stage.open()
        accountant = Accountant(stage)
        await accountant.open()
        overview = await stage.management("GET", "/api/overview")
        return cls(stage, accountant, f"RabbitMQ {overview['rabbitmq_version']}")

    async def close(self) -> None:
        await self.accountant.close()
        await self.stage.close()
