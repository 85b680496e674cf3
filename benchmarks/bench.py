"""What every comparison runs on: real servers as private child processes, ours on databases of its own."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.comparing import Say
from infra.local.servers import Servers, start_test_servers
from tests.system import System


@dataclass(frozen=True)
class Bench:
    """`small` is the form for tests: a few messages, one round, ours alone."""

    system: System
    folder: Path
    say: Say
    rounds: int = 5
    small: bool = False

    @property
    def servers(self) -> Servers:
        return self.system.servers


@asynccontextmanager
async def prepared(
    servers: Servers, folder: Path, say: Say, rounds: int, small: bool
) -> AsyncIterator[Bench]:
    """Databases and a virtual host of the comparison's own, and nothing of ours started yet.

    `events.recent`, which shows people the last events on the management page, is off, as it is outside of
    development.
    """
    system = System(servers, folder)
    await system.create(EVENTS_RECENT="off")
    try:
        yield Bench(system, folder, say, rounds, small)
    finally:
        await system.stop()


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Servers]:
    servers = start_test_servers(folder, figures_every=5)  # as in every other run
    try:
        yield servers
    finally:
        servers.stop()


def say(line: str) -> None:
    """To whoever waits."""
    print(line, file=sys.stderr, flush=True)
