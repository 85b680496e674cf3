"""A network of roads, the same one for the same size. Standard library only: both sides import it."""

import json
from collections.abc import Callable
from random import Random
from statistics import median
from time import perf_counter
from typing import Any

STORAGES, ROADS = 5_000, 20_000
NEIGHBOURHOOD = 100
"""Roads join storages whose numbers are at most so far apart: most lead near, as roads do."""
ROADS_OF_ORGANIZATION = 5

Road = tuple[int, int, int, bool]
"""From, to, metres, whether it leads both ways."""


def roads(size: int) -> list[Road]:
    """Of `size` times 5,000 storages, numbered from 0, and one organization, the last; none twice."""
    random = Random(size)
    storages = STORAGES * size
    found = {(number, number + 1): random.randint(50, 5_000) for number in range(storages - 1)}
    while len(found) < ROADS * size - ROADS_OF_ORGANIZATION:
        start = random.randrange(storages - 1)
        end = min(storages - 1, start + random.randint(1, NEIGHBOURHOOD))
        found.setdefault((start, end), random.randint(50, 5_000))
    ways = [(*ends, metres, random.random() < 0.5) for ends, metres in found.items()]
    first = random.sample(range(storages), ROADS_OF_ORGANIZATION)
    return ways + [(storages, end, random.randint(50, 5_000), False) for end in first]


def repeated(run: Callable[[], Any], times: int) -> float:
    """Median seconds."""
    lasted = []
    for _ in range(times):
        began = perf_counter()
        run()
        lasted.append(perf_counter() - began)
    return median(lasted)


def say(reached: int, metres: int, **seconds: float) -> None:
    """What was found, for a comparison of the two sides, and how long it took."""
    print(json.dumps({"reached": reached, "metres": metres, **seconds}))
