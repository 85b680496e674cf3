"""RabbitMQ gone, frozen, short of memory; connections, queues and consumers taken away."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any
from urllib.parse import quote

import aio_pika
import httpx2
from aiormq.exceptions import AMQPError

from shared.topology import DEAD_LETTERS, KEPT, RETURNS, queue_for, work_queue
from tests.faults.accountant import SUBMITTED, WITNESS
from tests.faults.load import Kind, publish_undecodable
from tests.faults.registry import Scene, fault
from tests.faults.stage import NAMES, Stage
from tests.system import eventually

DEADLY = 1000
IN_FLIGHT = 2000
WAITING = 100
HOPELESS = 5
OLD_ENOUGH_SECONDS = 5.0
REJECTING = "rejecting"
FAULTS_HEARD = "tasks.on.desk.fault"
LOADED: tuple[tuple[str, Kind], ...] = (
    ("tasks.create_task", "task"),
    ("waste.generate_waste", "waste"),
    ("texts.process_text", "text"),
)
"""Queues in which the load lies, and of what kind it is there."""
LIMIT = ("set_vm_memory_high_watermark",)
IDLE = (
    ("tasks.change_task", "tasks.get_task"),
    ("waste.add_road", "waste.list_kinds"),
    ("texts.cancel_text", "texts.list_texts"),
    (DEAD_LETTERS,),
)
"""Queues of each service in which none of the load lies, so that nothing goes with them."""


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
    """All connections closed by the management API, in the middle of 2,000 commands"""

    async def all_listed() -> bool:
        clients = {one.client for one in await connections(scene.stage)}
        return all(sum(client.startswith(name) for client in clients) >= 2 for name in NAMES)

    await eventually(all_listed, "both connections of each process are listed", 30)
    facts = [scene.load.new("task") for _ in range(IN_FLIGHT)]
    sending = asyncio.create_task(scene.load.send(facts))

    def unconfirmed() -> int:
        return sum(not fact.accepted for fact in facts)

    async def under_way() -> bool:
        return unconfirmed() < IN_FLIGHT

    await eventually(under_way, "some are confirmed", 30)
    closed, left = await close_connections(scene.stage), unconfirmed()
    scene.time(scene.until_ready())
    await sending
    scene.notes.append(f"{closed} closed with {left} unconfirmed")
    assert closed >= 2 * len(NAMES), "not all connections were closed"
    assert left, "all had been confirmed before"


@dataclass(frozen=True)
class Connected:
    """A connection as the page lists it, by its own name and by what its client calls it."""

    name: str
    client: str


async def connections(stage: Stage) -> list[Connected]:
    """The management API lists a connection only some seconds after it was made."""
    found = await stage.management("GET", "/api/connections?columns=name,vhost,user_provided_name")
    mine = [one for one in found if one.get("vhost") == stage.system.name]
    return [Connected(one["name"], one.get("user_provided_name", "")) for one in mine]


async def close_connections(stage: Stage) -> int:
    """How many."""
    names = [one.name for one in await connections(stage)]
    async with stage.system.management() as page:
        answers = await asyncio.gather(*(page.delete(f"/api/connections/{quote(name)}") for name in names))
    return sum(answer.status_code == 204 for answer in answers)


@fault("queue-deleted")
async def queue_deleted(scene: Scene) -> None:
    """A queue of commands and one of events deleted while consumed: back with type, arguments and bindings"""
    queue, kind = LOADED[scene.round % len(LOADED)]
    began = monotonic()
    for name in (queue, FAULTS_HEARD):
        await scene.stage.management("DELETE", f"/api/queues/{{vhost}}/{name}")
    sent = {fact.label for fact in scene.load.facts if fact.kind == kind}
    effects = await scene.accountant.effects(scene.load.name)
    if kind == "text":  # what was not submitted by then lay elsewhere
        sent = {label for label in sent if (SUBMITTED, label) in effects}
    scene.forgiven |= {(kind, label) for label in sent if (kind, label) not in effects}
    for name in (queue, FAULTS_HEARD):
        await until_whole(scene.stage, name)
    await scene.until_ready(began)


@fault("consumer-cancelled")
async def consumer_cancelled(scene: Scene) -> None:
    """Consumers of every service cancelled by the broker: their queues deleted and declared anew at once"""
    queues = [scene.random.choice(of_one_service) for of_one_service in IDLE]
    for queue in queues:
        await scene.stage.management("DELETE", f"/api/queues/{{vhost}}/{queue}")
    await scene.stage.system.run_once(
        "shared.topology", RABBITMQ_URL=scene.stage.system.broker_url("operator")
    )
    began = monotonic()
    for queue in queues:
        await until_whole(scene.stage, queue)
    await scene.until_ready(began)


async def until_whole(stage: Stage, name: str) -> None:
    """Until a queue is there as the contracts want it, with a consumer."""
    wanted = queue_for(name)

    async def whole() -> bool:
        try:
            queue: dict[str, Any] = await stage.management("GET", f"/api/queues/{{vhost}}/{name}")
            bindings = await stage.management("GET", f"/api/queues/{{vhost}}/{name}/bindings")
        except httpx2.HTTPStatusError:
            return False
        bound: set[tuple[str, str]] = {(one["source"], one["routing_key"]) for one in bindings}
        consumed = any(one.get("ack_required") for one in queue.get("consumer_details", []))
        arguments = queue["arguments"] | {"x-queue-type": queue["type"]}
        same = wanted.arguments.items() <= arguments.items()
        return consumed and same and bound - {("", name)} == set(wanted.bindings)

    await eventually(whole, f"{name} is back with its type, arguments and bindings", 30)


@fault("memory-alarm")
async def memory_alarm(scene: Scene) -> None:
    """Memory alarm for some seconds: writes that it meets are answered 503 within 1 s; what waited is done,
    past messages that nobody can do
    """
    rabbitmq = scene.stage.servers.rabbitmq
    consumer = scene.stage.replicas["task_service"].process
    hopeless = [f"{scene.load.name}.{scene.round} hopeless {number}" for number in range(HOPELESS)]
    scene.meant_to_die.update(hopeless)
    try:
        consumer.freeze()
        try:
            await publish_undecodable(scene.stage, hopeless)
            waiting = await scene.load.burst(WAITING, "task")
            assert not await scene.accountant.tasks(waiting)
            await asyncio.to_thread(rabbitmq.control, *LIMIT, "0.00001")
            await _refused_within_a_second(scene)
        finally:
            consumer.thaw()

        async def done() -> bool:
            return await scene.accountant.tasks(waiting) == WAITING

        await eventually(done, "what waited is done under the alarm", 30)
        slowest = await _refused_within_a_second(scene)
        scene.notes.append(f"503 in at most {slowest:.2f} s")
    finally:
        await asyncio.to_thread(rabbitmq.control, *LIMIT, "0.4")
    await eventually(lambda: scene.accountant.died(hopeless), "what nobody can do lies on the desk", 30)

    async def none_was_slow() -> None:
        assert scene.load.slowest_503 < 1, f"a 503 took {scene.load.slowest_503:.1f} s"

    scene.afterwards.append(none_was_slow)


async def _refused_within_a_second(scene: Scene) -> float:
    """Seconds that the slowest answer took, the load's among them."""
    times = []
    async with scene.stage.http() as http:
        for _ in range(5):
            began = monotonic()
            answer = await http.post("/tasks", json={"title": "under the alarm"})
            times.append(monotonic() - began)
            assert answer.status_code == httpx2.codes.SERVICE_UNAVAILABLE, answer.text
    slowest = max(*times, scene.load.slowest_503)
    assert slowest < 1, f"a 503 took {slowest:.1f} s"
    return slowest


