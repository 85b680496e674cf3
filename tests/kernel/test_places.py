"""One process that computes for several: what is done together, and who is to blame when it goes wrong."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared import places
from shared.places import Killed, Place


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    made = Place(60)
    yield made
    made.renew()


@pytest.fixture
def handed_over(place: Place, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many calls each hand-over had."""
    found: list[int] = []
    together, alone = place._together, place._computed

    async def noted(calls: Any) -> None:
        found.append(len(calls))
        await together(calls)

    async def noted_alone(call: Any) -> Any:
        found.append(1)
        return await alone(call)

    monkeypatch.setattr(place, "_together", noted)
    monkeypatch.setattr(place, "_computed", noted_alone)
    return found


async def all_of(place: Place, *calls: tuple[Any, ...]) -> list[Any]:
    return await asyncio.gather(*(place.compute(*call) for call in calls), return_exceptions=True)


async def test_what_is_asked_for_at_once_is_handed_over_at_once(place: Place, handed_over: list[int]) -> None:
    assert await all_of(place, (int, "1"), (int, "2"), (int, "3")) == [1, 2, 3]
    assert await place.compute(int, "4") == 4

    assert handed_over == [3, 1]


async def test_what_is_asked_for_while_the_process_works_comes_next_and_together(
    place: Place, handed_over: list[int]
) -> None:
    first = asyncio.create_task(place.compute(time.sleep, 0.2))
    while not handed_over:
        await asyncio.sleep(0)

    assert await all_of(place, (int, "1"), (int, "2")) == [1, 2]
    await first
    assert handed_over == [1, 2]


async def test_a_refusal_among_others_is_told_to_whom_it_is_for(place: Place) -> None:
    one, refused, two = await all_of(place, (int, "1"), (int, "x"), (int, "2"))

    assert (one, two) == (1, 2)
    assert isinstance(refused, ValueError)


def raise_what_has_no_form() -> None:
    raise RuntimeError(lambda: None)


async def test_what_it_raises_says_where_whatever_it_holds(place: Place) -> None:
    refused, formless, unsendable = await all_of(
        place, (int, "x"), (raise_what_has_no_form,), (open, os.devnull)
    )

    assert "invalid literal" in str(refused) and "in _answer_to" in refused.__notes__[0]
    assert isinstance(formless, RuntimeError) and "raise_what_has_no_form" in str(formless)
    assert isinstance(unsendable, TypeError)
    assert await place.compute(int, "1") == 1


async def test_who_kills_the_process_is_found_among_others_who_lose_nothing(place: Place) -> None:
    one, killed, two = await all_of(place, (int, "1"), (os._exit, 1), (int, "2"))

    assert (one, two) == (1, 2)
    assert isinstance(killed, Killed)


async def test_who_never_ends_holds_the_others_up_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    await place.compute(int, "0")
    place.seconds = 5
    monkeypatch.setattr(places, "TOGETHER_SECONDS", 1)

    one, endless, two = await all_of(place, (int, "1"), (time.sleep, 3600), (int, "2"))

    assert (one, two) == (1, 2)
    assert isinstance(endless, TimeoutError)


async def test_who_is_interrupted_leaves_the_place_to_the_others(place: Place) -> None:
    interrupted = asyncio.create_task(place.compute(time.sleep, 3600))
    while not place.runs:
        await asyncio.sleep(0.01)
    beside = asyncio.create_task(place.compute(int, "1"))
    await asyncio.sleep(0)

    interrupted.cancel()
    place.interrupt()

    assert await beside == 1


async def test_a_process_that_only_starts_outlives_whom_it_starts_for(place: Place) -> None:
    """Connections may be lost more often than a process starts, and each time somebody is interrupted."""
    interrupted = asyncio.create_task(place.compute(time.sleep, 3600))
    while not place.process:
        await asyncio.sleep(0)
    started = place.process.child.pid

    interrupted.cancel()
    place.interrupt()

    assert await place.compute(os.getpid) == started


async def test_only_what_is_quick_shares_a_place(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "QUICK_SECONDS", 60)  # the machine may have other work
    widths = [place.width]
    for count in (1, 2, 4):
        await all_of(place, *[(int, "1")] * count)
        widths.append(place.width)
    await place.compute(sum, range(20_000_000))

    assert widths == [1, 2, 4, 8]
    assert place.width == 1
