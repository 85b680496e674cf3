"""What is held leaves together, and soon."""

import asyncio
from collections.abc import Callable

import pytest

from shared import holding
from shared.holding import Held
from tests.system import _async, eventually


class Left:
    """What left, by each time that something did."""

    def __init__(self) -> None:
        self.lots: list[list[int]] = []
        self.held: Held[int] = Held(self.lots.append)

    async def is_all(self, *lots: list[int]) -> None:
        await eventually(_async(lambda: len(self.lots) >= len(lots)), "it has left")
        assert self.lots == list(lots)


@pytest.fixture
def left() -> Left:
    return Left()


async def test_what_comes_within_a_moment_leaves_together(left: Left) -> None:
    left.held.add([1, 2])
    left.held.add([3])
    left.held.add([])
    assert left.lots == []

    await left.is_all([1, 2, 3])


async def test_it_leaves_as_soon_as_nothing_more_comes(left: Left, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "LATEST_SECONDS", 600)

    left.held.add([1])

    await left.is_all([1])


async def test_it_leaves_though_more_comes_all_the_time(left: Left, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "QUIET_SECONDS", 600)
    monkeypatch.setattr(holding, "MOST_HELD", 1_000_000_000)

    async with asyncio.timeout(10):
        while not left.lots:
            left.held.add([1])
            await asyncio.sleep(0)  # a turn of the loop: no timer comes between two additions


@pytest.mark.parametrize("add", [lambda held: held.add([2], at_once=True), lambda held: held.leave()])
async def test_what_does_not_wait_takes_along_what_waits(
    left: Left, add: Callable[[Held[int]], None]
) -> None:
    left.held.add([1])

    add(left.held)
    left.held.leave()
    left.held.add([3])

    assert left.lots in ([[1]], [[1, 2]])
    await left.is_all(*left.lots, [3])


async def test_64_do_not_wait(left: Left) -> None:
    left.held.add(range(63))
    assert left.lots == []

    left.held.add([63])
    assert left.lots == [list(range(64))]
    left.held.add([64])

    await left.is_all(list(range(64)), [64])
