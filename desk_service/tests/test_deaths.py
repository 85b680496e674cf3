"""Where a message died, of what, and whose word on who acts is believed."""

from datetime import UTC, datetime
from typing import Any

import pytest

from desk_service.domain.deaths import Death, death_of
from shared.contracts.desk import DeadLetter

NOW = datetime(2030, 1, 1, tzinfo=UTC)
EARLIER = datetime(2029, 12, 31, 12, tzinfo=UTC)


def read(headers: dict[str, Any], *, given_id: str = "given", **properties: Any) -> Death:
    letter = DeadLetter(body=b"{}", headers=headers, properties={"routing_key": "tasks.x", **properties})
    return death_of(letter, given_id, NOW)


def test_a_service_says_in_headers_of_its_own_where_and_why() -> None:
    headers = {"queue": "tasks.x", "reason": "KeyError: 'a'", "errors": ["one", "two"], "attempt": 2}

    death = read(headers | {"died-at": EARLIER.isoformat(), "traceback": "at …", "mood": "fine"})

    assert (death.queue, death.reason, death.cause) == ("tasks.x", "KeyError: 'a'", "KeyError: <value>")
    assert (death.attempts, death.errors, death.traceback) == (2, ["one", "two"], "at …")
    assert (death.by, death.died_at, death.headers) == ("service", EARLIER, {"mood": "fine"})


@pytest.mark.parametrize(
    ("x_death", "queue", "reason"),
    [
        (
            {"queue": "chat.on.tasks.done", "reason": "delivery_limit"},
            "chat.on.tasks.done",
            "delivery_limit: ",
        ),
        ({"queue": "tasks.y", "reason": "expired"}, "tasks.y", "expired: "),
        ({"queue": "delay.10s", "reason": "expired"}, "tasks.x", "unroutable: "),
        ({"queue": "tasks.y", "reason": "new_in_5.0"}, "tasks.y", "new_in_5.0"),
    ],
)
def test_the_broker_says_it_in_its_own_header(x_death: dict[str, Any], queue: str, reason: str) -> None:
    death = read({"x-death": [x_death | {"time": EARLIER}], "queue": "older", "reason": "older"})

    assert (death.queue, death.by, death.died_at) == (queue, "broker", EARLIER)
    assert death.reason.startswith(reason)


@pytest.mark.parametrize(
    ("user", "actor"),
    [
        ("gateway", "ada"),
        ("desk_service", "ada"),
        ("task_service", "ada"),
        ("waste_service", "direct"),
        ("operator", "direct"),
        (None, "direct"),
    ],
)
def test_who_acts_is_believed_from_the_queues_owner_and_from_those_who_speak_for_others_alone(
    user: str | None, actor: str
) -> None:
    assert read({"actor": "ada"}, user_id=user).actor == actor


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-death": "nonsense"},
        {"x-death": [7], "errors": {"a": 1}, "attempt": "many"},
        {"queue": 7, "reason": None, "died-at": "never", "traceback": b"\xff\x00", "attempt": 10**30},
        {"a\x00b": "c\x00d", "bytes": b"\xff", "float": float("nan"), "when": EARLIER},
    ],
)
def test_nonsense_is_kept_too(headers: dict[str, Any]) -> None:
    death = read(headers, message_id="a\x00\ud800", correlation_id=None, timestamp="soon")

    assert death.message_id == "a\ufffd?"
    assert death.attempts == 1
    assert "\x00" not in repr(death)


def test_a_message_without_an_id_gets_the_one_that_is_given() -> None:
    assert read({}, given_id="given").message_id == "given"


@pytest.mark.parametrize("died_at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
def test_what_postgresql_could_not_hold_is_kept_in_what_it_can(died_at: str) -> None:
    death = read({"queue": "q" * 9000, "reason": "r", "died-at": died_at})

    assert (len(death.queue), death.died_at) == (255, NOW)
