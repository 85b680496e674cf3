"""`python -m benchmarks [NAME…]`: measure all comparisons, or those named, and write down what was found.

Each comparison has databases and a virtual host of its own, and a time limit; all ends with this process.
"""

import argparse
import asyncio
import importlib
import signal
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter

from benchmarks.bench import Bench, prepared, running, say
from benchmarks.comparing import Found
from benchmarks.performance import fill_in
from benchmarks.results import keep
from benchmarks.versions import versions
from infra.local.problems import Problem

COMPARISONS = {
    "post-task": "benchmarks.tasks.answered",
    "post-task-202": "benchmarks.tasks.accepted",
    "get-task": "benchmarks.tasks.looked_up",
    "drain-tasks": "benchmarks.draining.comparison",
    "ask": "benchmarks.asking.comparison",
    "generate-waste": "benchmarks.waste.comparison",
    "distances": "benchmarks.distances.comparison",
    "texts": "benchmarks.texts.comparison",
    "footprint": "benchmarks.footprint.comparison",
    "anatomy": "benchmarks.anatomy.comparison",
}
"""By name, the module whose `compare` measures it."""
LIMIT_SECONDS = 900.0
Compare = Callable[[Bench], Awaitable[Found]]


def compare_by(name: str) -> Compare:
    """What measures the comparison of that name."""
    compare: Compare = importlib.import_module(COMPARISONS[name]).compare
    return compare


async def measure(names: list[str], rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        folder = Path(temporary)
        async with running(folder / "servers") as servers:
            for name in names:
                say(f"{name}:")
                began = perf_counter()
                async with (
                    asyncio.timeout(LIMIT_SECONDS),
                    prepared(servers, folder / name, say, rounds, small=False) as bench,
                ):
                    found = await compare_by(name)(bench)
                keep(name, found, versions(servers), seconds=perf_counter() - began)
                fill_in()
                for row in found.rows:
                    middle = f"{row.middle:.2f} {row.goal.unit}"
                    say(f"  {middle} against {row.against} ({row.goal}): {row.what}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure beside the peers.")
    parser.add_argument("names", nargs="*", metavar="ONLY", help=f"of {', '.join(COMPARISONS)}")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    if unknown := set(given.names) - set(COMPARISONS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there is {', '.join(COMPARISONS)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        asyncio.run(measure(given.names or list(COMPARISONS), given.rounds))
    except Problem as problem:
        raise SystemExit(str(problem)) from None


if __name__ == "__main__":
    main()
