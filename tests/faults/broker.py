"""RabbitMQ gone, frozen, short of memory; connections, queues and consumers taken away."""

import asyncio
from time import monotonic
from typing import Any
from urllib.parse import quote

import aio_pika
import httpx2

from shared.topology import RETURNS, queue_for
from tests.faults.load import Kind
from tests.faults.registry import Scene, fault
from tests.faults.stage import Stage
from tests.system import eventually

DEADLY = 1000
LIMIT = ("set_vm_memory_high_watermark",)
IDLE = (
    "tasks.change_task",
    "tasks.get_task",
    "waste.add_road",
    "waste.list_kinds",
    "texts.cancel_text",
    "texts.list_texts",
)
"""Queues in which none of the load lies, so that nothing goes with them."""


@fault("rabbitmq-stop")
async def rabbitmq_stop(scene: Scene) -> None:
    """RabbitMQ stopped and started"""
    await restart(scene, "stop")


@fault("rabbitmq-kill")
async def rabbitmq_kill(scene: Scene) -> None:
    """RabbitMQ killed and started"""
    await restart(scene, "kill")


async def restart(scene: Scene, how: str) -> None:
    rabbitmq = scene.stage.servers.rabbitmq
    await asyncio.to_thread(getattr(rabbitmq, how))
    await asyncio.sleep(scene.random.uniform(0, 3))
    await asyncio.to_thread(rabbitmq.start)
    await asyncio.to_thread(rabbitmq.wait_ready)


@fault("rabbitmq-freeze", times=1)
async def rabbitmq_freeze(scene: Scene) -> None:
    """RabbitMQ frozen for 60 s and thawed"""
    rabbitmq = scene.stage.servers.rabbitmq
    rabbitmq.freeze()
    try:
        await asyncio.sleep(60)
    finally:
        rabbitmq.thaw()


@fault("connections-closed")
async def connections_closed(scene: Scene) -> None:
    """All connections closed by the management API, with a hundred commands in flight"""
    await scene.load.burst(100)
    closed = await eventually(lambda: close_connections(scene.stage), "connections are listed and closed")
    scene.notes.append(f"{closed} closed")


async def close_connections(stage: Stage) -> int:
    """How many; the management API lists a connection only some seconds after it was made."""
    connections = await stage.management("GET", "/api/connections?columns=name,vhost")
    mine = [one["name"] for one in connections if one.get("vhost") == stage.system.name]
    async with stage.system.management() as page:
        answers = await asyncio.gather(*(page.delete(f"/api/connections/{quote(name)}") for name in mine))
    return sum(answer.status_code == 204 for answer in answers)


@fault("queue-deleted")
async def queue_deleted(scene: Scene) -> None:
    """A queue deleted while it is consumed: it comes back with its arguments and bindings"""
    kinds: dict[str, Kind] = {"tasks.create_task": "task", "waste.generate_waste": "waste"}
    queue = scene.random.choice([*kinds, "texts.process_text", "tasks.get_task"])
    scene.forgiven.add(kinds.get(queue, "text" if queue.startswith("texts") else "none"))
    await scene.stage.management("DELETE", f"/api/queues/{{vhost}}/{queue}")
    await until_whole(scene.stage, queue)


@fault("consumer-cancelled")
async def consumer_cancelled(scene: Scene) -> None:
    """Consumers of every service cancelled by the broker: their queues deleted and declared anew at once"""
    queues = scene.random.sample(IDLE, 4)
    for queue in queues:
        await scene.stage.management("DELETE", f"/api/queues/{{vhost}}/{queue}")
    await scene.stage.system.run_once(
        "shared.topology", RABBITMQ_URL=scene.stage.system.broker_url("operator")
    )
    for queue in queues:
        await until_whole(scene.stage, queue)


