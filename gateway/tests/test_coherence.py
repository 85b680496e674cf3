"""In whatever order answers, events and the shared level's words arrive: no read shows what is known as old.

Two caches, one owner, one shared level, in every interleaving that Hypothesis can think of: questions and
answers on their way, event lines cut, the level away, emptied, or late with what it was told.
"""

from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway import cache as module
from gateway.cache import TOMBSTONE_BYTES, TOMBSTONE_OUTLIVES, Cache, Entry, Tombstone

TASK = "/tasks/1"
LIFE = 30.0
ROOM = 3000
REPLICAS = st.integers(0, 1)
now = 1000.0


class Pause:
    """Where something travels: what awaits it goes on when the machine says so."""

    def __await__(self) -> Generator[None, None, None]:
        yield


def dies_at(what: Entry | Tombstone) -> float:
    return what.asked_at + LIFE if isinstance(what, Entry) else what.told_at + LIFE + TOMBSTONE_OUTLIVES


@dataclass
class Level:
    """Valkey, as far as a cache can tell: versions that never go down, until all is lost."""

    kept: Entry | Tombstone | None = None
    away: bool = False
    waiting: list[Entry | Tombstone] = field(default_factory=list)

    async def get(self, address: str) -> Entry | None:
        kept = self.kept
        await Pause()
        return kept if isinstance(kept, Entry) and now < dies_at(kept) and not self.away else None

    def put(self, address: str, what: Entry | Tombstone) -> None:
        if not self.away and address == TASK:
            self.waiting.append(what)

    def hear_one(self) -> None:
        what = self.waiting.pop(0)
        version = self.kept.version if self.kept and now < dies_at(self.kept) else 0
        if what.version > version or (what.version == version and isinstance(what, Entry)):
            self.kept = what


class Replica:
    """A gateway, as far as coherence is concerned."""

    def __init__(self, level: Level, make: Callable[..., Cache]):
        self.hears = True
        self.events: list[int] = []
        self.cache = make(ROOM, LIFE, lambda: self.hears, level)
        self.answered = 0


@dataclass
class Read:
    """A read on its way.

    When it began its replica had answered `at_least`, or had heard of it, or would have if it had heard all.
    """

    replica: Replica
    at_least: int
    steps: Coroutine[Any, Any, int]


