"""The shortest ways from one place: Dijkstra's algorithm (Numerische Mathematik 1, 1959) on a binary heap."""

from collections.abc import Sequence
from heapq import heappop, heappush

Exits = Sequence[tuple[tuple[int, int], ...]]
"""For each place, by its number: the places that its roads lead to (or come from), and the metres of each."""


def distances(exits: Exits, start: int) -> dict[int, int]:
    """The metres to every place in reach, nearest first, ties by number; the start is the first, at 0.

    Each road is at least one metre long: a place is in the heap before any place of its distance leaves it.
    """
    reached: dict[int, int] = {}
    heap = [(0, start)]
    while heap:
        metres, place = heappop(heap)
        if place in reached:
            continue
        reached[place] = metres
        for neighbour, length in exits[place]:
            if neighbour not in reached:
                heappush(heap, (metres + length, neighbour))
    return reached
