"""All distances of one organization among 5,000 storages and 20,000 roads, beside SciPy's Dijkstra.

Shown as well: four and sixteen times as large, one placement, and the first command after a new road.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.bench import Bench
from benchmarks.comparing import Comparison, Found, Goal, Round, in_turn
from benchmarks.distances.roads import ROADS, STORAGES
from benchmarks.environments import python_of, versions_of
from benchmarks.programs import outcome_of, program

SIZES = (1, 4, 16)
SECONDS = 120
GOALS = {"cold": Goal(0.8), "unchanged": Goal(50)}
PEER = "scipy"
NOTES = Path(__file__).with_name("sides.md")
SHOWN = ("cold", "unchanged", "placement", "after_a_road")
HEAD = """\
| storages | roads | SciPy | cold | network unchanged | one placement | first command after a new road |
|---:|---:|---:|---:|---:|---:|---:|
"""


@dataclass
class Side:
    python: str
    module: str
    size: int
    outcomes: list[dict[str, Any]] = field(default_factory=list)

    def seconds(self, what: str) -> list[float]:
        return [float(outcome[what]) for outcome in self.outcomes]


async def compare(bench: Bench) -> Found:
    ours = [Side(sys.executable, "benchmarks.distances.ours", size) for size in SIZES]
    if bench.small:
        await _round(bench, ours[0])
        return Found([], NOTES.read_text())
    theirs = [Side(python_of(PEER), "benchmarks.distances.with_scipy", size) for size in SIZES]
    for our, their in zip(ours, theirs, strict=True):
        bench.say(f"  {our.size} ×, microseconds:")
        rounds = {"Conveyor": _measuring(bench, our, "cold"), "SciPy": _measuring(bench, their, "seconds")}
        await in_turn(rounds, bench.rounds, bench.say)
        same = {(outcome["reached"], outcome["metres"]) for outcome in our.outcomes + their.outcomes}
        assert len(same) == 1, f"the sides came to different distances: {same}"
    rows = [_row(ours[0], theirs[0], what) for what in GOALS]
    return Found(rows, _notes(ours, theirs))


def _measuring(bench: Bench, side: Side, what: str) -> Round:
    async def microseconds() -> float:
        await _round(bench, side)
        return side.seconds(what)[-1] * 1e6

    return microseconds


async def _round(bench: Bench, side: Side) -> None:
    command = [side.python, "-m", side.module, str(side.size)]
    side.outcomes.append(await outcome_of(program("distances", command, {}, bench.folder), SECONDS))


def _row(our: Side, their: Side, what: str) -> Comparison:
    """In times a second, so that more is better."""
    ours, theirs = ([1 / lasted for lasted in side] for side in (our.seconds(what), their.seconds("seconds")))
    known = "cold" if what == "cold" else "network unchanged"
    title = f"all distances, {STORAGES:,} storages, {ROADS:,} roads, {known}"
    return Comparison(title, "SciPy's csgraph.dijkstra", "a second", GOALS[what], ours, theirs)


def _notes(ours: Sequence[Side], theirs: Sequence[Side]) -> str:
    table = HEAD + "\n".join(map(_line, ours, theirs))
    return f"{NOTES.read_text()}\nThe other: {versions_of(PEER)}.\n\nMilliseconds, medians:\n\n{table}\n"


def _line(our: Side, their: Side) -> str:
    columns = [their.seconds("seconds"), *map(our.seconds, SHOWN)]
    figures = [f"{median(column) * 1000:.3g}" for column in columns]
    return f"| {' | '.join([f'{STORAGES * our.size:,}', f'{ROADS * our.size:,}', *figures])} |"
