"""Log files are JSON lines; a person at a terminal reads them in words."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra.local.logs import readable

ROOT = Path(__file__).parents[3]
LINE = (
    '{"time":"2026-11-21T12:00:01.005+00:00","level":"info","service":"toy","event":"done","message":"Mark",'
    '"reason":"\\u001b[2J","traceback":"first\\nsecond"}'
)


def test_a_person_at_a_terminal_reads_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    first, *traceback = readable(LINE).splitlines()

    assert first.endswith(":01.005 info    done message=Mark reason=�[2J")
    assert traceback == ["first", "second"]


@pytest.mark.parametrize("line", ["plain text", "[1]", "{}", '{"time": 7}', '{"time": "noon", "level": ""}'])
def test_what_is_no_line_of_ours_stays_as_it_is(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    assert readable(line) == line


def test_a_program_reads_the_line_itself() -> None:
    assert readable(LINE) == LINE


def test_a_story_of_nothing_asks_which() -> None:
    command = [sys.executable, "-m", "infra.local", "story", ""]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert said.returncode == 1
    assert "make story ID=" in said.stderr
