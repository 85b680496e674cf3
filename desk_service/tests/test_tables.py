"""Tables that people can read, whatever stands in a message and however narrow the terminal is."""

import pytest

from desk_service.command_line.tables import table


def test_what_stands_in_the_last_column_is_seen_beside_a_long_name_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    lines = table(("message", "cause"), [["m" * 500, "KeyError: 'milk'"]]).splitlines()

    assert lines[1].endswith("…  KeyError: 'milk'")
    assert len(lines[1]) < 80


def test_what_does_not_fit_into_the_terminal_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    line = table(("cause",), [["x" * 500]]).splitlines()[1]

    assert line == "x" * 79 + "…"
