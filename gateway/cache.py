"""Single resources, kept close: never one that is older than what this replica has been told.

What it has been told are versions, by the events and by the answers to its own commands. Each leaves a
tombstone: below its version nothing is kept or served, from memory or from the level that replicas share.
Nothing is served while events cannot be heard, and nothing outlives `life`, counted from asking its owner.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic
from typing import Protocol

from prometheus_client import Counter, Gauge

TOMBSTONE_OUTLIVES = 1.0
"""Seconds, for clocks: what was asked before a tombstone's version existed dies before it, wherever it is."""
ENTRY_BYTES = 600
CALLER_BYTES = 100
TOMBSTONE_BYTES = 300
"""What one takes in memory besides its body and its callers' names, about (CPython 3.11)."""

READS = Counter("cache_reads_total", "Reads of single resources, by where they ended.", ["result"])
REFUSED = Counter("cache_fills_refused_total", "Answers not kept, being older than what was known by then.")
EVICTED = Counter("cache_evictions_total", "Entries and tombstones given up for room.", ["what"])
BYTES = Gauge("cache_bytes", "What the cache takes in this process's memory, about.")


@lru_cache
def _reads(where: str) -> Counter:
    return READS.labels(where)


@dataclass(frozen=True, slots=True)
class Entry:
    """A resource as its owner answered it: JSON, its version, and who may see it. `asked_at` is monotonic."""

    version: int
    visible_to: tuple[str, ...]
    body: bytes
    asked_at: float

    def is_for(self, caller: str) -> bool:
        return "*" in self.visible_to or caller in self.visible_to

    @property
    def size(self) -> int:
        callers = sum(len(caller) + CALLER_BYTES for caller in self.visible_to if caller != "*")
        return len(self.body) + callers + ENTRY_BYTES


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A version that was told: what is below it is old. `told_at` is monotonic."""

    version: int
    told_at: float


class SharedLevel(Protocol):
    """The level that replicas share. It may forget anything at any time, and refuse what is older."""

    async def get(self, address: str) -> Entry | None:
        """None as well while it cannot be reached."""

    def put(self, address: str, what: "Entry | Tombstone") -> None:
        """Keep it, soon. Never waits and never fails."""


class Cache:
    """What one gateway process keeps: so many bytes of it, each entry so many seconds.

    `hears` says whether events are heard at this moment.
    """

    def __init__(
        self, most_bytes: int, life: float, hears: Callable[[], bool], level: SharedLevel | None = None
    ):
        self.most_bytes = most_bytes
        self.life = life
        self.hears = hears
        self.level = level
        self.entries: OrderedDict[str, Entry] = OrderedDict()
        self.tombstones: OrderedDict[str, Tombstone] = OrderedDict()
        """By address, in the order in which they were told. (A dict finds its first the slower, the more that
        stood before it are gone.)"""
        self.watchers: dict[str, list[asyncio.Event]] = {}
        self.dismissed = False
        self.bytes = 0
        self.complete_since = monotonic()
        """What was asked earlier may be older than something that was not heard, or is forgotten."""
        self.level_from = self.complete_since + life

    async def get(self, address: str, caller: str) -> tuple[Entry, str] | None:
        """A resource and the level it was found in, if it may be served to the caller now."""
        entry, where = await self._find(address)
        if entry and not entry.is_for(caller):
            entry, where = None, "hidden"
        _reads(where).inc()
        return (entry, where) if entry else None

    async def _find(self, address: str) -> tuple[Entry | None, str]:
        if not self.hears():
            return None, "deaf"
        entry = self.entries.get(address)
        if entry and monotonic() < entry.asked_at + self.life:
            self.entries.move_to_end(address)
            return entry, "memory"
        entry = await self._from_level(address)
        return entry, "valkey" if entry else "miss"

    async def _from_level(self, address: str) -> Entry | None:
        if self.level is None or monotonic() < self.level_from:
            return None
        entry = await self.level.get(address)
        if entry is None or not self.hears() or monotonic() < self.level_from:
            return None
        return entry if self._keep(address, entry) else None

    def fill(self, address: str, entry: Entry) -> None:
        """Keep what the owner answered, unless it is older than what has been told since."""
        if not self.hears() or entry.asked_at <= self.complete_since:
            REFUSED.inc()
        elif self._keep(address, entry) and self.level:
            self.level.put(address, entry)

    def _keep(self, address: str, entry: Entry) -> bool:
        known = self.entries.get(address)
        if entry.version < max(self._version_told(address), known.version if known else 0):
            REFUSED.inc()
            return False
        self._drop(address)
        if entry.size <= self.most_bytes:
            self.entries[address] = entry
            self._count(entry.size)
        return True

    def told(self, address: str, version: int) -> None:
        """There is this version, by an event or by the answer to a command: what is older is never served."""
        if version <= self._version_told(address):
            return
        for changed in self.watchers.get(address, ()):
            changed.set()
        tombstone = Tombstone(version, monotonic())
        self._bury(address)
        self.tombstones[address] = tombstone
        self._count(TOMBSTONE_BYTES)
        entry = self.entries.get(address)
        if entry and entry.version < version:
            self._drop(address)
        if self.level:
            self.level.put(address, tombstone)

    @contextmanager
    def watching(self, address: str) -> Iterator[asyncio.Event]:
        """Set whenever a new version is told of, and when all who watch are dismissed."""
        changed = asyncio.Event()
        self.watchers.setdefault(address, []).append(changed)
        try:
            yield changed
        finally:
            self.watchers[address].remove(changed)
            if not self.watchers[address]:
                del self.watchers[address]

    def dismiss(self) -> None:
        """This process ends: nobody shall watch any longer."""
        self.dismissed = True
        for watchers in self.watchers.values():
            for changed in watchers:
                changed.set()

    def _version_told(self, address: str) -> int:
        tombstone = self.tombstones.get(address)
        return tombstone.version if tombstone else 0

    def forget(self) -> None:
        """Something changed that was not told: begin anew, and leave what others keep until that is dead."""
        self.entries.clear()
        self.bytes = TOMBSTONE_BYTES * len(self.tombstones)
        self._incomplete_before(monotonic())

    def _incomplete_before(self, time: float) -> None:
        self.complete_since = max(self.complete_since, time)
        self.level_from = max(self.level_from, time + self.life)

    def _drop(self, address: str) -> None:
        if entry := self.entries.pop(address, None):
            self.bytes -= entry.size

    def _bury(self, address: str) -> None:
        if self.tombstones.pop(address, None):
            self.bytes -= TOMBSTONE_BYTES

    def _count(self, more: int) -> None:
        """Make room: of what is dead, then of the entries least used, then of old tombstones."""
        self.bytes += more
        dead = monotonic() - self.life
        while self.tombstones and self._first_told().told_at < dead - TOMBSTONE_OUTLIVES:
            self._bury(next(iter(self.tombstones)))
        while self.entries and next(iter(self.entries.values())).asked_at <= dead:
            self._drop(next(iter(self.entries)))
        while self.bytes > self.most_bytes and self.entries:
            self._drop(next(iter(self.entries)))
            EVICTED.labels("entry").inc()
        while self.bytes > self.most_bytes and self.tombstones:
            self._incomplete_before(self._first_told().told_at)
            self._bury(next(iter(self.tombstones)))
            EVICTED.labels("tombstone").inc()
        BYTES.set(self.bytes)

    def _first_told(self) -> Tombstone:
        return next(iter(self.tombstones.values()))
