"""waste_service's handlers on a database for each test."""

from collections.abc import AsyncIterator

import pytest

from infra.local.servers import Servers
from tests.running import Running, running_on_postgresql
from waste_service.tests.messages import a_road, a_storage, an_organization


@pytest.fixture
async def running(servers: Servers) -> AsyncIterator[Running]:
    async with running_on_postgresql(servers, "waste_service", contended=True) as running:
        yield running


@pytest.fixture
async def office(running: Running) -> Running:
    """An office with a near storage for 5 bio and 5 glass, and a far one for 10 bio."""
    await running.batch(
        an_organization(),
        a_storage("near", bio=5, glass=5),
        a_storage("far", bio=10),
        a_road("office", "near", 10),
        a_road("near", "far", 90),
    )
    running.said.clear()
    return running
