"""Messages that nobody can do, among good ones."""

import asyncio
import json
from typing import Any

import aio_pika
from aiormq.exceptions import AMQPError

from tests.faults.registry import Scene, fault
from tests.system import eventually

GOOD = 200
TWENTY_MB = 20_000_000


async def _among_good_ones(scene: Scene, poison: dict[str, Any]) -> None:
    """200 good ones around one; each good one is done, and the bad one lies in the dead letters once."""
    name = f"poison {scene.random.random()}"
    titles = [f"{name} {number}" for number in range(GOOD)]
    bodies = [{"title": title} for title in titles]
    bodies.insert(GOOD // 2, poison)
    async with await aio_pika.connect(scene.stage.any_broker_url()) as connection:
        channel = await connection.channel(on_return_raises=True)
        await asyncio.gather(*(_publish(channel, json.dumps(body).encode(), name) for body in bodies))

    async def done() -> bool:
        rows = await scene.stage.system.fetch(
            "task_service", "SELECT title FROM tasks WHERE title LIKE $1", f"{name} %"
        )
        assert len(rows) <= GOOD, "a good one was done twice"
        return len(rows) == GOOD

    await eventually(done, "the good ones are done", 60)
    await eventually(lambda: _lies_dead(scene, poison["title"]), "the bad one is a dead letter", 90)


async def _publish(channel: aio_pika.abc.AbstractChannel, body: bytes, name: str = "", **more: Any) -> None:
    message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT, **more)
    message.message_id = message.message_id or f"{name} {hash(body)}"
    await channel.default_exchange.publish(message, "tasks.create_task", mandatory=True)


async def _lies_dead(scene: Scene, text: str) -> bool:
    letters = await scene.stage.system.get_messages("dead_letters", 10_000)
    found = sum(text in letter["payload"] for letter in letters)
    assert found <= 1, f"{found} dead letters of one message"
    return found == 1


@fault("poison-raises", armed=True)
async def poison_raises(scene: Scene) -> None:
    """A message that always raises among 200 good ones: exactly one dead letter, 200 done"""
    await _among_good_ones(scene, {"title": f"raises {scene.random.random()}"})


@fault("poison-kills", ends=True, armed=True)
async def poison_kills(scene: Scene) -> None:
    """A message that kills its process among 200 good ones: exactly one dead letter, 200 done"""
    await _among_good_ones(scene, {"title": f"kills {scene.random.random()}"})


@fault("poison-undecodable")
async def poison_undecodable(scene: Scene) -> None:
    """What cannot be decoded, unknown fields, a type from a newer version: each is refused with its reason"""
    bodies = [
        b"{",
        b"\xff\xfe",
        json.dumps({"title": "x", "colour": "red"}).encode(),
        json.dumps({"title": "x", "schema": {"version": 9}}).encode(),
    ]
    async with await aio_pika.connect(scene.stage.any_broker_url()) as connection:
        channel = await connection.channel(on_return_raises=True)
        replies = await channel.declare_queue(exclusive=True)
        for body in bodies:
            await _publish(
                channel, body, str(scene.random.random()), reply_to=replies.name, type="CreateTask.v9"
            )
            answer = await replies.get(timeout=20, fail=False) or await _next(replies)
            refusal = json.loads(answer.body)
            assert refusal["code"] == "invalid", refusal


async def _next(queue: aio_pika.abc.AbstractQueue) -> aio_pika.abc.AbstractIncomingMessage:
    async def got() -> aio_pika.abc.AbstractIncomingMessage | None:
        return await queue.get(no_ack=True, fail=False)

    message: aio_pika.abc.AbstractIncomingMessage = await eventually(got, "an answer comes", 30)
    return message


@fault("poison-20-mb", times=1)
async def poison_20_mb(scene: Scene) -> None:
    """A message of 20 MB: refused by the broker (4.x) or by the service, either way clear to its sender"""
    body = json.dumps({"title": "long " * (TWENTY_MB // 5)}).encode()
    async with await aio_pika.connect(scene.stage.any_broker_url()) as connection:
        channel = await connection.channel(on_return_raises=True)
        replies = await channel.declare_queue(exclusive=True)
        try:
            await _publish(channel, body, str(scene.random.random()), reply_to=replies.name)
        except AMQPError as error:
            scene.notes.append(f"the broker: {str(error)[:80]}")
            return
        refusal = json.loads((await _next(replies)).body)
    scene.notes.append(f"the service: {refusal['code']}")
    assert refusal["code"] == "invalid", refusal
