"""A short form of `make faults`: some faults, once each, so that what they found stays mended."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.local.mongodb import MongoDB
from infra.local.servers import Servers
from tests.faults.line import run_line
from tests.faults.registry import FAULTS
from tests.faults.suite import Opened

SHORT = (
    "after-commit",
    "poison-kills",
    "connections-closed",
    "queue-deleted",
    "consumer-cancelled",
    "rabbitmq-kill",
    "postgresql-cut",
    "mongodb-kill",
)
LEAST = 20
AMPLE_SECONDS = 30
"""Until ready again, among other tests. Memory is not weighed."""


@pytest.fixture(scope="module")
async def opened(servers: Servers, folder: Path) -> AsyncIterator[Opened]:
    if not isinstance(servers.mongodb, MongoDB):
        pytest.skip("MONGODB_URL is of somebody else's server")
    opened = await Opened.make(servers, folder, warm_up=0)
    yield opened
    await opened.close()


@pytest.mark.parametrize("name", SHORT)
async def test_what_was_accepted_has_exactly_one_effect(opened: Opened, name: str) -> None:
    line = await run_line(
        FAULTS[name], opened.stage, opened.accountant, 1, opened.version, times=1, least=LEAST
    )

    assert (line.lost, line.doubled) == (0, 0), line.wrong
    assert line.accepted >= 2 * LEAST
    assert [wrong for wrong in line.wrong if "memory" not in wrong and "ready again" not in wrong] == []
    assert (line.ready_seconds or 0) <= AMPLE_SECONDS
