"""What is held leaves together, and soon: by a clock that stands still until it is set forward."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from shared import holding
from shared.holding import CLOCK_SECONDS, LATEST_SECONDS, MOST_HELD, QUIET_SECONDS, Held


class Clock:
    """Time and timers of an event loop."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> Any:
        timer = when, call
        self.timers.append(timer)
        return SimpleNamespace(cancel=lambda: self._cancel(timer))

    def _cancel(self, timer: tuple[float, Callable[[], None]]) -> None:
        self.timers = [one for one in self.timers if one is not timer]

    def pass_by(self, seconds: float, *, timers: bool = True) -> None:
        self.now += seconds
        for when, call in list(self.timers) if timers else ():
            if when <= self.now:
                self.timers.remove((when, call))
                call()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(holding, "asyncio", SimpleNamespace(get_running_loop=lambda: clock))
    return clock


def holder(*, patient: bool = False) -> tuple[Held[int], list[list[int]]]:
    lots: list[list[int]] = []
    return Held(lots.append, patient=patient), lots


def test_what_comes_within_a_moment_leaves_together_once_no_more_comes(clock: Clock) -> None:
    held, lots = holder()

    held.add([1, 2])
    clock.pass_by(0.8 * QUIET_SECONDS)
    held.add([3])
    clock.pass_by(0.8 * QUIET_SECONDS)
    held.add([])  # which is not more
    assert lots == []

    clock.pass_by(0.3 * QUIET_SECONDS)
    assert lots == [[1, 2, 3]]
    clock.pass_by(600)
    assert lots == [[1, 2, 3]]


@pytest.mark.parametrize(
    "timers", [True, False], ids=["timers have their turn", "no turn of the loop between"]
)
def test_it_leaves_at_the_latest_though_more_comes_all_the_time(clock: Clock, timers: bool) -> None:
    held, lots = holder()

    while clock.now < LATEST_SECONDS - CLOCK_SECONDS:
        assert lots == []
        held.add([1])
        clock.pass_by(0.3 * QUIET_SECONDS, timers=timers)
    clock.pass_by(LATEST_SECONDS - clock.now, timers=timers)
    if not timers:
        held.add([1])

    assert len(lots) == 1
    clock.pass_by(600)
    assert len(lots) <= 2
    assert held.things == []


def test_the_patient_waits_as_long_as_it_may(clock: Clock) -> None:
    held, lots = holder(patient=True)

    held.add([1])
    clock.pass_by(0.9 * LATEST_SECONDS)
    held.add([2])
    assert lots == []

    clock.pass_by(0.2 * LATEST_SECONDS)
    assert lots == [[1, 2]]


def test_what_does_not_wait_takes_along_what_waits(clock: Clock) -> None:
    held, lots = holder()

    held.add([1])
    held.add([2], at_once=True)
    assert lots == [[1, 2]]

    held.add([3])
    held.leave()
    held.leave()
    assert lots == [[1, 2], [3]]

    clock.pass_by(600)
    assert lots == [[1, 2], [3]]


def test_many_do_not_wait(clock: Clock) -> None:
    held, lots = holder()

    held.add(range(MOST_HELD - 1))
    assert lots == []
    held.add([MOST_HELD])
    assert [len(lot) for lot in lots] == [MOST_HELD]

    held.add([1])
    assert len(lots) == 1
    clock.pass_by(QUIET_SECONDS)
    assert lots[1:] == [[1]]
