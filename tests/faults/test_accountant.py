"""The accountant says what is lost and what is doubled: an account that cannot be wrong proves nothing."""

import asyncio
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from random import Random
from time import monotonic
from types import SimpleNamespace
from typing import cast
from unittest.mock import AsyncMock

import aio_pika
import httpx2
import pytest

from tests.faults import report, suite
from tests.faults.accountant import SUBMITTED, Accountant, Known, judge
from tests.faults.line import Line, ended_by_themselves
from tests.faults.load import ANSWERS, Fact, Load, Way
from tests.faults.registry import FAULTS, Scene
from tests.faults.stage import Stage

KNOWN: Known = ("task", "a.1")
TOLD = {("e", "1")}


def accepted(*ids: str) -> Fact:
    return Fact("task", "a.1", accepted=True, fate_known=True, ids=set(ids))


def a_text() -> Fact:
    return Fact("text", "a.1", accepted=True, fate_known=True)


def test_one_effect_told_by_one_event_is_as_promised() -> None:
    verdict = judge([accepted("1")], {KNOWN: ["1"]}, {KNOWN: TOLD})

    assert (verdict.accepted, verdict.effects) == (1, 1)
    assert (verdict.lost, verdict.doubled, verdict.left_open) == ([], [], [])


def test_accepted_and_not_in_the_store_is_lost() -> None:
    assert len(judge([accepted()], {}, {}).lost) == 1


def test_an_effect_that_no_event_told_of_is_lost_too() -> None:
    assert len(judge([accepted()], {KNOWN: ["1"]}, {}).lost) == 1


def test_an_event_of_what_nobody_stored_is_lost_too() -> None:
    assert len(judge([Fact("task", "a.1", gave_up=True)], {}, {KNOWN: TOLD}).lost) == 1


def test_two_effects_are_doubled() -> None:
    assert len(judge([accepted()], {KNOWN: ["1", "2"]}, {KNOWN: TOLD}).doubled) == 1
    assert len(judge([accepted()], {KNOWN: ["1", "1"]}, {KNOWN: TOLD}).doubled) == 1


def test_an_answer_that_names_another_id_than_the_store_is_doubled() -> None:
    assert len(judge([accepted("2")], {KNOWN: ["1"]}, {KNOWN: TOLD}).doubled) == 1


def test_an_event_that_names_another_id_than_the_store_is_doubled() -> None:
    assert len(judge([accepted("1")], {KNOWN: ["1"]}, {KNOWN: {("e", "2")}}).doubled) == 1


def test_two_different_events_of_one_fact_are_doubled() -> None:
    assert len(judge([accepted()], {KNOWN: ["1"]}, {KNOWN: {("e", "1"), ("f", "1")}}).doubled) == 1


def test_a_text_is_taken_once_and_counted_once_and_both_are_told_once() -> None:
    counted = {(SUBMITTED, "a.1"): ["1"], ("text", "a.1"): ["1"]}
    told = {(SUBMITTED, "a.1"): {("e", "1")}, ("text", "a.1"): {("f", "1")}}

    verdict = judge([a_text()], counted, told)
    assert (verdict.effects, verdict.lost, verdict.doubled) == (1, [], [])

    failed_twin = counted | {(SUBMITTED, "a.1"): ["1", "2"]}
    assert len(judge([a_text()], failed_twin, told).doubled) == 1
    taken_twice = told | {(SUBMITTED, "a.1"): {("e", "1"), ("g", "1")}}
    assert len(judge([a_text()], counted, taken_twice).doubled) == 1
    taken_only = {(SUBMITTED, "a.1"): ["1"]}
    assert len(judge([a_text()], taken_only, {(SUBMITTED, "a.1"): {("e", "1")}}).lost) == 1
    assert len(judge([a_text()], counted, {("text", "a.1"): {("f", "1")}}).lost) == 1


def test_what_nobody_accepted_may_be_missing_but_not_twice_there() -> None:
    unknown = Fact("task", "a.1", gave_up=True)

    assert judge([unknown], {}, {}).lost == judge([unknown], {}, {}).left_open == []
    assert judge([unknown], {KNOWN: ["1"]}, {KNOWN: TOLD}).doubled == []
    assert len(judge([unknown], {KNOWN: ["1", "2"]}, {KNOWN: TOLD}).doubled) == 1