class World(RuleBasedStateMachine):
    """The owner has one resource; `committed` is when each version of it came to be."""

    make: Callable[..., Cache] = Cache

    def __init__(self) -> None:
        super().__init__()
        self.level = Level()
        self.replicas = [Replica(self.level, self.make) for _ in range(2)]
        self.committed = [now]
        self.writes: list[tuple[Replica, int, float]] = []
        self.reads: list[Read] = []

    @property
    def version(self) -> int:
        return len(self.committed)

    @rule(number=REPLICAS)
    def write(self, number: int) -> None:
        self.committed.append(now)
        self.writes.append((self.replicas[number], self.version, now))
        for replica in self.replicas:
            if replica.hears:
                replica.events.append(self.version)

    @precondition(lambda self: self.writes)
    @rule(data=st.data())
    def answer_a_write(self, data: st.DataObject) -> None:
        replica, version, asked = self.writes.pop(data.draw(st.integers(0, len(self.writes) - 1)))
        if now < asked + LIFE:  # nobody waits longer
            replica.cache.told(TASK, version)
            replica.cache.fill(TASK, Entry(version, ("*",), b"", asked))
            replica.answered = max(replica.answered, version)

    @rule(number=REPLICAS, at_once=st.booleans())
    def begin_to_read(self, number: int, at_once: bool) -> None:
        replica = self.replicas[number]
        heard = replica.events[0] - 1 if replica.events else self.version
        read = Read(replica, max(heard, replica.answered), self.steps_of_a_read(replica))
        self.reads.append(read)
        self.go_on(read)
        while at_once and read in self.reads:
            self.go_on(read)

    @precondition(lambda self: self.reads)
    @rule(data=st.data())
    def go_on_reading(self, data: st.DataObject) -> None:
        self.go_on(data.draw(st.sampled_from(self.reads)))

    def go_on(self, read: Read) -> None:
        try:
            read.steps.send(None)
        except StopIteration as end:
            self.reads.remove(read)
            assert end.value >= read.at_least, "older than what this replica had answered or heard"
            newer = self.committed[end.value :]
            assert not newer or newer[0] > now - LIFE - 1, "older than the longest life"

    async def steps_of_a_read(self, replica: Replica) -> int:
        if found := await replica.cache.get(TASK, "anybody"):
            return found[0].version
        asked = now
        await Pause()
        version = self.version
        await Pause()
        if now < asked + LIFE:
            replica.cache.fill(TASK, Entry(version, ("*",), b"", asked))
            return version
        return self.version  # nobody waits longer; the client asks again

    @rule(number=REPLICAS)
    def hear_an_event(self, number: int) -> None:
        replica = self.replicas[number]
        if replica.events:
            replica.cache.told(TASK, replica.events.pop(0))

    @rule(number=REPLICAS)
    def cut_or_mend_the_event_line(self, number: int) -> None:
        replica = self.replicas[number]
        replica.events.clear()
        if not replica.hears:
            replica.cache.forget()
        replica.hears = not replica.hears

    @rule(number=REPLICAS, how_many=st.sampled_from([1, ROOM // TOMBSTONE_BYTES]))
    def others_change(self, number: int, how_many: int) -> None:
        """One of them has the dead make room, so many of them all that is kept."""
        for other in range(how_many):
            self.replicas[number].cache.told(f"/others/{now}/{other}", 1)

    @precondition(lambda self: self.level.waiting)
    @rule()
    def the_level_hears(self) -> None:
        self.level.hear_one()

    @rule(empty=st.booleans())
    def the_level_goes_or_comes(self, empty: bool) -> None:
        self.level.away = not self.level.away
        self.level.waiting.clear()
        if empty:
            self.level.kept = None

    @invariant()
    def a_moment_passes(self) -> None:
        """Between any two things that happen, as on a clock that counts nanoseconds."""
        global now  # noqa: PLW0603
        now += 1 / 1024

    @invariant()
    def what_is_kept_is_counted(self) -> None:
        for replica in self.replicas:
            cache = replica.cache
            entries = sum(entry.size for entry in cache.entries.values())
            assert cache.bytes == entries + TOMBSTONE_BYTES * len(cache.tombstones) <= cache.most_bytes

    @rule(seconds=st.sampled_from([0.125, 5.0, 29.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        global now  # noqa: PLW0603
        now += seconds

    def teardown(self) -> None:
        for read in self.reads:
            read.steps.close()


@pytest.fixture(autouse=True)
def _time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "monotonic", lambda: now)


def explore(make: Callable[..., Cache], examples: int) -> None:
    world = type("World", (World,), {"make": make})
    thorough = settings(
        max_examples=examples,
        stateful_step_count=40,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(world, settings=thorough)


def test_no_read_shows_less_than_its_replica_had_answered_or_heard() -> None:
    explore(Cache, examples=600)


class NoTombstones(Cache):
    """An ordinary cache: a new version ends the entry, and is forgotten."""

    def told(self, address: str, version: int) -> None:
        self._drop(address)


class TrustsTheLevelAfterAGap(Cache):
    """Forgets its own entries after a gap, and believes what others kept meanwhile."""

    def forget(self) -> None:
        super().forget()
        self.level_from = 0.0


class KeepsWhatWasAskedBeforeAGap(Cache):
    """Takes an answer for good although events were missed while it was on its way."""

    def forget(self) -> None:
        super().forget()
        self.complete_since = 0.0


@pytest.mark.timeout(600)
@pytest.mark.parametrize("worse", [NoTombstones, TrustsTheLevelAfterAGap, KeepsWhatWasAskedBeforeAGap])
def test_a_cache_without_one_of_the_rules_is_caught(worse: type[Cache]) -> None:
    with pytest.raises(AssertionError, match="older than"):
        explore(worse, examples=20_000)  # it ends with the first that shows it, mostly within 3,000
