"""What `make story` tells of a conversation, in lines that tests can compare."""

import asyncio
import re
from pathlib import Path
from time import monotonic

from infra.story_lines import Search
from infra.story_tree import Node, stories_in


def rows(nodes: list[Node], depth: int = 0) -> list[str]:
    """A tree as `process | what`, each level indented; durations and generated ids left out."""
    said = []
    for node in nodes:
        what = re.sub(r" in (\d+ ms|\d+\.\d+ s)", "", "".join(node.parts))
        what = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}", "ID", what)
        said += [f"{'  ' * depth}{node.process} | {what}", *rows(node.children, depth + 1)]
    return said


async def expect(folder: Path, given: str, expected: list[str]) -> None:
    """The stories of `given` come to read like this; log lines may take a moment."""
    end = monotonic() + 30
    while (
        told := [row for story in stories_in(Search(folder).look_for(given)) for row in rows(story.tree)]
    ) != expected and monotonic() < end:
        await asyncio.sleep(0.1)
    assert told == expected, "\n".join(told)
