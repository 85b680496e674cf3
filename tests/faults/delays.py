"""The delay levels: what is tried again later comes back in time, whatever is in the same level."""

import asyncio
from contextlib import suppress
from time import monotonic

import aio_pika
from aiormq.exceptions import AMQPError

from shared.topology import RETURNS, delay_exchange
from tests.faults.broker import have_queue, restart
from tests.faults.registry import Scene, fault
from tests.faults.stage import Stage
from tests.system import eventually

LATE_SECONDS = 2.0
CLOCK = 0.01
"""By so much of each second Erlang lets its clock run faster or slower while it corrects it."""
NOWHERE = 40
QUEUE = "delayed"


async def _interleaved(scene: Scene, levels: tuple[int, ...], broken: bool) -> None:
    stage = scene.stage
    await have_queue(stage, QUEUE, RETURNS)
    name = f"{scene.random.random()}"  # a copy of the time before may come twice
    arrived: dict[str, float] = {}
    due: dict[str, float] = {}
    async with await aio_pika.connect(stage.any_broker_url()) as connection:
        channel = await connection.channel()
        for number, seconds in enumerate(levels * 5):
            exchange = await channel.get_exchange(delay_exchange(seconds), ensure=False)
            one = f"{name} {number}"
            message = aio_pika.Message(b"", message_id=one, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            due[one] = monotonic() + seconds
            await exchange.publish(message, QUEUE)
    back = monotonic()
    if broken:
        await restart(scene, "kill")
        back = monotonic()
    ready = asyncio.create_task(scene.until_ready())
    while not await _all(arrived, due):  # a queue may take a moment to have a leader again
        with suppress(AMQPError, OSError):
            await _take(stage, arrived, due)
    await ready
    late = {one: arrived[one] - max(due[one], back) for one in due}
    early = min(arrived[one] - due[one] for one in due)
    scene.notes.append(f"{early:+.2f} to {max(late.values()):+.2f} s")
    assert early >= -CLOCK * min(levels), f"{-early:.3f} s too early"
    assert max(late.values()) <= LATE_SECONDS, f"{max(late.values()):.1f} s late"


async def _take(stage: Stage, arrived: dict[str, float], due: dict[str, float]) -> None:
    async with await aio_pika.connect(stage.any_broker_url(), timeout=5) as connection:
        queue = await (await connection.channel()).get_queue(QUEUE)

        async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            arrived[message.message_id or ""] = monotonic()
            await message.ack()

        await queue.consume(take)
        await eventually(lambda: _all(arrived, due), "all came back", 100)


async def _all(arrived: dict[str, float], due: dict[str, float]) -> bool:
    return arrived.keys() >= due.keys()


@fault("delays", times=1)
async def delays(scene: Scene) -> None:
    """Copies delayed by 1, 60 and 10 s, interleaved, come back when they are due, at most 2 s late"""
    await _interleaved(scene, (1, 60, 10), broken=False)


@fault("delays-broken")
async def delays_broken(scene: Scene) -> None:
    """The same with 1 and 10 s while RabbitMQ is killed: at most 2 s after it is back"""
    await _interleaved(scene, (1, 10), broken=True)


@fault("delays-to-nowhere")
async def delays_to_nowhere(scene: Scene) -> None:
    """Forty copies for a queue that no longer exists end in the dead letters, and hold up nobody"""
    name = f"nowhere.{scene.random.random()}"
    ids = [f"{name} {number}" for number in range(NOWHERE)]
    scene.meant_to_die.update(ids)
    async with await aio_pika.connect(scene.stage.any_broker_url()) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(delay_exchange(1), ensure=False)
        for one in ids:
            await exchange.publish(aio_pika.Message(b"", message_id=one), name)
    await _interleaved(scene, (1,), broken=False)
    await eventually(lambda: scene.accountant.died(ids), "all forty lie on the desk", 30)
