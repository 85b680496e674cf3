"""What clients may say in `Prefer` and `Idempotency-Key`."""

import pytest

from gateway.preferences import MalformedKey, key_in, message_id_for, preference_in


@pytest.mark.parametrize(
    ("header", "wait", "applied"),
    [
        ("", 5, ""),
        ("respond-async", 0, "respond-async"),
        ("Respond-Async, wait=10", 10, "respond-async, wait=10"),
        ("wait=0", 0, "wait=0"),
        ("wait=100", 30, "wait=30"),
        ('wait="7"', 7, "wait=7"),
        ("wait=soon", 5, ""),
        ("wait=-1", 5, ""),
        ("handling=lenient", 5, ""),
        ("wait = 7 ; why=tests, wait=8", 7, "wait=7"),
        ('respond-async=""', 0, "respond-async"),
        ("respond-async=no", 5, ""),
        ("handling=lenient; wait=0; respond-async", 5, ""),
    ],
)
def test_preferences_are_heeded_in_their_limits_and_unknown_ones_ignored(
    header: str, wait: float, applied: str
) -> None:
    preference = preference_in(header, default=5, longest=30)

    assert (preference.wait, preference.applied) == (wait, applied)


def test_a_key_is_what_stands_in_quotes() -> None:
    assert key_in('"order-7"') == "order-7"


@pytest.mark.parametrize("header", ["order-7", '""', '"a"b"', '"tab\there"', '"ключ"'])
def test_anything_else_is_malformed(header: str) -> None:
    with pytest.raises(MalformedKey):
        key_in(header)


def test_callers_and_commands_cannot_meet_by_their_keys() -> None:
    ids = {
        message_id_for("a", "tasks.create_task", "k"),
        message_id_for("b", "tasks.create_task", "k"),
        message_id_for("a", "waste.add_road", "k"),
        message_id_for("a", "tasks.create_task", "l"),
    }

    assert len(ids) == 4
