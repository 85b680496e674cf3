"""What the cache keeps, serves and refuses, told by hand what events and answers tell."""

from collections.abc import Callable
from time import perf_counter

import pytest

from gateway import cache as module
from gateway.cache import ENTRY_BYTES, TOMBSTONE_BYTES, TOMBSTONE_OUTLIVES, Cache, Entry, Tombstone

TASK = "/tasks/1"
LIFE = 30.0
ROOM = 10 * ENTRY_BYTES


class Clock:
    """Time as the cache sees it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


@pytest.fixture
def cache(clock: Clock) -> Cache:
    return a_cache(clock, lambda: True)


def a_cache(clock: Clock, hears: Callable[[], bool]) -> Cache:
    cache = Cache(ROOM, LIFE, hears)
    clock.now += 1
    return cache


def an_entry(version: int, clock: Clock, *visible_to: str) -> Entry:
    return Entry(version, visible_to or ("*",), b"{}", clock.now)


class Level:
    """A shared level that has an entry; `meanwhile` happens while it is asked."""

    def __init__(self, entry: Entry, meanwhile: Callable[[], object]):
        self.entry = entry
        self.meanwhile = meanwhile
        self.put_there: list[Entry | Tombstone] = []

    async def get(self, address: str) -> Entry:
        self.meanwhile()
        return self.entry

    def put(self, address: str, what: Entry | Tombstone) -> None:
        self.put_there.append(what)


async def version_in(cache: Cache, address: str = TASK, caller: str = "anybody") -> int | None:
    found = await cache.get(address, caller)
    return found[0].version if found else None


async def test_what_was_filled_is_served_from_memory(cache: Cache, clock: Clock) -> None:
    cache.fill(TASK, an_entry(1, clock))

    assert await version_in(cache) == 1


async def test_nothing_lives_longer_than_its_life_from_the_asking(cache: Cache, clock: Clock) -> None:
    entry = an_entry(1, clock)
    clock.now += LIFE - 1
    cache.fill(TASK, entry)

    assert await version_in(cache) == 1
    clock.now += 1
    assert await version_in(cache) is None


async def test_a_new_version_that_was_told_ends_the_old_one(cache: Cache, clock: Clock) -> None:
    cache.fill(TASK, an_entry(1, clock))

    cache.told(TASK, 2)

    assert await version_in(cache) is None


async def test_an_answer_below_what_was_told_is_not_kept(cache: Cache, clock: Clock) -> None:
    late = an_entry(1, clock)
    cache.told(TASK, 2)

    cache.fill(TASK, late)

    assert await version_in(cache) is None


async def test_the_version_that_was_told_is_kept(cache: Cache, clock: Clock) -> None:
    cache.told(TASK, 2)

    cache.fill(TASK, an_entry(2, clock))

    assert await version_in(cache) == 2


async def test_a_late_answer_does_not_replace_a_newer_one(cache: Cache, clock: Clock) -> None:
    late = an_entry(1, clock)
    cache.fill(TASK, an_entry(2, clock))

    cache.fill(TASK, late)

    assert await version_in(cache) == 2


async def test_an_older_event_that_comes_late_changes_nothing(cache: Cache, clock: Clock) -> None:
    cache.told(TASK, 3)
    cache.fill(TASK, an_entry(3, clock))

    cache.told(TASK, 2)

    assert await version_in(cache) == 3


async def test_only_who_may_see_it_is_served(cache: Cache, clock: Clock) -> None:
    cache.fill(TASK, an_entry(1, clock, "ann", "ben"))

    assert await version_in(cache, caller="ben") == 1
    assert await version_in(cache, caller="eve") is None


async def test_nothing_is_served_or_kept_while_events_are_not_heard(clock: Clock) -> None:
    hears = True
    cache = a_cache(clock, lambda: hears)
    cache.fill(TASK, an_entry(1, clock))

    hears = False
    cache.fill("/tasks/2", an_entry(1, clock))

    assert await version_in(cache) is None
    hears = True
    assert await version_in(cache, "/tasks/2") is None


async def test_after_a_gap_nothing_that_was_asked_before_is_kept(cache: Cache, clock: Clock) -> None:
    cache.fill(TASK, an_entry(1, clock))
    asked_before = an_entry(1, clock)
    clock.now += 1

    cache.forget()
    cache.fill(TASK, asked_before)

    assert await version_in(cache) is None
    clock.now += 1
    cache.fill(TASK, an_entry(2, clock))
    assert await version_in(cache) == 2


async def test_what_the_shared_level_says_across_a_gap_is_not_believed(clock: Clock) -> None:
    hears = True
    cache = a_cache(clock, lambda: hears)
    clock.now += LIFE
    cache.level = Level(an_entry(1, clock), cache.forget)

    assert await version_in(cache) is None
    assert not cache.entries

    def cut() -> None:
        nonlocal hears
        hears = False

    clock.now += LIFE
    cache.level = Level(an_entry(1, clock), cut)
    assert await version_in(cache) is None


async def test_a_new_gateway_leaves_alone_what_others_kept_before_it_heard(clock: Clock) -> None:
    cache = a_cache(clock, lambda: True)
    cache.level = Level(an_entry(1, clock), lambda: None)

    assert await version_in(cache) is None
    clock.now += LIFE
    assert await version_in(cache) == 1


async def test_what_was_told_and_what_was_kept_reach_the_shared_level(clock: Clock) -> None:
    cache = a_cache(clock, lambda: True)
    cache.level = level = Level(an_entry(1, clock), lambda: None)
    entry = an_entry(2, clock)

    cache.told(TASK, 2)
    cache.fill(TASK, entry)
    cache.fill(TASK, an_entry(1, clock))

    assert level.put_there == [Tombstone(2, clock.now), entry]


async def test_the_least_used_goes_first_when_room_is_short(cache: Cache, clock: Clock) -> None:
    for number in range(9):
        cache.fill(f"/tasks/{number}", an_entry(1, clock))
    await version_in(cache, "/tasks/0")
    for number in range(9, 12):
        cache.fill(f"/tasks/{number}", an_entry(1, clock))

    assert await version_in(cache, "/tasks/0") == 1
    assert await version_in(cache, "/tasks/1") is None
    assert cache.bytes <= ROOM


async def test_what_has_no_room_at_all_is_not_kept(cache: Cache, clock: Clock) -> None:
    cache.fill(TASK, Entry(1, ("*",), b"x" * ROOM, clock.now))

    assert await version_in(cache) is None
    assert cache.bytes == 0


async def test_who_may_see_it_takes_room_too(cache: Cache, clock: Clock) -> None:
    cache.fill(TASK, an_entry(1, clock, *(f"caller {number}" for number in range(100))))

    assert await version_in(cache, caller="caller 1") is None
    assert cache.bytes == 0


async def test_entries_take_room_only_as_long_as_they_live(cache: Cache, clock: Clock) -> None:
    cache.fill(TASK, an_entry(1, clock))
    clock.now += LIFE
    cache.fill("/tasks/2", an_entry(1, clock))

    assert list(cache.entries) == ["/tasks/2"]
    assert cache.bytes == cache.entries["/tasks/2"].size


def test_forgetting_a_tombstone_takes_as_long_among_many_as_among_few() -> None:
    def seconds(tombstones: int) -> float:
        cache = Cache(tombstones * TOMBSTONE_BYTES, LIFE, lambda: True)
        for number in range(tombstones * 3 // 2):
            cache.told(f"/tasks/{number}", 1)
        began = perf_counter()
        for number in range(20_000):
            cache.told(f"/tasks/late/{number}", 1)
        return perf_counter() - began

    few, many = zip(*((seconds(500), seconds(20_000)) for _ in range(3)), strict=True)

    assert min(many) < 2.5 * min(few)


async def test_tombstones_take_room_only_as_long_as_something_older_may_come(
    cache: Cache, clock: Clock
) -> None:
    for number in range(10):
        cache.told(f"/tasks/{number}", 2)
    clock.now += LIFE + TOMBSTONE_OUTLIVES + 1

    cache.told(TASK, 3)

    assert list(cache.tombstones) == [TASK]


async def test_a_tombstone_outlives_all_that_was_asked_before_it(cache: Cache, clock: Clock) -> None:
    cache.told(TASK, 2)
    clock.now += LIFE + TOMBSTONE_OUTLIVES / 2

    cache.told("/tasks/2", 1)

    assert TASK in cache.tombstones


async def test_a_tombstone_given_up_for_room_still_keeps_older_answers_out(clock: Clock) -> None:
    cache = a_cache(clock, lambda: True)
    clock.now += LIFE
    late = an_entry(1, clock)
    cache.level = level = Level(late, lambda: None)
    clock.now += 1
    cache.told(TASK, 2)
    clock.now += 1
    for number in range(100):
        cache.told(f"/other/{number}", 2)
    assert TASK not in cache.tombstones

    cache.fill(TASK, late)

    assert late not in level.put_there
    assert await version_in(cache) is None
    assert cache.bytes <= ROOM
