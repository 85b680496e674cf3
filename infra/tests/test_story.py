"""Reading a story out of log files: whatever else is in them, however large they are."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra import story_lines
from infra.story import packed, told
from infra.story_lines import Search
from infra.story_tree import stories_in

ROOT = Path(__file__).parents[2]
TASK = "01a1ff57-de6f-74f1-b142-e34081eba6f8"


def line(second: int, **fields: Any) -> str:
    """A service's line about a message, `second` seconds after noon."""
    fields = {"service": "toy", "event": "done", "message": "Mark", "conversation": "talk"} | fields
    time = f"2026-11-21T12:00:{second:02}.000+00:00"
    return json.dumps({"time": time, "level": "info", **fields}, ensure_ascii=False) + "\n"


def tell(folder: Path, given: str, width: int = 80) -> list[str]:
    stories = stories_in(Search(folder).look_for(given))
    return [row for story in stories for row in told(story, width)]


def make(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "infra.story", "--logs", str(folder), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_what_is_no_line_about_a_message_is_passed_over(tmp_path: Path) -> None:
    whole = line(1, message_id="one")
    others = [
        "text on one\n",
        '{"message_id": "one"}\n',
        "[1]\n",
        '{"time": 7, "event": []}\n',
        "\n",
    ]
    (tmp_path / "toy.log").write_text("".join([*others, whole, line(2, message_id="one")[:-9]]))
    (tmp_path / "postgresql.log").write_bytes(b"\xff\xfe one\n")

    assert len(Search(tmp_path).look_for("one")) == 1


def test_lines_that_were_put_aside_belong_to_the_story(tmp_path: Path) -> None:
    said = [{"message": "Marked", "message_id": "event"}]
    (tmp_path / "toy.log.1").write_text(line(1, message_id="one", said=said))
    (tmp_path / "toy.log").write_text(line(3, message_id="event", message="Marked", service="hearer"))

    assert [row.split("  ", 1)[1] for row in tell(tmp_path, "one")[1:]] == [
        "toy     Mark done in 0 ms, one",
        "toy     └─ Marked event",
        "hearer     └─ heard, done in 0 ms",
    ]


def test_of_a_long_story_the_newest_lines_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story_lines, "MOST_LINES", 5)
    (tmp_path / "toy.log").write_text("".join(line(second, message_id=f"m{second}") for second in range(60)))
    search = Search(tmp_path)

    found = search.look_for("talk")

    assert [one.message_id for one in found] == ["m55", "m56", "m57", "m58", "m59"]
    assert search.cut == found[0].time


def test_an_id_is_not_taken_for_a_longer_one(tmp_path: Path) -> None:
    (tmp_path / "toy.log").write_text(
        line(1, message_id="walk-1", conversation="a", about=["/tasks/7"])
        + line(2, message_id="walk-10", conversation="b", about=["/tasks/70"])
    )

    for given in ("walk-1", "/tasks/7", "7", "http://127.0.0.1:8000/tasks/7/"):
        assert [one.message_id for one in Search(tmp_path).look_for(given)] == ["walk-1"]


@pytest.mark.parametrize("given", ["--help", "a b", 'quo"te', "back\\slash", "ОО 1", "e30.e30.e30", "-"])
def test_any_text_can_be_an_id(tmp_path: Path, given: str) -> None:
    (tmp_path / "toy.log").write_text(line(1, message_id=given))

    said = make(tmp_path, "--", given)

    assert said.returncode == 0
    assert f"Mark done in 0 ms, {given}" in said.stdout


def test_make_takes_an_id_as_text_whatever_is_in_it() -> None:
    given = "o'brien's $(error read by make) $$(exit 7) `exit 7` \\ 1"

    said = subprocess.run(
        ["make", "story", f"ID={given}"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert f"Nothing is told of {given!r}" in said.stderr


def test_a_stranger_s_text_gives_no_orders_to_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "toy.log").write_text(
        line(1, message_id="one", event="refused", code="no", reason="\x1b[2J\nx\r")
    )

    assert tell(tmp_path, "one")[1:] == ["0.000  toy  Mark refused, no: �[2J x, one"]


def test_a_story_fits_a_terminal_of_eighty_columns(tmp_path: Path) -> None:
    said = [{"message": "TaskCompleted", "message_id": TASK}]
    ids = {"message_id": "8aae2b75da58268d764d0fe0e171bc5d", "conversation": "d" * 32}
    request = {"method": "POST", "path": f"/tasks/{TASK}/complete", "status": 200, "key": TASK}
    error = "RuntimeError: " + "something that takes long to tell " * 6
    (tmp_path / "all.log").write_text(
        line(9, service="gateway", event="request", **ids, **request, seconds=8.5)
        + line(2, service="task_service", event="broke", **ids, reason=error, again_in_seconds=1)
        + line(3, service="task_service", **ids, about=[f"/tasks/{TASK}"], said=said)
        + line(4, service="toy", **{**ids, "message_id": TASK})
    )

    rows = tell(tmp_path, TASK)

    assert max(map(len, rows)) <= 80
    assert "\n".join(rows).count(TASK) == 3


def test_ids_and_addresses_are_never_broken() -> None:
    parts = ("POST /tasks/" + TASK, " → 201", ": a reason of many words", ", " + TASK)

    assert packed(parts, 20) == ["POST /tasks/" + TASK, "→ 201", "a reason of many", "words", TASK]


def test_an_unknown_id_says_what_was_searched_and_what_to_try(tmp_path: Path) -> None:
    (tmp_path / "toy.log").write_text(line(1, message_id="one"))

    said = make(tmp_path, "other")

    assert said.returncode == 1
    assert "Nothing is told of 'other' in 1 lines about messages since" in said.stderr
    assert f"1 files of {tmp_path}" in said.stderr
    assert "/operations/" in said.stderr


def test_without_any_line_about_messages_the_reason_is_guessed(tmp_path: Path) -> None:
    (tmp_path / "toy.log").write_text("12:00:00.000 info    done message=Mark\n")

    said = make(tmp_path, "one")

    assert said.returncode == 1
    assert "LOG_FORMAT=json" in said.stderr


def test_a_resource_that_was_only_read_is_said_to_be(tmp_path: Path) -> None:
    read = {"event": "request", "method": "GET", "path": "/tasks/7", "status": 200}
    (tmp_path / "gateway.log").write_text(
        line(1, message_id="one", **read) + line(2, message_id="two", **read)
    )

    assert "only looked up, 2 times" in make(tmp_path, "/tasks/7").stderr


def test_programs_get_the_tree_with_the_lines(tmp_path: Path) -> None:
    said = [{"message": "Marked", "message_id": "event"}]
    (tmp_path / "toy.log").write_text(line(1, message_id="one", said=said, visible="kept"))

    [story] = json.loads(make(tmp_path, "--json", "one").stdout)

    assert story["processes"] == ["toy"]
    assert story["tree"][0]["line"]["visible"] == "kept"
    assert story["tree"][0]["children"][0]["what"] == "Marked event"
