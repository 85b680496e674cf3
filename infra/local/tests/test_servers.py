"""The embedded servers keep what they were given, ask everybody for a password, and end with their parent."""

import asyncio
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import aiormq
import asyncpg
import pytest
from valkey.asyncio import Valkey as Client
from valkey.exceptions import AuthenticationError

from infra.local import processes, servers
from infra.local.postgresql import PostgreSQL
from infra.local.problems import Problem
from infra.local.servers import Servers, start_test_servers
from infra.local.valkey import Valkey


@pytest.fixture(scope="module")
def own_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Servers that these tests may kill."""
    started = start_test_servers(tmp_path_factory.mktemp("own servers"))
    yield started
    started.stop()


async def test_what_was_committed_survives_a_kill_of_postgresql(own_servers: Servers) -> None:
    postgresql = own_servers.postgresql
    postgresql.create_database("notes", "writer", "secret")
    await _execute(postgresql.url("notes", "writer", "secret"), "CREATE TABLE note AS SELECT 'kept' AS text")

    postgresql.kill()
    postgresql.start()
    postgresql.wait_ready()

    assert await _execute(postgresql.url("notes", "writer", "secret"), "SELECT text FROM note") == "kept"


async def test_postgresql_refuses_a_wrong_password_and_a_foreign_database(own_servers: Servers) -> None:
    postgresql = own_servers.postgresql
    postgresql.create_database("mine", "me", "secret")
    postgresql.create_database("other", "they", "secret")

    with pytest.raises(asyncpg.InvalidPasswordError):
        await _execute(postgresql.url("mine", "me", "wrong"), "SELECT 1")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _execute(postgresql.url("other", "me", "secret"), "SELECT 1")


async def test_a_frozen_postgresql_answers_again_when_thawed(own_servers: Servers) -> None:
    own_servers.postgresql.freeze()
    assert not await asyncio.to_thread(own_servers.postgresql.answers)

    own_servers.postgresql.thaw()
    own_servers.postgresql.wait_ready(10)


def test_data_of_another_postgresql_is_named(own_servers: Servers, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("15\n")

    with pytest.raises(Problem, match=r"PostgreSQL 15.*clean-data"):
        PostgreSQL(tmp_path, 1).start()


async def test_a_durable_queue_survives_a_kill_of_rabbitmq(own_servers: Servers) -> None:
    rabbitmq = own_servers.rabbitmq
    async with aiormq.connect(rabbitmq.url("task_service")) as connection:
        channel = await connection.channel()
        await channel.queue_declare("kept", durable=True)
    rabbitmq.stop()  # what a broker is told in its last moments it may not have written yet
    rabbitmq.start()
    rabbitmq.wait_ready()

    rabbitmq.kill()
    rabbitmq.start()
    rabbitmq.wait_ready()

    async with aiormq.connect(rabbitmq.url("task_service")) as connection:
        channel = await connection.channel()
        assert (await channel.queue_declare("kept", passive=True)).queue == "kept"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_rabbitmq_takes_whichever_core_is_free(own_servers: Servers) -> None:
    node = own_servers.rabbitmq.process.pid
    everywhere, cores = os.sched_getaffinity(0), []
    for thread in Path(f"/proc/{node}/task").iterdir():
        with suppress(ProcessLookupError):  # it has ended meanwhile
            cores.append(os.sched_getaffinity(int(thread.name)))

    assert cores and all(one == everywhere for one in cores)


def test_the_management_page_opens_for_the_operator_alone(own_servers: Servers) -> None:
    assert _management_status(own_servers, "operator", "operator") == 200
    assert _management_status(own_servers, "guest", "guest") == 401
    assert _management_status(own_servers, "task_service", "task_service") == 401


async def test_valkey_asks_for_its_password_and_is_empty_after_a_restart(own_servers: Servers) -> None:
    server = own_servers.valkey
    async with Client.from_url(server.url(1023)) as client:
        await client.set("cached", "value")
    async with Client(port=server.port) as stranger:
        with pytest.raises(AuthenticationError):
            await stranger.get("cached")

    server.kill()
    assert not server.answers()
    server.start()
    server.wait_ready()

    async with Client.from_url(server.url(1023)) as client:
        assert await client.get("cached") is None


def test_a_frozen_valkey_answers_again_when_thawed(own_servers: Servers) -> None:
    own_servers.valkey.freeze()
    assert not own_servers.valkey.answers()

    own_servers.valkey.thaw()
    own_servers.valkey.wait_ready(10)


def test_the_password_of_valkey_is_not_on_its_command_line(own_servers: Servers, tmp_path: Path) -> None:
    server = Valkey(tmp_path / "folder of words", own_servers.ports.choose_any(), "secret")
    server.start()
    server.wait_ready()

    assert "secret" not in " ".join(server.process.command)
    assert (server.directory / "valkey.conf").stat().st_mode & 0o777 == 0o600
    server.stop()
    assert server.process.exit_code == 0


def test_servers_end_when_their_parent_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MONGODB_URL", raising=False)
    monkeypatch.delenv("SERVERS", raising=False)
    program = (
        "import sys, time; from pathlib import Path; from infra.local.servers import start_test_servers\n"
        "s = start_test_servers(Path(sys.argv[1]))\n"
        "rest = s.postgresql, s.rabbitmq, s.valkey, s.mongodb\n"
        "pids = [s.rabbitmq.epmd.pid, *(one.process.pid for one in rest)]\n"
        "print(*pids, flush=True)\n"
        "time.sleep(600)"
    )
    root = Path(servers.__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], cwd=root, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        known = {int(pid): processes.identity(int(pid)) for pid in parent.stdout.readline().split()}
        assert all(known.values()) and len(known) == 5

        os.kill(parent.pid, signal.SIGKILL)

    gone = processes.wait_until(lambda: not any(processes.is_alive(*one) for one in known.items()), 15)
    assert gone


async def _execute(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def _management_status(own_servers: Servers, user: str, password: str) -> int:
    credentials = b64encode(f"{user}:{password}".encode()).decode()
    request = urllib.request.Request(f"{own_servers.rabbitmq.management_url}/api/overview")
    request.add_header("Authorization", f"Basic {credentials}")
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code
