"""Work that waits in a queue before anybody consumes it, and how fast it is drained.

The clock runs from the first effect that is seen to the last: starting a process is not measured here.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter

import aio_pika

from benchmarks.bench import Bench
from benchmarks.cpu import cpu_seconds
from infra.local.processes import Process
from tests.system import eventually

AT_A_TIME = 256
EVENTS = "bench.events"
LOOK_SECONDS, SOONEST, SELDOMMEST = 0.05, 0.01, 0.1
"""Between two looks, at first and once it is known how fast they are: counting takes the store's time too."""
START_SECONDS = 60.0


@dataclass(frozen=True)
class Drained:
    """How fast, and CPU milliseconds for each by whom they were used."""

    a_second: float
    done: int
    cpu_ms: Mapping[str, float]


async def fill(bench: Bench, queue: str, messages: Iterable[aio_pika.Message]) -> None:
    """Put persistent messages into a queue that holds nothing else, all confirmed."""
    async with await aio_pika.connect(bench.system.broker_url("operator")) as connection:
        channel = await connection.channel(on_return_raises=True)

        async def nobody_consumes() -> bool:
            declared = await channel.declare_queue(queue, passive=True)
            return declared.declaration_result.consumer_count == 0

        # What workers that were ended had in hand comes back then, to be done alone: purge that as well.
        await eventually(nobody_consumes, f"nobody consumes {queue}")
        await (await channel.get_queue(queue)).purge()
        waiting = iter(messages)

        async def publish() -> None:
            for message in waiting:
                message.delivery_mode = aio_pika.DeliveryMode.PERSISTENT
                await channel.default_exchange.publish(message, queue, mandatory=True)

        await asyncio.gather(*(publish() for _ in range(AT_A_TIME)))


async def keep_events(bench: Bench, *keys: str) -> None:
    """Let a quorum queue keep these events, as a consumer's own would."""
    async with await aio_pika.connect(bench.system.broker_url("operator")) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(EVENTS, durable=True, arguments={"x-queue-type": "quorum"})
        for key in keys:
            await queue.bind("events", key)


@asynccontextmanager
async def events_kept(bench: Bench) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """Asks how many have been kept meanwhile."""
    async with await aio_pika.connect(bench.system.broker_url("operator")) as connection:
        channel = await connection.channel()
        await (await channel.get_queue(EVENTS)).purge()

        async def kept() -> int:
            queue = await channel.declare_queue(EVENTS, passive=True)
            return queue.declaration_result.message_count or 0

        yield kept


async def drain(
    bench: Bench,
    workers: Callable[[], Sequence[Process]],
    done: Callable[[], Awaitable[int]],
    total: int,
    seconds: float,
) -> Drained:
    """Start workers and wait until `done` counts all, no longer than some seconds after the first.

    They are ended again, and in good order.
    """
    started = workers()
    pids = {
        "workers": [worker.pid for worker in started],
        "RabbitMQ": [bench.servers.rabbitmq.process.pid],
        "PostgreSQL": [bench.servers.postgresql.process.pid],
    }
    try:
        first = await _at_least(1, done, started, START_SECONDS)
        began, used = perf_counter(), {part: cpu_seconds(*of) for part, of in pids.items()}
        last = await _at_least(total, done, started, seconds)
        lasted, more = perf_counter() - began, max(1, last - first)  # a small form may be over at first sight
        assert last <= total, f"{last} of {total} were done: some twice"
        cpu = {part: (cpu_seconds(*of) - used[part]) * 1000 / more for part, of in pids.items()}
        return Drained(more / lasted, last, cpu)
    finally:
        for worker in started:
            worker.ask_to_end()
        await asyncio.gather(*(asyncio.to_thread(worker.end) for worker in started))


async def _at_least(
    number: int, done: Callable[[], Awaitable[int]], workers: Sequence[Process], seconds: float
) -> int:
    """How many are done, as soon as they are so many, or that many seconds later."""
    began, before = perf_counter(), await done()
    end, count = began + seconds, before
    while count < number and (now := perf_counter()) < end:
        ended = [worker for worker in workers if worker.exit_code is not None]
        assert not ended, f"{ended[0].name} has ended: {ended[0].log.last_lines(5)}"
        await asyncio.sleep(min(_pause(number - count, count - before, now - began), end - now))
        count = await done()
    return count


def _pause(left: int, seen: int, seconds: float) -> float:
    """Half of what the rest will take: the end is seen soon after it comes, and seldom asked for before."""
    if not seen:
        return LOOK_SECONDS
    return min(max(left * seconds / seen / 2, SOONEST), SELDOMMEST)
