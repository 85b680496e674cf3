"""An operation that was given up reads as failed, also when the broker gave it up; replayed, it is done."""

import json
from typing import Any

import httpx2
import pytest

from shared.topology import DELIVERY_LIMIT
from tests.amqp import client
from tests.desk.test_draining import a_dead_one, bury
from tests.letters import ADA, listed, until
from tests.system import Replica, System, eventually

TEXT = {"text": "To be, or not to be", "top": 3}


@pytest.fixture(scope="module")
async def desk(system: System) -> Replica:
    return await system.start("desk_service")


async def kill_by_delivery_limit(system: System, queue: str) -> None:
    """Take the one message of a queue and give it back until the broker gives it up."""
    async with client(system) as taker:
        taken = await taker.channel.get_queue(queue)
        for _ in range(DELIVERY_LIMIT + 1):

            async def got() -> Any:
                return await taken.get(fail=False)

            message = await eventually(got, f"a message is in {queue}")
            await message.reject(requeue=True)


@pytest.mark.parametrize(
    ("service", "path", "body", "queue"),
    [
        ("task_service", "/tasks", {"title": "Given up"}, "tasks.create_task"),
        ("text_worker", "/texts", TEXT, "texts.submit_text"),
    ],
)
async def test_what_the_broker_gives_up_reads_as_failed_and_is_done_after_a_replay(
    system: System, gateway: Replica, desk: Replica, service: str, path: str, body: dict[str, Any], queue: str
) -> None:
    async with (
        system.http(gateway) as http,
        httpx2.AsyncClient(base_url=desk.url, timeout=40, headers=ADA) as at_desk,
    ):
        taken = await http.post(path, json=body, headers={"prefer": "respond-async"})
        operation = taken.headers["location"]
        await kill_by_delivery_limit(system, queue)
        [letter] = await listed(at_desk, queue=queue)
        await system.start(service)

        async def state() -> str:
            return str((await http.get(operation)).json()["state"])

        async def failed() -> bool:
            return await state() == "failed"

        await eventually(failed, "the operation reads as failed")
        assert letter["reason"].startswith("delivery_limit")
        await at_desk.post("/desk/replays", json={"letter": letter["id"]})
        await until(at_desk, letter["id"], "done")
        assert await state() == "done"


async def test_what_does_not_fit_and_nobody_waits_for_reads_as_failed_too(
    system: System, desk: Replica
) -> None:
    await system.publish_by_hand("tasks.create_task", json.dumps({"titel": "misspelt"}), message_id="misfit")

    async def failed() -> bool:
        rows = await system.fetch("task_service", "SELECT outcome FROM inbox WHERE message_id = 'misfit'")
        return [row["outcome"] for row in rows] == ["failed"]

    await eventually(failed, "the misfit reads as failed")


async def test_what_is_said_of_a_death_tells_no_secrets(system: System, desk: Replica) -> None:
    async with client(system) as amqp:
        await bury(amqp, a_dead_one("secretive", "tasks.create_task", reason="KeyError: password=hunter2"))

    async def answer() -> bytes:
        rows = await system.fetch("task_service", "SELECT answer FROM inbox WHERE message_id = 'secretive'")
        return b"".join(bytes(row["answer"]) for row in rows)

    assert b"password=[redacted]" in await eventually(answer, "its owner has heard of it")