def test_a_sender_with_a_key_that_never_learned_what_became_of_it_is_left_open() -> None:
    assert len(judge([Fact("task", "a.1")], {}, {}).left_open) == 1


def test_an_operation_that_does_not_say_done_of_what_was_done_is_left_open() -> None:
    waiting = replace(accepted(), operation="/operations/1", said="waiting")

    assert len(judge([waiting], {KNOWN: ["1"]}, {KNOWN: TOLD}).left_open) == 1
    assert judge([replace(waiting, said="done", ids={"1"})], {KNOWN: ["1"]}, {KNOWN: TOLD}).left_open == []


def test_only_what_lay_in_a_deleted_queue_is_forgiven() -> None:
    verdict = judge([accepted(), replace(accepted(), label="a.2")], {}, {})

    assert [known for known, _ in verdict.lost_beside({KNOWN})] == [("task", "a.2")]


def test_an_answer_by_queue_names_an_id_or_is_a_refusal_that_the_line_tells() -> None:
    running = Load(cast(Stage, None), "a", 1)
    first, second = running.new("task"), running.new("task")
    running.take_answers({first.label: [{"id": "1"}, {"id": "2"}], second.label: [{"code": "invalid"}]})

    assert first.ids == {"1", "2"}
    assert list(running.refused) == ['by queue {"code": "invalid"}']


def test_events_and_answers_are_noted_with_the_ids_of_what_they_tell_of() -> None:
    accountant = Accountant(cast(Stage, None))
    accountant._note(a_message("TaskCreated", "e", {"task": {"id": "1", "title": "a.1"}}))
    accountant._note(a_message("TextSubmitted", "f", {"job": {"id": "2", "title": "a.2"}}))
    accountant._note(a_message("WasteGenerated", "g", {"generation": {"id": "3", "amounts": {"glass": 0.5}}}))
    accountant._note(a_message("Task", "h", {"id": "1"}, routing_key=ANSWERS, correlation_id="a.1"))

    assert accountant.events == {
        KNOWN: {("e", "1")},
        (SUBMITTED, "a.2"): {("f", "2")},
        ("waste", "0.500"): {("g", "3")},
    }
    assert accountant.answers == {"a.1": [{"id": "1"}]}


def a_message(kind: str, message_id: str, body: object, **more: str) -> aio_pika.abc.AbstractIncomingMessage:
    told = {"type": kind, "message_id": message_id, "body": json.dumps(body), "routing_key": "", **more}
    return cast(aio_pika.abc.AbstractIncomingMessage, SimpleNamespace(**told))


async def test_nothing_has_settled_while_any_queue_of_work_or_outbox_holds_something() -> None:
    lengths = {"dead_letters": 1, "accountant.answers": 2, "witness": 3, "events.recent": 4}
    system = SimpleNamespace(
        fetch=AsyncMock(return_value=[{"rows": 5}]), documents=AsyncMock(return_value=[{}])
    )
    queues = [{"name": name, "messages": messages} for name, messages in lengths.items()]
    stage = SimpleNamespace(system=system, management=AsyncMock(return_value=queues))

    assert await Accountant(cast(Stage, stage))._waiting() == {
        "dead_letters": 1,
        "accountant.answers": 2,
        **dict.fromkeys(("task_service", "waste_service", "desk_service"), 5),
        "text_worker": 1,
    }


def test_a_process_that_ends_where_none_is_to_end_lets_the_line_fall_short() -> None:
    assert ended_by_themselves(FAULTS["postgresql-stop"], [("task_service", 1)])
    assert ended_by_themselves(FAULTS["poison-raises"], [("task_service", -9)])
    assert not ended_by_themselves(FAULTS["sigkill"], [("task_service", -9), ("gateway", 0)])
    assert ended_by_themselves(FAULTS["sigkill"], [("task_service", 1)])


def test_a_command_from_a_queue_that_nobody_answered_is_left_open() -> None:
    unanswered = replace(accepted(), asked=True)
    assert len(judge([unanswered], {KNOWN: ["1"]}, {KNOWN: TOLD}).left_open) == 1
    assert judge([replace(unanswered, ids={"1"})], {KNOWN: ["1"]}, {KNOWN: TOLD}).left_open == []


