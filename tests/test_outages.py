"""Servers stop, freeze and come back under load: what was accepted is done once, and nobody hangs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from uuid import uuid4

import httpx2
import pytest
from aiormq.exceptions import AMQPError

from infra.local.servers import Servers
from tests.amqp import client
from tests.system import Replica, System, eventually


class Load:
    """Creates tasks by REST and by queue until stopped, and keeps what was accepted."""

    def __init__(self, system: System, gateway: Replica):
        self.system = system
        self.gateway = gateway
        self.name = uuid4().hex[:6]
        self.tried = 0
        self.accepted: list[str] = []
        self.answers: set[tuple[int, str]] = set()
        self.stopped = False

    async def by_rest(self) -> None:
        async with self.system.http(self.gateway) as http:
            while not self.stopped:
                self.tried += 1
                title = f"{self.name} rest {self.tried}"
                answer = await http.post("/tasks", json={"title": title})
                self.answers.add((answer.status_code, answer.json().get("code", "")))
                if answer.is_success:
                    self.accepted.append(title)
                else:
                    await asyncio.sleep(0.02)

    async def by_queue(self) -> None:
        """As a careful AMQP program: repeats an unconfirmed publish under its message id."""
        while not self.stopped:
            try:
                async with client(self.system) as amqp:
                    while not self.stopped:
                        self.tried += 1
                        await self._publish(amqp.publish, f"{self.name} queue {self.tried}")
            except (AMQPError, OSError, RuntimeError, TimeoutError):
                await asyncio.sleep(0.1)

    async def _publish(self, publish: Callable[..., Awaitable[str]], title: str) -> None:
        await asyncio.wait_for(publish("tasks.create_task", {"title": title}, message_id=title), 5)
        self.accepted.append(title)

    async def settled(self) -> dict[str, int]:
        """How often each accepted title is in the store, once all are."""

        async def all_there() -> dict[str, int]:
            rows = await self.system.fetch(
                "task_service",
                "SELECT title, count(*) AS times FROM tasks WHERE title LIKE $1 GROUP BY title",
                f"{self.name} %",
            )
            found = {row["title"]: row["times"] for row in rows}
            return found if found.keys() >= set(self.accepted) else {}

        found: dict[str, int] = await eventually(all_there, "all that was accepted is done")
        return found


@asynccontextmanager
async def load(system: System, gateway: Replica) -> AsyncIterator[Load]:
    """Runs while the block does; at least 50 are accepted before and after what the block does."""
    load = Load(system, gateway)
    workers = [asyncio.create_task(load.by_rest()) for _ in range(8)]
    workers += [asyncio.create_task(load.by_queue()) for _ in range(2)]
    await _accepted(load, 50)
    yield load
    await _accepted(load, len(load.accepted) + 50)
    load.stopped = True
    await asyncio.gather(*workers)


async def _accepted(load: Load, number: int) -> None:
    async def enough() -> bool:
        return len(load.accepted) >= number

    await eventually(enough, f"{number} are accepted")


async def until_down(replica: Replica) -> None:
    async def down() -> bool:
        async with httpx2.AsyncClient() as http:
            return (await http.get(f"{replica.url}/health/ready")).status_code == 503

    await eventually(down, f"{replica.process.name} says that it is not ready")


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_rabbitmq_restarted_under_load_loses_and_doubles_nothing(
    servers: Servers, system: System, gateway: Replica, task_service: Replica, how: str
) -> None:
    async with load(system, gateway) as running:
        await asyncio.to_thread(getattr(servers.rabbitmq, how))
        await until_down(gateway)
        await asyncio.to_thread(servers.rabbitmq.start)
        await asyncio.to_thread(servers.rabbitmq.wait_ready)
        await system.until_ready(gateway)
        await system.until_ready(task_service)

    found = await running.settled()
    assert set(found.values()) == {1}
    assert {status for status, _ in running.answers} <= {201, 202, 503}


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_postgresql_restarted_under_load_loses_and_doubles_nothing(
    servers: Servers, system: System, gateway: Replica, task_service: Replica, how: str
) -> None:
    async with load(system, gateway) as running:
        await asyncio.to_thread(getattr(servers.postgresql, how))
        await until_down(task_service)
        await asyncio.to_thread(servers.postgresql.start)
        await asyncio.to_thread(servers.postgresql.wait_ready)
        await system.until_ready(task_service)

    found = await running.settled()
    assert set(found.values()) == {1}
    attempts = await system.fetch("task_service", "SELECT 1 FROM inbox WHERE attempt > 1")
    assert attempts == []
    assert {status for status, _ in running.answers} <= {201, 202, 503}


async def test_a_frozen_broker_is_answered_503_at_once_and_recovers_by_itself(
    servers: Servers, system: System, gateway: Replica, task_service: Replica
) -> None:
    await asyncio.to_thread(servers.rabbitmq.freeze)
    try:
        await until_down(gateway)
        began = monotonic()
        async with system.http(gateway) as http:
            answers = [await http.post("/tasks", json={"title": "frozen"}) for _ in range(20)]
        took = monotonic() - began
    finally:
        await asyncio.to_thread(servers.rabbitmq.thaw)
    await system.until_ready(gateway)

    assert {answer.status_code for answer in answers} == {503}
    assert all(answer.headers["retry-after"] for answer in answers)
    assert took < 20 * 5  # nobody waited for an answer's whole patience


async def test_queries_are_refused_at_once_while_the_store_is_away(
    servers: Servers, system: System, gateway: Replica, task_service: Replica
) -> None:
    async with system.http(gateway) as http:
        task = (await http.post("/tasks", json={"title": "to be read"})).json()
        await asyncio.to_thread(servers.postgresql.stop)
        await until_down(task_service)
        away = await http.get(f"/tasks/{task['id']}", headers={"cache-control": "no-cache"})
        await asyncio.to_thread(servers.postgresql.start)
        await asyncio.to_thread(servers.postgresql.wait_ready)
        await system.until_ready(task_service)
        back = await http.get(f"/tasks/{task['id']}")

    assert (away.status_code, away.json()["code"]) == (503, "unavailable")
    assert back.json() == task


async def test_a_process_started_before_its_servers_becomes_ready_and_stops_cleanly_without_them(
    servers: Servers, system: System, gateway: Replica, task_service: Replica
) -> None:
    await asyncio.to_thread(servers.rabbitmq.stop)
    early = [system.launch("task_service"), system.launch("gateway")]
    for replica in early:
        await _not_ready_but_alive(replica)
    await asyncio.to_thread(servers.rabbitmq.start)
    await asyncio.to_thread(servers.rabbitmq.wait_ready)
    for replica in early:
        await system.until_ready(replica)

    await asyncio.to_thread(servers.rabbitmq.stop)
    for replica in early:
        replica.process.ask_to_end()
    ended = [await asyncio.to_thread(replica.process.wait, 15) for replica in early]
    await asyncio.to_thread(servers.rabbitmq.start)
    await asyncio.to_thread(servers.rabbitmq.wait_ready)

    assert ended == [True, True]
    assert [replica.process.exit_code for replica in early] == [0, 0]


async def _not_ready_but_alive(replica: Replica) -> None:
    async def alive() -> bool:
        async with httpx2.AsyncClient() as http:
            try:
                live = await http.get(f"{replica.url}/health/live")
                ready = await http.get(f"{replica.url}/health/ready")
            except httpx2.TransportError:
                return False
            return (live.status_code, ready.status_code) == (200, 503)

    await eventually(alive, f"{replica.process.name} is alive and not ready")


async def test_sigterm_finishes_what_is_in_hand_and_exits_0(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    await system.until_ready(gateway)
    await system.until_ready(task_service)
    async with load(system, gateway) as running:
        replacement = await system.start("task_service")
        task_service.process.ask_to_end()
        assert await asyncio.to_thread(task_service.process.wait, 15)

    assert task_service.process.exit_code == 0
    assert set((await running.settled()).values()) == {1}
    assert running.answers == {(201, "")}
    replacement.process.end()


async def test_a_gateway_that_is_told_to_end_answers_whom_it_still_lets_in(system: System) -> None:
    """Whoever is before several gateways sends requests to it until it listens no more."""
    await system.start("task_service")
    gateway = await system.start("gateway")
    statuses: list[int] = []

    async def send() -> None:
        while gateway.process.pid:
            try:
                async with system.http(gateway) as http:  # a connection each, as NGINX makes them
                    statuses.append((await http.post("/tasks", json={"title": "Late"})).status_code)
            except httpx2.TransportError:
                continue

    sending = [asyncio.create_task(send()) for _ in range(8)]
    await eventually(lambda: _more_than(statuses, 50), "requests are under way")
    gateway.process.ask_to_end()
    await asyncio.gather(*sending)

    assert set(statuses) <= {201, 202}


async def test_a_gateway_that_listens_refuses_nobody_for_being_new(system: System) -> None:
    """Whoever is before several gateways sends requests to it as soon as it can be connected to."""
    await system.until_ready(await system.start("task_service"))
    gateway = system.launch("gateway")

    async def first_answers() -> list[int]:
        try:
            async with system.http(gateway) as http:
                return [(await http.post("/tasks", json={"title": "Early"})).status_code for _ in range(20)]
        except httpx2.ConnectError:
            return []

    statuses = await eventually(first_answers, "it listens")

    assert set(statuses) == {201}


async def _more_than(statuses: list[int], number: int) -> bool:
    return len(statuses) > number
