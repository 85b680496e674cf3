"""Real servers for all tests, started once, for the tests alone."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from infra.local.servers import Servers, start_test_servers
from infra.local.system import CONVEYOR
from tests.system import Replica, System


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    servers = start_test_servers(tmp_path_factory.mktemp("servers"))
    yield servers
    servers.stop()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def store() -> str:
    """What the services of `system` keep their data in; a module that knows SQLite, too, has its own."""
    return "postgresql"


@pytest.fixture(scope="module")
async def system(servers: Servers, folder: Path, store: str) -> AsyncIterator[System]:
    """Databases and a virtual host of a module's own; the processes are the test's to start."""
    system = System(servers, folder, store)
    await system.create()
    yield system
    await system.stop()


@pytest.fixture(scope="module")
async def task_service(system: System) -> Replica:
    return await system.start("task_service")


@pytest.fixture(scope="module")
async def gateway(system: System) -> Replica:
    return await system.start("gateway")


@pytest.fixture(scope="module")
async def services(system: System) -> list[Replica]:
    """Whoever there is to answer the gateway, a new service too."""
    return [await system.start(one.name) for one in CONVEYOR.services if one.name != "gateway"]
