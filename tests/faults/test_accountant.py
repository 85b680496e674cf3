"""The accountant says what is lost and what is doubled: an account that cannot be wrong proves nothing."""

import asyncio
from datetime import date
from pathlib import Path

import pytest

from tests.faults import report, suite
from tests.faults.accountant import Known, judge
from tests.faults.line import Line
from tests.faults.load import Fact

KNOWN: Known = ("task", "a.1")


def accepted(*ids: str) -> Fact:
    return Fact(*KNOWN, accepted=True, fate_known=True, ids=set(ids))  # type: ignore[arg-type]


def test_one_effect_told_by_one_event_is_as_promised() -> None:
    verdict = judge([accepted("1")], {KNOWN: ["1"]}, {KNOWN: {"e"}})

    assert (verdict.accepted, verdict.effects, verdict.lost, verdict.doubled) == (1, 1, [], [])


def test_accepted_and_not_in_the_store_is_lost() -> None:
    assert len(judge([accepted()], {}, {}).lost) == 1


def test_an_effect_that_no_event_told_of_is_lost_too() -> None:
    assert len(judge([accepted()], {KNOWN: ["1"]}, {}).lost) == 1


def test_two_effects_are_doubled() -> None:
    assert len(judge([accepted()], {KNOWN: ["1", "2"]}, {KNOWN: {"e"}}).doubled) == 1


def test_an_answer_that_names_another_id_than_the_store_is_doubled() -> None:
    assert len(judge([accepted("2")], {KNOWN: ["1"]}, {KNOWN: {"e"}}).doubled) == 1


def test_two_different_events_of_one_fact_are_doubled() -> None:
    assert len(judge([accepted()], {KNOWN: ["1"]}, {KNOWN: {"e", "f"}}).doubled) == 1


def test_what_nobody_accepted_may_be_missing_but_not_twice_there() -> None:
    unknown = Fact(*KNOWN)  # type: ignore[arg-type]

    assert judge([unknown], {}, {}).lost == []
    assert judge([unknown], {KNOWN: ["1"]}, {KNOWN: {"e"}}).doubled == []
    assert len(judge([unknown], {KNOWN: ["1", "2"]}, {KNOWN: {"e"}}).doubled) == 1


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
