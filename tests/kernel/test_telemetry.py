"""Log lines: when they leave, and that nothing breaks where they cannot."""

import asyncio
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Literal

import pytest

from shared import telemetry
from shared.telemetry import JsonLines, Lines, start_logging, tell_of_message


class Gone(io.StringIO):
    """A terminal that was closed."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def logger(stream: io.StringIO) -> logging.Logger:
    handler = Lines(stream)
    handler.setFormatter(JsonLines("here"))
    made = logging.Logger("lines")
    made.addHandler(handler)
    return made


async def test_the_lines_of_a_turn_leave_together_after_it() -> None:
    log = logger(stream := io.StringIO())

    log.info("one")
    log.info("two")
    before = stream.getvalue()
    await asyncio.sleep(0)

    assert (before, stream.getvalue().count("\n")) == ("", 2)


async def test_a_warning_leaves_at_once_after_what_was_told_before() -> None:
    log = logger(stream := io.StringIO())

    log.info("one")
    log.warning("two")

    assert [line.split('"event":"')[1][:3] for line in stream.getvalue().splitlines()] == ["one", "two"]


def test_outside_of_a_loop_a_line_leaves_at_once() -> None:
    log = logger(stream := io.StringIO())

    log.info("one")

    assert "one" in stream.getvalue()


async def test_nothing_breaks_where_no_line_can_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    log = logger(Gone())

    log.warning("nobody reads this")
    log.info("nor this", extra={"fields": {"of": "half a pair: \ud800"}})
    await asyncio.sleep(0)

    assert "Logging error" in capsys.readouterr().err


Start = Callable[[Literal["json", "text"], str], None]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Logging as a process starts it; what was set before comes back."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    for name in ("_srcfile", "logThreads", "logProcesses", "logMultiprocessing"):
        monkeypatch.setattr(logging, name, getattr(logging, name))
    monkeypatch.setattr(telemetry, "_direct", None)
    root.handlers = []
    yield lambda form, least: start_logging("here", form, least)
    root.handlers = before
    root.setLevel(level)


@pytest.mark.parametrize(
    ("form", "least", "lines"),
    [("json", "debug", 2), ("json", "INFO", 2), ("text", "info", 2), ("json", "warning", 0)],
)
def test_a_line_that_every_message_makes_is_written_as_logging_would(
    start: Start, capsys: pytest.CaptureFixture[str], form: Literal["json", "text"], least: str, lines: int
) -> None:
    start(form, least)

    tell_of_message("done", {"message": "CreateTask", "about": ["/tasks/1"]})
    logging.getLogger("any").info("done", extra={"fields": {"message": "CreateTask", "about": ["/tasks/1"]}})

    told = [re.sub(r"[0-9:.+T-]{12,}", "now", line) for line in capsys.readouterr().err.splitlines()]
    assert len(told) == lines
    assert len(set(told)) == bool(lines)
    if told and form == "json":
        assert json.loads(told[0])["event"] == "done"


def test_a_line_of_a_message_that_cannot_be_written_says_so(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    start("json", "info")

    tell_of_message("done", {"of": "half a pair: \ud800"})

    assert "Logging error" in capsys.readouterr().err