async def test_a_line_tells_the_longest_time_until_ready_that_its_fault_measured() -> None:
    stage = cast(Stage, SimpleNamespace(until_ready=AsyncMock()))
    scene = Scene(stage, Load(stage, "a", 1), Accountant(stage), Random(1))

    await scene.until_ready(since=monotonic() - 20)
    await scene.until_ready()

    assert scene.ready_seconds is not None
    assert scene.ready_seconds >= 20


@pytest.mark.parametrize(
    ("way", "answer", "gave_up"),
    [
        ("awaited", None, True),
        ("keyed", None, False),
        ("awaited", {"idempotency-key": '"k"'}, False),
    ],
    ids=["no key", "a key", "a key from a 5xx"],
)
async def test_only_what_has_no_key_is_given_up_when_its_connection_is_lost(
    way: Way, answer: dict[str, str] | None, gave_up: bool
) -> None:
    """Three requests at most: it may be answered 503, then its connection is lost, then it is done."""
    sent: list[httpx2.Request] = []

    def answered(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        if answer and len(sent) == 1:
            return httpx2.Response(503, headers=answer)
        if len(sent) == 1 + bool(answer):
            raise httpx2.ReadError("gone")
        return httpx2.Response(201, json={"id": "1"})

    running = Load(cast(Stage, None), "a", 1)
    fact = running.new("task")
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answered), base_url="http://a") as http:
        await running._until_known(http, fact, way)

    assert fact.gave_up == gave_up
    assert fact.fate_known == (not gave_up)


def test_a_line_replaces_its_old_one_and_keeps_the_others_and_those_of_other_brokers(tmp_path: Path) -> None:
    first, second = suite.ORDER[:2]
    file = tmp_path / "reliability.md"
    old = [Line(second, "two", 5, "RabbitMQ 3.1"), Line(first, "one", 5, "RabbitMQ 3.1")]
    report.write([*old, Line(first, "one", 5, "RabbitMQ 4.0")], suite.ORDER, 1, "stores", file)
    report.write(
        [Line(second, "two", 5, "RabbitMQ 3.2", wrong=["lost: one | two"])], suite.ORDER, 2, "stores", file
    )

    rows = report.known_rows(file)
    assert [name for name, _ in rows] == [first, first, second]
    assert [row[3] for row in rows.values()] == ["RabbitMQ 3.1", "RabbitMQ 4.0", "RabbitMQ 3.2"]
    assert rows[second, "RabbitMQ 3"][-3:] == ["falls short: lost: one / two", "", "2"]


def test_a_whole_run_is_told_with_its_day_and_minutes_until_the_next_one_on_that_broker(
    tmp_path: Path,
) -> None:
    file, name = tmp_path / "reliability.md", suite.ORDER[0]
    short = Line(name, "one", 5, "RabbitMQ 3.1", wrong=["lost: one"], accepted=7, lost=1, seconds=61.0)
    for broker, minutes in (("RabbitMQ 3.1", 50.0), ("RabbitMQ 4.0", 40.4), ("RabbitMQ 3.2", 44.6)):
        lines = [short if broker == "RabbitMQ 3.1" else Line(name, "one", 5, broker)]
        report.note_whole_run(lines, minutes, date(2030, 1, 31), suite.ORDER, 5, "stores", file)
    report.write([Line(name, "one", 5, "RabbitMQ 4.0")], suite.ORDER, 2, "stores", file)

    assert [line for line in file.read_text().splitlines() if "whole run" in line] == [
        "**Last whole run on RabbitMQ 3.2**: 2030-01-31, 1 lines in 45 min, seed 5; all hold.",
        "**Last whole run on RabbitMQ 4.0**: 2030-01-31, 1 lines in 40 min, seed 5; all hold.",
    ]
    told = report.summary([short, Line(name, "one", 5, "RabbitMQ 3.1")], 50.0, 5)
    assert told.startswith("2 lines in 50.0 min, seed 5: 1 hold, 1 fall short\n7 accepted, 0 effects, 1 lost")
    assert f"slowest: {name} 61 s" in told and f"falls short: {name}: lost: one" in told


def test_an_unknown_fault_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(SystemExit, match="No fault is called earthquake; there are: sigkill"):
        suite.chosen("earthquake")
    assert asyncio.iscoroutinefunction(suite.chosen("sigkill")[0].strike)
