"""What tests of services on MongoDB stand on: databases of a system's own, on a server that is named."""

from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from infra.local.mongodb import MongoDB
from infra.local.servers import Servers, mongodb_kind
from tests.system import System


@pytest.fixture
def on_mongodb(servers: Servers, folder: Path) -> System:
    system = System(servers, folder, "mongodb")
    system.create_database("tests.toy_service")
    return system


async def write(system: System, **document: Any) -> None:
    url = system.database_url("tests.toy_service")
    async with AsyncMongoClient[dict[str, Any]](url, w="majority", journal=True) as client:
        await client.get_default_database().note.insert_one(document)


async def test_no_system_sees_the_documents_of_another(
    on_mongodb: System, servers: Servers, folder: Path
) -> None:
    other = System(servers, folder, "mongodb")
    other.create_database("tests.toy_service")

    await write(on_mongodb, _id=1)

    assert await on_mongodb.documents("tests.toy_service", "note", _id=1) == [{"_id": 1}]
    assert await other.documents("tests.toy_service", "note") == []


async def test_documents_are_there_again_after_a_kill(on_mongodb: System, own_mongodb: MongoDB) -> None:
    await write(on_mongodb, _id=1)

    own_mongodb.kill()
    own_mongodb.start()
    own_mongodb.wait_ready()

    assert await on_mongodb.documents("tests.toy_service", "note") == [{"_id": 1}]


def test_a_test_run_names_the_server_it_runs_on(servers: Servers) -> None:
    assert mongodb_kind() == servers.mongodb.kind
