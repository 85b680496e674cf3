"""How many answers come with so many questions on their way, for clients that are coroutines.

Standard library only: all sides import it.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter

WARM_UP_SECONDS = 0.5


def arguments() -> tuple[float, int]:
    """`python -m … SECONDS IN_FLIGHT`."""
    return float(sys.argv[1]), int(sys.argv[2])


def say(answers: int, seconds: float) -> None:
    print(json.dumps({"answers": answers, "seconds": seconds}))


async def ask_and_say(ask: Callable[[], Awaitable[bytes]]) -> None:
    """Ask without a pause, with so many in flight as the arguments say, and print what was found."""
    seconds, in_flight = arguments()
    assert b"Buy milk" in await ask()
    await _asked(ask, WARM_UP_SECONDS, in_flight)
    began = perf_counter()
    answers = await _asked(ask, seconds, in_flight)
    say(answers, perf_counter() - began)


async def _asked(ask: Callable[[], Awaitable[bytes]], seconds: float, in_flight: int) -> int:
    end = perf_counter() + seconds

    async def keep_asking() -> int:
        answers = 0
        while perf_counter() < end:
            await ask()
            answers += 1
        return answers

    return sum(await asyncio.gather(*(keep_asking() for _ in range(in_flight))))
