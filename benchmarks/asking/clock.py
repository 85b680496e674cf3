"""How long answers take with so many questions on their way, for clients that are coroutines.

Standard library only: all sides import it.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter

WARM_UP_SECONDS = 0.5


def arguments() -> tuple[float, int]:
    """`python -m … SECONDS IN_FLIGHT`."""
    return float(sys.argv[1]), int(sys.argv[2])


def say(latencies: list[float], seconds: float) -> None:
    print(json.dumps({"answers": len(latencies), "seconds": seconds, "median_ms": median(latencies) * 1000}))


async def ask_and_say(ask: Callable[[], Awaitable[bytes]]) -> None:
    """Ask without a pause, with so many in flight as the arguments say, and print what was found."""
    seconds, in_flight = arguments()
    assert b"Buy milk" in await ask()
    await _asked(ask, WARM_UP_SECONDS, in_flight)
    began = perf_counter()
    latencies = await _asked(ask, seconds, in_flight)
    say(latencies, perf_counter() - began)


async def _asked(ask: Callable[[], Awaitable[bytes]], seconds: float, in_flight: int) -> list[float]:
    latencies = []
    end = perf_counter() + seconds

    async def keep_asking() -> None:
        while (sent := perf_counter()) < end:
            await ask()
            latencies.append(perf_counter() - sent)

    await asyncio.gather(*(keep_asking() for _ in range(in_flight)))
    return latencies
