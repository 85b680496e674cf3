"""Both forms of the shortest ways, LuaJIT's and Python's, against a third that knows no compact columns."""

from array import array
from heapq import heappop, heappush
from itertools import chain
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waste_service.domain.distance import PREPARE, Distances, Prepare, Ways, in_python

Way = tuple[int, int, int]
PLACES = 12
LONGEST = 1_000_000_000

forms = pytest.mark.parametrize(
    "prepare",
    [
        in_python,
        pytest.param(
            PREPARE,
            marks=pytest.mark.skipif(PREPARE is in_python, reason="there is no LuaJIT here"),
            id="luajit",
        ),
    ],
)
places = st.integers(0, PLACES - 1)
lengths = st.one_of(st.integers(1, 4), st.integers(1, LONGEST))
"""Short ones, so that there are ties."""
ways_of_a_network = st.lists(st.tuples(places, places, lengths), max_size=60)


def plainly(ways: list[Way], start: int) -> dict[int, int]:
    """The metres to every place in reach, nearest first, ties by number."""
    reached: dict[int, int] = {}
    heap = [(0, start)]
    while heap:
        metres, place = heappop(heap)
        if place not in reached:
            reached[place] = metres
            for origin, end, length in ways:
                if origin == place:
                    heappush(heap, (metres + length, end))
    return reached


def found(prepare: Prepare, ways: list[Way], start: int, number: int = PLACES) -> Distances:
    starts, ends, lengths = (
        array("i", column).tobytes() for column in (zip(*ways, strict=True) if ways else ((), (), ()))
    )
    order, metres = prepare(starts, ends, lengths, number)(start)
    return Distances(array("i", order), array("d", metres))


@forms
@settings(max_examples=300)
@given(ways=ways_of_a_network, start=places)
def test_all_distances_and_their_order_are_those_of_another_implementation(
    prepare: Prepare, ways: list[Way], start: int
) -> None:
    expected = plainly(ways, start)

    distances = found(prepare, ways, start)

    assert list(distances) == list(expected.items())
    assert [distances.to(place) for place in range(PLACES)] == [
        expected.get(place, inf) for place in range(PLACES)
    ]


@forms
def test_the_longest_roads_in_a_row_are_added_up_exactly(prepare: Prepare) -> None:
    number = 5_000
    ways = [(place, place + 1, LONGEST - place % 2) for place in range(number - 1)]

    distances = found(prepare, ways, 0, number)

    assert list(distances)[-1] == (number - 1, sum(length for _, _, length in ways))


@forms
def test_thousands_of_places_at_one_distance_come_in_the_order_of_their_numbers(prepare: Prepare) -> None:
    number = 3_000
    ways = [(0, place, 7) for place in range(number - 1, 0, -1)]

    assert list(found(prepare, ways, 0, number).order) == list(range(number))


@given(
    steps=st.lists(st.one_of(st.tuples(places, places, lengths), st.integers(1, 3), st.none()), max_size=40)
)
def test_ways_that_grow_and_are_copied_are_never_looked_up_in_what_was_prepared_before(
    steps: list[Way | int | None],
) -> None:
    ways, original, known, number = Ways(), Ways(), list[Way](), 1
    for step in steps:
        match step:
            case (int(start), int(end), int(metres)):
                way = start % number, end % number, metres
                ways.add(*way)
                known.append(way)
            case int(more):
                number += more
            case None:
                original, ways = ways, ways.copy()
        backwards = [(end, start, metres) for start, end, metres in known]
        assert list(ways.distances(0, number)) == list(plainly(known, 0).items())
        assert list(ways.distances(0, number, backwards=True)) == list(plainly(backwards, 0).items())

    before = list(original.distances(0, number))
    ways.add(0, number - 1, 1)
    assert list(original.distances(0, number)) == before


def test_a_place_that_came_later_is_out_of_reach() -> None:
    ways = Ways()
    ways.add(0, 1, 5)

    distances = ways.distances(0, 2)

    assert [distances.to(place) for place in range(3)] == [0, 5, inf]
    assert set(chain(*distances)) == {0, 1, 5}