async def until_whole(stage: Stage, name: str) -> None:
    """Until a queue is there as the contracts want it, with a consumer."""
    wanted = {key: value for key, value in queue_for(name).arguments.items() if key != "x-queue-type"}

    async def whole() -> bool:
        try:
            queue: dict[str, Any] = await stage.management("GET", f"/api/queues/{{vhost}}/{name}")
            bindings = await stage.management("GET", f"/api/queues/{{vhost}}/{name}/bindings")
        except httpx2.HTTPStatusError:
            return False
        bound: set[tuple[str, str]] = {(one["source"], one["routing_key"]) for one in bindings}
        consumed = any(one.get("ack_required") for one in queue.get("consumer_details", []))
        same = wanted.items() <= queue["arguments"].items()
        return consumed and same and set(queue_for(name).bindings) <= bound

    await eventually(whole, f"{name} is back with its arguments and bindings (to {RETURNS}, too)", 30)


@fault("memory-alarm")
async def memory_alarm(scene: Scene) -> None:
    """Memory alarm for some seconds: writes are answered 503 within 1 s, what waits is done"""
    rabbitmq = scene.stage.servers.rabbitmq
    await scene.load.burst(100, "task")
    async with await aio_pika.connect(scene.stage.any_broker_url()) as connection:
        channel = await connection.channel()
        waiting = await channel.get_queue("tasks.create_task")
        await asyncio.to_thread(rabbitmq.control, *LIMIT, "0.00001")
        try:
            await _refused_within_a_second(scene)
            await eventually(lambda: _is_empty(waiting), "what waits is done under the alarm", 30)
        finally:
            await asyncio.to_thread(rabbitmq.control, *LIMIT, "0.4")


async def _refused_within_a_second(scene: Scene) -> None:
    async with scene.stage.http() as http:

        async def refused() -> bool:
            return (await http.post("/tasks", json={"title": "under the alarm"})).status_code == 503

        began = monotonic()
        await eventually(refused, "a write is answered 503", 30)
        noticed = monotonic() - began
        began = monotonic()
        answers = [await http.post("/tasks", json={"title": "under the alarm"}) for _ in range(5)]
        slowest = (monotonic() - began) / len(answers)
    scene.notes.append(f"first 503 after {noticed:.1f} s, then each in {slowest:.2f} s")
    assert {answer.status_code for answer in answers} == {503}, answers
    assert slowest < 1, f"a 503 took {slowest:.1f} s"


async def _is_empty(queue: aio_pika.abc.AbstractQueue) -> bool:
    return not (await queue.declare()).message_count


@fault("dead-lettering-killed", times=1, ends=True)
async def dead_lettering_killed(scene: Scene) -> None:
    """RabbitMQ and the service killed while 1,000 messages become dead letters: all of them lie there"""
    wanted = {f"{scene.load.name}.deadly.{number}" for number in range(DEADLY)}
    async with await aio_pika.connect(scene.stage.any_broker_url()) as connection:
        channel = await connection.channel(on_return_raises=True)
        await channel.set_qos(0)
        messages = [
            aio_pika.Message(b"{", message_id=name, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            for name in wanted
        ]
        await asyncio.gather(
            *(channel.default_exchange.publish(one, "tasks.create_task") for one in messages[: DEADLY // 2])
        )
        later = [
            channel.default_exchange.publish(one, "tasks.create_task") for one in messages[DEADLY // 2 :]
        ]
        await asyncio.gather(*later)
    await asyncio.to_thread(scene.stage.replicas["task_service"].process.kill)
    await restart(scene, "kill")
    found: list[str] = []

    async def all_there() -> bool:
        found.extend(await _taken(scene.stage, "dead_letters"))
        return wanted <= set(found)

    await eventually(all_there, "all are dead letters", 90)
    twice = sum(name in wanted for name in found) - len(wanted)
    scene.notes.append(f"{len(wanted)} dead letters, {twice} of them twice, under one id")


async def _taken(stage: Stage, queue: str) -> list[str]:
    """The ids of what lies in a queue, which is taken out of it."""
    ids = []
    async with await aio_pika.connect(stage.any_broker_url()) as connection:
        channel = await connection.channel()
        source = await channel.get_queue(queue)
        while message := await source.get(fail=False):
            ids.append(message.message_id or "")
            await message.ack()
    return ids
