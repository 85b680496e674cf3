"""The toy service, which breaks on purpose, the desk, and the ways to both."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.amqp import Client, client
from tests.letters import ADA
from tests.system import Replica, System

TOY = "tests.toy_service"


@pytest.fixture(scope="module")
async def toy(system: System) -> Replica:
    """Breaks once and for all, at the first attempt."""
    return await system.start(TOY, retry_seconds="[]")


@pytest.fixture(scope="module")
async def desk(system: System, toy: Replica) -> Replica:
    return await system.start("desk_service")


@pytest.fixture
async def amqp(system: System) -> AsyncIterator[Client]:
    async with client(system) as made:
        yield made


@pytest.fixture
async def http(system: System, desk: Replica) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=desk.url, timeout=40, headers=ADA) as made:
        yield made
