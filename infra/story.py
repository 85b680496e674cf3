"""`make story ID=…`: what the logs tell of one conversation, as a tree.

An ID is what a person holds: a message id, a conversation (correlation id), an operation, an Idempotency-Key,
an X-Request-ID, or the id or address of a resource. What was sent twice under one key is one story. Nothing
needs to run.
"""

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from infra import story_words as in_words
from infra.local.logs import printable
from infra.story_lines import MOST_LINES, Search
from infra.story_tree import Node, Story, stories_in

LOGS = Path(".conveyor/logs")
NARROWEST, WIDEST = 80, 160
TRY = """\
Try a message_id, a correlation_id, an Idempotency-Key, an X-Request-ID, an operation as /operations/…, or a
resource as /tasks/… or by its id. A process's log keeps its last 10 to 20 MB. Reads from the cache are not
logged."""


def told(story: Story, width: int) -> Iterator[str]:
    """The story in lines: seconds since it began, process, what happened below what brought it about."""
    began = story.began_at.astimezone()
    when = began.strftime("%Y-%m-%d %H:%M:%S.") + f"{began.microsecond // 1000:03} {began:%z}"
    yield f"{when}, {in_words.duration(story.seconds)}: {', '.join(story.processes)}"
    for node in story.tree:
        yield from _rows(node, story, width)


def _rows(node: Node, story: Story, width: int, branch: str = "", below: str = "") -> Iterator[str]:
    seconds = f"{(node.at - story.began_at).total_seconds():.3f}"
    margin = f"{seconds:>{len(f'{story.seconds:.3f}')}}  {node.process:<{max(map(len, story.processes))}}  "
    going_on = below + ("│  " if node.children else "   ")
    parts = tuple(printable(part) for part in node.parts)
    first, *more = packed(parts, width - len(margin) - max(len(branch), len(below)))
    yield f"{margin}{branch}{first}"
    yield from (f"{' ' * len(margin)}{going_on}{line}" for line in more)
    for child in node.children:
        is_last = child is node.children[-1]
        own, under = ("└─ ", "   ") if is_last else ("├─ ", "│  ")
        yield from _rows(child, story, width, below + own, below + under)


def packed(parts: in_words.Parts, width: int) -> list[str]:
    """As many parts in a line as it takes; prose is broken between words, ids and addresses never."""
    lines = [""]
    for part in parts:
        if len(lines[-1] + part) <= width:
            lines[-1] += part
            continue
        words = part.lstrip(" ,:;")
        is_prose = part.startswith(": ")
        lines += textwrap.wrap(words, width - 3, break_on_hyphens=False) if is_prose else [words]
    return [line for line in lines if line]


def nothing_found(search: Search, given: str) -> str:
    """What was searched, and what to try."""
    lines, first = search.count()
    since = f" since {first.astimezone():%Y-%m-%d %H:%M:%S %z}" if first else ""
    where = f"{len(search.files)} files of {search.folder}"
    said = f"Nothing is told of {given!r} in {lines:,} lines about messages{since}, in {where}."
    if search.reads:
        return f"{said}\nIt was only looked up, {search.reads} times."
    if not lines:
        return f"{said}\nHas the system run here ('make run'), with LOG_FORMAT=json and LOG_LEVEL=info?"
    return f"{said}\n{TRY}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make story")
    parser.add_argument("id", metavar="ID")
    parser.add_argument("--json", action="store_true", help="for programs: a list of stories")
    parser.add_argument("--logs", type=Path, default=LOGS, help="the folder of the logs")
    given = parser.parse_args()
    search = Search(given.logs)
    stories = stories_in(search.look_for(given.id))
    if not stories:
        sys.exit(nothing_found(search, given.id))
    if given.json:
        print(json.dumps([story.as_json() for story in stories], ensure_ascii=False, indent=1))
        return
    width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
    for story in stories:
        print(*told(story, width), "", sep="\n")
    if search.reads:
        print(f"And {search.reads} requests that only looked it up.")
    if search.cut:
        print(
            f"Only the newest {MOST_LINES:,} lines, from {search.cut.astimezone():%Y-%m-%d %H:%M:%S %z} on."
        )


if __name__ == "__main__":
    main()
