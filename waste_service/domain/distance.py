"""Ways from place to place, and the shortest from one place to all: Dijkstra's algorithm, in LuaJIT.

Decision 13 says why. Where there is no LuaJIT the same is done in Python, in ten times the time.
Metres are exact while no way through all places is longer than 2⁵³ of them.
"""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf
from pathlib import Path

try:
    from lupa.luajit21 import LuaRuntime
except ImportError:  # its wheels for Apple's processors are without
    LuaRuntime = None


@dataclass(frozen=True, slots=True)
class Distances:
    """What is in reach of a place: by number, nearest first, ties too; itself the first, at 0."""

    order: "array[int]"
    metres: "array[float]"
    """To each place by its number."""

    def to(self, place: int) -> float:
        """Metres; infinite if it is out of reach, as is every place that came later."""
        return self.metres[place] if place < len(self.metres) else inf

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((place, int(self.metres[place])) for place in self.order)


Find = Callable[[int], tuple[bytes, bytes]]
"""From a place: the order, and the metres to each."""
Prepare = Callable[[bytes, bytes, bytes, int], Find]
"""Starts, ends and lengths of all ways in 32 bits each, and the number of places."""


def in_python(starts: bytes, ends: bytes, lengths: bytes, places: int) -> Find:
    exits: list[list[tuple[int, int]]] = [[] for _ in range(places)]
    columns = (memoryview(column).cast("i") for column in (starts, ends, lengths))
    for start, end, length in zip(*columns, strict=True):
        exits[start].append((end, length))

    def find(start: int) -> tuple[bytes, bytes]:
        order, metres = array("i"), array("d", [inf]) * places
        heap = [(0, start)]
        while heap:
            here, place = heappop(heap)
            if metres[place] < inf:
                continue
            order.append(place)
            metres[place] = here
            for neighbour, length in exits[place]:
                if metres[neighbour] == inf:
                    heappush(heap, (here + length, neighbour))
        return order.tobytes(), metres.tobytes()

    return find


def _in_luajit() -> Prepare:
    source = Path(__file__).with_suffix(".lua").read_bytes()
    lua = LuaRuntime(encoding=None, unpack_returned_tuples=True, register_eval=False)
    prepare: Prepare = lua.execute(source)
    return prepare


PREPARE = _in_luajit() if LuaRuntime else in_python


class Ways:
    """Ways from place to place, at least one metre long and at most 10⁹."""

    def __init__(self) -> None:
        self._columns = array("i"), array("i"), array("i")
        self._prepared: dict[bool, tuple[int, Find]] = {}

    def copy(self) -> "Ways":
        twin = Ways()
        starts, ends, lengths = self._columns
        twin._columns = starts[:], ends[:], lengths[:]
        twin._prepared = self._prepared.copy()
        return twin

    def add(self, start: int, end: int, metres: int) -> None:
        for column, value in zip(self._columns, (start, end, metres), strict=True):
            column.append(value)
        self._prepared.clear()

    def distances(self, start: int, places: int, *, backwards: bool = False) -> Distances:
        """From one of so many places to all, or from all to it."""
        prepared_for, find = self._prepared.get(backwards, (0, None))
        if find is None or prepared_for != places:
            starts, ends, lengths = (column.tobytes() for column in self._columns)
            ways = (ends, starts, lengths) if backwards else (starts, ends, lengths)
            find = PREPARE(*ways, places)
            self._prepared[backwards] = places, find
        order, metres = find(start)
        return Distances(array("i", order), array("d", metres))