@fault("dead-lettering-killed", ends=True)
async def dead_lettering_killed(scene: Scene) -> None:
    """RabbitMQ killed while 1,000 messages become dead letters, by its own hand or by that of the service,
    which is killed too: each lies on the desk, and the service knows what was given up
    """
    stage, by_service = scene.stage, scene.round % 2 == 0
    await have_queue(stage, WITNESS, DEAD_LETTERS)
    await have_queue(stage, REJECTING, RETURNS, work_queue(REJECTING).arguments)
    await stage.management("DELETE", f"/api/queues/{{vhost}}/{WITNESS}/contents")
    ids = [f"{scene.load.name}.{scene.round} deadly {number}" for number in range(DEADLY)]
    scene.meant_to_die.update(ids)
    service = stage.replicas["task_service"].process
    service.freeze()
    await publish_undecodable(stage, ids, "tasks.create_task" if by_service else REJECTING)
    service.thaw()
    rejecting = asyncio.create_task(_reject(stage, REJECTING))
    try:
        dead = await _some_died(stage)
        if by_service:
            await asyncio.to_thread(service.kill)
        await restart(scene, "kill")
        await scene.until_ready()
        await eventually(lambda: scene.accountant.died(ids), "all lie on the desk", 60)
    finally:
        rejecting.cancel()
        await asyncio.gather(rejecting, return_exceptions=True)
    deaths = sum((await scene.accountant.deaths(ids)).values())
    scene.notes.append(f"{dead} of 1,000 dead by then, {deaths - DEADLY} died twice")
    assert dead < DEADLY, "all were dead letters before"
    if by_service:
        await eventually(lambda: scene.accountant.all_failed(ids), "the service knows what was given up", 60)


async def _some_died(stage: Stage) -> int:
    """How many dead letters there are when there are some."""
    async with await aio_pika.connect(stage.any_broker_url()) as connection:
        channel = await connection.channel()

        async def some() -> int:
            declared = await channel.declare_queue(WITNESS, passive=True)
            return declared.declaration_result.message_count or 0

        found: int = await eventually(some, "some are dead letters", 30)
        return found


async def _reject(stage: Stage, queue: str) -> None:
    """All that lies there, for ever, whatever becomes of the connection."""
    while True:
        with suppress(AMQPError, OSError, RuntimeError, TimeoutError):
            async with await aio_pika.connect(stage.any_broker_url(), timeout=5) as connection:
                channel = await connection.channel()
                await (await channel.get_queue(queue)).consume(lambda message: message.reject(requeue=False))
                while not channel.is_closed:
                    await asyncio.sleep(0.1)
        await asyncio.sleep(0.2)


async def have_queue(stage: Stage, name: str, exchange: str, arguments: Mapping[str, Any] = KEPT) -> None:
    """One for all times, bound by its name: RabbitMQ 3.10 that is killed within a second of declaring a
    quorum queue has it for ever without a leader (tried).
    """
    async with stage.system.management() as page:
        declared = {"durable": True, "arguments": arguments}
        answer = await page.put(f"/api/queues/{stage.system.name}/{name}", json=declared)
    if answer.status_code == httpx2.codes.CREATED:
        binding = {"routing_key": name}
        await stage.management("POST", f"/api/bindings/{{vhost}}/e/{exchange}/q/{name}", json=binding)
        await asyncio.sleep(OLD_ENOUGH_SECONDS)
