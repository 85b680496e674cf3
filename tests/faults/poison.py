"""Messages that nobody can do, among good ones."""

import asyncio
import json
from typing import Any

import aio_pika
from aiormq.exceptions import AMQPError

from tests.faults.load import publish_undecodable
from tests.faults.registry import Scene, fault
from tests.system import eventually

GOOD = 200
LETTERS = 1000
TWENTY_MB = 20_000_000


async def _among_good_ones(scene: Scene, poison: str) -> None:
    """200 good ones around one; each good one is done, and the bad one lies on the desk once."""
    good = [scene.load.new("task") for _ in range(GOOD)]
    scene.meant_to_die.add(poison)
    async with await aio_pika.connect(scene.stage.any_broker_url()) as connection:
        channel = await connection.channel(on_return_raises=True)
        first, last = good[: GOOD // 2], good[GOOD // 2 :]
        await asyncio.gather(
            *(scene.load.publish(channel, fact, 30) for fact in first),
            _publish(channel, json.dumps({"title": poison}).encode(), poison),
            *(scene.load.publish(channel, fact, 30) for fact in last),
        )

    async def done() -> bool:
        return await scene.accountant.tasks(good) >= GOOD

    async def died_once() -> None:
        deaths = await scene.accountant.deaths([poison])
        assert deaths == {poison: 1}, f"the bad one died so often: {deaths}"

    await eventually(done, "the good ones are done", 60)
    await eventually(lambda: scene.accountant.died([poison]), "the bad one lies on the desk", 90)
    await eventually(lambda: scene.accountant.all_failed([poison]), "its owner knows that it failed", 30)
    scene.afterwards.append(died_once)


async def _publish(channel: aio_pika.abc.AbstractChannel, body: bytes, name: str, **more: Any) -> None:
    message = aio_pika.Message(body, message_id=name, delivery_mode=aio_pika.DeliveryMode.PERSISTENT, **more)
    await channel.default_exchange.publish(message, "tasks.create_task", mandatory=True)


@fault("poison-raises", armed=True)
async def poison_raises(scene: Scene) -> None:
    """A message that always raises among 200 good ones: exactly one dead letter, 200 done"""
    await _among_good_ones(scene, f"raises {scene.random.random()}")


@fault("poison-kills", ends=True, armed=True)
async def poison_kills(scene: Scene) -> None:
    """A message that kills its process among 200 good ones: exactly one dead letter, 200 done"""
    await _among_good_ones(scene, f"kills {scene.random.random()}")
    await scene.until_ready(scene.stage.last_exit)


@fault("desk-killed", ends=True)
async def desk_killed(scene: Scene) -> None:
    """The desk killed while it takes 1,000 dead letters: each lies there, and its owner knows it failed"""
    ids = [f"{scene.load.name}.{scene.round} undecodable {number}" for number in range(LETTERS)]
    scene.meant_to_die.update(ids)
    await publish_undecodable(scene.stage, ids)

    async def some() -> int:
        return len(await scene.accountant.deaths(ids))

    taken = await eventually(some, "the desk has some", 30)
    await asyncio.to_thread(scene.stage.replicas["desk_service"].process.kill)
    await scene.until_ready()
    await eventually(lambda: scene.accountant.died(ids), "all lie on the desk", 60)
    await eventually(lambda: scene.accountant.all_failed(ids), "their owner knows that they failed", 60)
    scene.notes.append(f"{taken} taken by then")
    assert taken < LETTERS, "all had been taken before"

    async def once() -> None:
        assert set((await scene.accountant.deaths(ids)).values()) == {1}

    scene.afterwards.append(once)


@fault("poison-undecodable")
async def poison_undecodable(scene: Scene) -> None:
    """What cannot be decoded and unknown fields are refused with the reason; a newer type that fits, done"""
    refused = {
        b"{": "body: Invalid JSON",
        b"\xff\xfe": "body: Invalid JSON",
        json.dumps({"title": "x", "colour": "red"}).encode(): "colour: Extra inputs",
        json.dumps({"title": "x", "schema": {"version": 9}}).encode(): "schema: Extra inputs",
    }
    newer = scene.load.new("task")
    async with await aio_pika.connect(scene.stage.any_broker_url()) as connection:
        channel = await connection.channel(on_return_raises=True)
        replies = await channel.declare_queue(exclusive=True)

        async def answer_to(body: bytes, name: str) -> Any:
            await _publish(channel, body, name, reply_to=replies.name, type="CreateTask.v9")
            return json.loads((await _next(replies)).body)

        for body, reason in refused.items():
            refusal = await answer_to(body, str(scene.random.random()))
            assert refusal["code"] == "invalid", refusal
            assert reason in refusal["message"], refusal
        newer.ids.add((await answer_to(json.dumps(newer.message).encode(), newer.label))["id"])
    newer.accepted = newer.fate_known = True


async def _next(queue: aio_pika.abc.AbstractQueue) -> aio_pika.abc.AbstractIncomingMessage:
    async def got() -> aio_pika.abc.AbstractIncomingMessage | None:
        return await queue.get(no_ack=True, fail=False)

    message: aio_pika.abc.AbstractIncomingMessage = await eventually(got, "an answer comes", 30)
    return message


@fault("poison-20-mb")
async def poison_20_mb(scene: Scene) -> None:
    """A message of 20 MB: refused by the broker (4.x) or by the service, either way clear to its sender"""
    body = json.dumps({"title": "long " * (TWENTY_MB // 5)}).encode()
    overview = await scene.stage.management("GET", "/api/overview")
    takes_it = int(overview["rabbitmq_version"].partition(".")[0]) < 4
    async with await aio_pika.connect(scene.stage.any_broker_url()) as connection:
        channel = await connection.channel(on_return_raises=True)
        replies = await channel.declare_queue(exclusive=True)
        try:
            await _publish(channel, body, str(scene.random.random()), reply_to=replies.name)
        except AMQPError as error:
            scene.notes.append(f"the broker: {str(error)[:80]}")
            assert not takes_it and "is larger than" in str(error), error
            return
        assert takes_it, "this RabbitMQ should have refused it"
        refusal = json.loads((await _next(replies)).body)
    scene.notes.append(f"the service: {refusal['code']}")
    assert refusal["code"] == "invalid", refusal
