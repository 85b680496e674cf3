"""What passing messages through the broker costs a client: published, all confirmed, then consumed again.

Each side is a program in a process of its own: `python -m benchmarks.anatomy.SIDE MESSAGES`.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import perf_counter, process_time
from uuid import uuid4

from benchmarks.cpu import cpu_seconds

IN_FLIGHT = 64
PREFETCH = 128
TOGETHER = 64
"""Messages that one acknowledgement settles, on all sides; the last settles the rest."""
WARM_UP = 500
BODY = b'{"title": "Buy milk"}'
Passing = Callable[[int], Awaitable[None]]
Clocks = dict[str, dict[str, float]]


def queue() -> str:
    return os.environ["QUEUE"]


def broker_url() -> str:
    return os.environ["BROKER_URL"]


def command() -> dict[str, object]:
    """The properties of a CreateTask as the gateway sends it, but for time and user."""
    name = uuid4().hex
    return {
        "content_type": "application/json",
        "delivery_mode": 2,
        "message_id": name,
        "correlation_id": name,
        "reply_to": "answers.gateway.0",
        "type": "CreateTask",
        "app_id": "gateway",
        "headers": {"actor": "anonymous"},
    }


async def in_flight(publish: Callable[[], Awaitable[object]], count: int) -> None:
    """Publish so many, `IN_FLIGHT` of them unconfirmed at any time."""
    left = iter(range(count))

    async def keep_publishing() -> None:
        for _ in left:
            await publish()

    await asyncio.gather(*(keep_publishing() for _ in range(IN_FLIGHT)))


class Counting:
    """Counts what is consumed; `settles` is true for a message that is acknowledged with all before it."""

    def __init__(self, count: int):
        self.count = count
        self.seen = 0
        self.all = asyncio.Event()

    def settles(self) -> bool:
        self.seen += 1
        if self.seen == self.count:
            self.all.set()
        return self.seen % TOGETHER == 0 or self.seen == self.count


@contextmanager
def clocked(clocks: Clocks, name: str, count: int) -> Iterator[None]:
    """Notes how many a second, and CPU microseconds of each: this process's and the server's."""
    server = int(os.environ["SERVER_PID"])
    began, used, served = perf_counter(), process_time(), cpu_seconds(server)
    yield
    clocks[name] = {
        "a_second": count / (perf_counter() - began),
        "client_us": (process_time() - used) * 1e6 / count,
        "server_us": (cpu_seconds(server) - served) * 1e6 / count,
    }


async def pass_and_say(publish: Passing, consume: Passing) -> None:
    """Each of the two with some, then with all that the argument says, and print what was found."""
    count, clocks = int(sys.argv[1]), Clocks()
    await publish(WARM_UP)
    await consume(WARM_UP)
    with clocked(clocks, "publishing", count):
        await publish(count)
    with clocked(clocks, "consuming", count):
        await consume(count)
    print(json.dumps(clocks))
