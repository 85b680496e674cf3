"""What a person may change in a message, and what they may not."""

import json
from typing import Any

import pytest

from desk_service.domain.editing import CannotEdit, edited_body, edited_headers
from shared.messages import MOST_BYTES
from shared.redaction import REDACTED


def test_changes_leave_alone_what_they_do_not_name() -> None:
    original = b'{"title": "Milk", "password": "hunter2", "a": {"b": 1, "c": 2}}'

    body = json.loads(edited_body(original, {"title": "Tea", "a": {"b": None}}, None))

    assert body == {"title": "Tea", "password": "hunter2", "a": {"c": 2}}


def test_what_stands_for_a_secret_is_never_sent_as_one() -> None:
    with pytest.raises(CannotEdit):
        edited_body(b"{}", None, json.dumps({"password": REDACTED}))
    with pytest.raises(CannotEdit):
        edited_body(b"{}", {"password": REDACTED}, None)
    with pytest.raises(CannotEdit):
        edited_headers({}, {"api-key": REDACTED})


@pytest.mark.parametrize(
    ("original", "changes", "text"),
    [
        (b"{}", None, "x" * (MOST_BYTES + 1)),
        (b"{}", None, "\u00e9" * (MOST_BYTES // 2 + 1)),
        (b"{}", {"a": "x" * MOST_BYTES}, None),
        (b"x" * (MOST_BYTES + 1), None, None),
    ],
)
def test_what_is_larger_than_every_broker_takes_is_refused(original: bytes, changes: Any, text: str) -> None:
    with pytest.raises(CannotEdit, match=f"may be {MOST_BYTES}"):
        edited_body(original, changes, text)


def test_the_largest_that_every_broker_takes_is_not_refused() -> None:
    assert len(edited_body(b"x" * (MOST_BYTES + 1), None, "x" * MOST_BYTES)) == MOST_BYTES


def test_changes_need_json_to_be_merged_with() -> None:
    with pytest.raises(CannotEdit, match="whole `body`"):
        edited_body(b"\xff", {"a": 1}, None)


@pytest.mark.parametrize("name", ["actor", "attempt", "replay", "x-death", "X-Death", "reason"])
def test_headers_that_only_the_system_sets_are_refused(name: str) -> None:
    with pytest.raises(CannotEdit):
        edited_headers({}, {name: "ada"})


def test_headers_are_set_and_removed_and_the_others_stay() -> None:
    assert edited_headers({"a": 1, "b": 2}, {"a": None, "c": "3"}) == {"b": 2, "c": "3"}
