"""Log lines: when they leave, and that nothing breaks where they cannot."""

import asyncio
import io
import logging

import pytest

from shared.telemetry import JsonLines, Lines


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
