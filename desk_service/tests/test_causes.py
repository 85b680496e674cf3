"""What failed for one cause has one name, whatever it was about."""

import pytest

from desk_service.domain.causes import cause_of, group_of


@pytest.mark.parametrize(
    ("reasons", "cause"),
    [
        (
            [
                "KeyError: 'a 1' of 0199d6c0-5c1e-7a53-9c1b-8f2f6f0e4b11",
                "KeyError: 'b' of 0199D6C0-5c1e-7a53-9c1b-000000000000",
            ],
            "KeyError: <value> of <id>",
        ),
        (["row 17, 3.5 s", "row 2, -12.25e3 s"], "row <n>, <n> s"),
        (['can\'t open "x"', 'can\'t open "y z"'], "can't open <value>"),
        (["lost 'a quote that was cut", "lost 'another one"], "lost <value>"),
        (["at 0xdeadbeef", "at 0xBEEF01"], "at <id>"),
        (["sum 0f343b0931126a20f133d67c2b018a3b", "sum 9bf31c7ff062936a96d3c8bd1f8f2ff3"], "sum <id>"),
        (["line\n  two", "line two"], "line two"),
        (["utf8 and sha256 stay", "utf8 and sha256 stay"], "utf8 and sha256 stay"),
    ],
)
def test_reasons_that_differ_in_what_they_are_about_are_one_cause(reasons: list[str], cause: str) -> None:
    assert {cause_of(reason) for reason in reasons} == {cause}


def test_long_reasons_are_one_cause_however_long_what_they_are_about_is() -> None:
    tail = ", which the ledger of that organization does not hold" * 4

    causes = {
        cause_of(f"KeyError: '{value}' of {number}{tail}") for value, number in [("x", 1), ("y" * 90, 10**9)]
    }

    assert len(causes) == 1


def test_other_causes_and_other_queues_are_other_groups() -> None:
    assert cause_of("KeyError: 'x'") != cause_of("ValueError: 'x'")
    assert group_of("tasks.create_task", "x") != group_of("tasks.change_task", "x")
