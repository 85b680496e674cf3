"""Real servers for all tests, started once, for the tests alone."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from infra.local.mongodb import MongoDB
from infra.local.problems import Problem
from infra.local.servers import Servers, kinds, mongodb_kind, start_test_servers
from infra.local.system import CONVEYOR
from shared.messages import EVENTS, REQUESTS
from tests.compose.composed import NAMED_BY, Composed, ComposedSystem
from tests.system import Replica, System


def pytest_sessionstart() -> None:
    """Servers that cannot run here are said once."""
    try:
        kinds()
    except Problem as problem:
        pytest.exit(str(problem), pytest.ExitCode.USAGE_ERROR)


def pytest_report_header() -> str:
    """What was proven on one server of MongoDB's protocol was not on another."""
    try:
        return f"MongoDB: {mongodb_kind()}"
    except Problem as problem:
        pytest.exit(str(problem), pytest.ExitCode.USAGE_ERROR)


def pytest_collection_finish() -> None:
    """The toy service is no part of the system: tests that import its contracts must not add them to it."""
    for registry in (REQUESTS, EVENTS):
        for name in [name for name in registry if name.startswith("toy.")]:
            del registry[name]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    servers = start_test_servers(tmp_path_factory.mktemp("servers"))
    yield servers
    servers.stop()


@pytest.fixture
def own_mongodb(servers: Servers) -> MongoDB:
    """A server that tests may kill and freeze."""
    if not isinstance(servers.mongodb, MongoDB):
        pytest.skip("MONGODB_URL is of somebody else's server")
    return servers.mongodb


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def store() -> str:
    """What the services of `system` keep their data in; a module that knows SQLite, too, has its own."""
    return "postgresql"


@pytest.fixture(scope="module")
async def system(request: pytest.FixtureRequest, folder: Path, store: str) -> AsyncIterator[System]:
    """Databases and a virtual host of a module's own; the processes are the test's to start.

    `make compose-test` has the same tests use what runs in its containers.
    """
    if composed := os.environ.get(NAMED_BY):
        yield ComposedSystem(Composed.told(composed))
        return
    system = System(request.getfixturevalue("servers"), folder, store)
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
async def text_worker(system: System) -> Replica:
    return await system.start("text_worker")


@pytest.fixture(scope="module")
async def services(system: System) -> list[Replica]:
    """Whoever there is to answer the gateway, a new service too."""
    return [await system.start(one.name) for one in CONVEYOR.services if one.name != "gateway"]
