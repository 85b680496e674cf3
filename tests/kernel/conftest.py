"""The toy service and a client, for each test module of the kernel."""

from collections.abc import AsyncIterator

import pytest

from tests.amqp import Client, client
from tests.system import Replica, System


@pytest.fixture(scope="module")
async def toy(system: System) -> Replica:
    return await system.start("tests.toy_service")


@pytest.fixture
async def amqp(system: System) -> AsyncIterator[Client]:
    async with client(system) as made:
        yield made
