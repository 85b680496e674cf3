"""A cursor is taken back by the list that gave it, and by no other."""

import pytest

from shared.contracts.tasks import ListTasks
from shared.contracts.waste.network import ListKinds, ListRoads
from shared.messages import BadCursor
from shared.paging import cursor_at, place_in

PLACE = ["2026-07-01T12:00:00Z", "an id", None, 3]
LIST = ListTasks(sort="due", status=("open",))


def test_a_place_comes_back_as_it_was() -> None:
    assert place_in(cursor_at(PLACE, LIST), LIST) == PLACE


def test_pages_of_one_list_may_differ_in_size_and_in_what_they_count() -> None:
    another_page = LIST.model_copy(update={"limit": 7, "count": True, "cursor": "x"})

    assert place_in(cursor_at(PLACE, LIST), another_page) == PLACE


def test_another_order_another_filter_and_another_list_do_not_take_it() -> None:
    cursor = cursor_at(PLACE, LIST)

    for other in (ListTasks(sort="-due", status=("open",)), ListTasks(sort="due")):
        with pytest.raises(BadCursor):
            place_in(cursor, other)
    with pytest.raises(BadCursor):
        place_in(cursor_at(PLACE, ListKinds()), ListRoads())


def test_a_cursor_with_any_character_changed_is_refused() -> None:
    cursor = cursor_at(PLACE, LIST)

    for place in range(len(cursor) - 1):  # the last one has bits that mean nothing
        broken = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
        with pytest.raises(BadCursor):
            place_in(broken, LIST)
