"""Sides measured in turn, in one run on one machine, and the ratios that come of it.

What one round found of a side is compared with what the same round found of another, so that whatever slows
the whole machine for a while slows both. The median of these ratios counts; smallest and largest are told.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

Say = Callable[[str], None]
Round = Callable[[], Awaitable[float]]


@dataclass(frozen=True)
class Goal:
    """How many times as much as the other side; at least, or (of times and memory) at most.

    With a unit it is a limit for our figure alone, and the other side's is only shown.
    """

    times: float
    at_most: bool = False
    unit: str = "×"

    @property
    def is_ratio(self) -> bool:
        return self.unit == "×"

    def met_by(self, measured: float) -> bool:
        return measured <= self.times if self.at_most else measured >= self.times

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.times:g} {self.unit}"


@dataclass(frozen=True)
class Comparison:
    """One row of the table: a figure of ours and one of theirs for each round."""

    what: str
    against: str
    unit: str
    goal: Goal
    ours: Sequence[float]
    theirs: Sequence[float]

    @property
    def measured(self) -> list[float]:
        """What is held against the goal, of each round."""
        if not self.goal.is_ratio:
            return list(self.ours)
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    @property
    def middle(self) -> float:
        return median(self.measured)

    @property
    def is_met(self) -> bool:
        return self.goal.met_by(self.middle)


@dataclass(frozen=True)
class Found:
    """What a comparison found: its rows, and in Markdown what a reader has to know of them.

    `tables` stand in `docs/performance.md` instead; `figures` are what that page compares them by.
    """

    rows: Sequence[Comparison]
    notes: str
    tables: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


async def in_turn(sides: Mapping[str, Round], rounds: int, say: Say) -> dict[str, list[float]]:
    """The figures of each side, a round after the other; every other round goes backwards."""
    figures: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides)[:: -1 if number % 2 else 1]:
            figures[name].append(await sides[name]())
            say(f"  round {number + 1} of {rounds}: {name} {figures[name][-1]:,.0f}")
    return figures
