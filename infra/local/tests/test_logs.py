"""Log files are JSON lines; a person at a terminal reads them in words."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra.local.logs import Log, readable

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


def test_what_comes_in_pieces_is_kept_by_lines(tmp_path: Path) -> None:
    seen: list[str] = []
    log = Log(tmp_path / "log")
    log.echo = seen.append

    log.follow([b"on", b"e\ntwo\n", b"", b"thr", b"ee"])
    log.settle()

    assert seen == log.last_lines(5) == ["one", "two", "three"]
    assert log.path.read_text() == "one\ntwo\nthree"


def test_a_line_that_is_longer_than_a_file_is_written_all_the_same(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", largest_bytes=10)

    log.follow([b"first\nsecond\n", b"x" * 30 + b"\nlast\n"])
    log.settle()

    assert log.path.read_text() == "last\n"
    assert (tmp_path / "log.1").read_text() == "x" * 30 + "\n"
