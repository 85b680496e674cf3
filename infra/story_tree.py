"""Lines become stories, and stories trees: request → command → attempts → events → whoever heard them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from infra import story_words as in_words
from infra.story_lines import READS, Line


@dataclass
class Node:
    """One thing that happened, and what it brought about."""

    at: datetime
    process: str
    parts: in_words.Parts
    line: Line | None = None
    children: list["Node"] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {
            "at": self.at.isoformat(timespec="milliseconds"),
            "process": self.process,
            "what": "".join(self.parts),
            "line": self.line and self.line.model_dump(mode="json", exclude_unset=True),
            "children": [child.as_json() for child in self.children],
        }


@dataclass(eq=False)
class Story:
    """All that hangs together by message, conversation or cause."""

    lines: list[Line] = field(default_factory=list)

    @cached_property
    def began_at(self) -> datetime:
        return min(line.began_at for line in self.lines)

    @cached_property
    def seconds(self) -> float:
        return (max(line.time for line in self.lines) - self.began_at).total_seconds()

    @cached_property
    def processes(self) -> list[str]:
        return list(dict.fromkeys(line.service for line in self.lines))

    @property
    def tree(self) -> list[Node]:
        return _Tree(self.lines).roots

    def as_json(self) -> dict[str, Any]:
        return {
            "began_at": self.began_at.isoformat(timespec="milliseconds"),
            "seconds": round(self.seconds, 3),
            "processes": self.processes,
            "tree": [node.as_json() for node in self.tree],
        }


def stories_in(lines: Iterable[Line]) -> list[Story]:
    """The stories, the newest last."""
    by_id: dict[str, Story] = {}
    for line in lines:
        met = {by_id[one] for one in line.ids if one in by_id} or {Story()}
        story = max(met, key=lambda one: len(one.lines))
        for other in met - {story}:
            story.lines += other.lines
            by_id |= {one: story for moved in other.lines for one in moved.ids}
        story.lines.append(line)
        by_id |= dict.fromkeys(line.ids, story)
    return sorted(set(by_id.values()), key=lambda story: story.began_at)


Key = tuple[str, str]
"""A message as one conversation had it: what is sent again under its id is in another one."""


class _Tree:
    """Puts each line below what brought it about; `roots` are what nothing in the logs brought about."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self.roots: list[Node] = []
        self.requests: dict[Key, Node] = {}
        self.commands: dict[str, Node] = {}
        self.events: dict[str, Node] = {}
        groups: dict[Key, list[Line]] = {}
        for line in sorted(lines, key=lambda line: line.began_at):
            if line.event == "request":
                self._add_request(line)
            else:
                groups.setdefault((line.message_id, line.conversation), []).append(line)
        nodes = {key: [self._ending(line, group) for line in group] for key, group in groups.items()}
        for key, group in groups.items():
            self._place(key, group, nodes[key])
        for key in self.requests.keys() - groups.keys():
            _say_that_nobody_tells(self.requests[key])
        _sort(self.roots)

    def _add_request(self, line: Line) -> None:
        node = Node(line.began_at, line.service, in_words.request(line), line)
        self.requests[line.message_id, line.conversation] = node
        self.roots.append(node)

    def _ending(self, line: Line, group: Sequence[Line]) -> Node:
        """What a line says became of its message, with the events that it said."""
        parts = in_words.ending(line)
        if any(one.event == "broke" for one in group):
            parts = (in_words.attempt(line) + parts[0], *parts[1:])
        node = Node(line.began_at, line.service, parts, line)
        for told in line.said:
            event = Node(line.time, line.service, (f"{told.message} {told.message_id}",))
            self.events[told.message_id] = event
            node.children.append(event)
        return node

    def _place(self, key: Key, group: Sequence[Line], endings: list[Node]) -> None:
        event = self.events.get(key[0])
        if event or any(line.causation for line in group):
            _say_who_heard(endings)
        if event:
            event.children += endings
            return
        message = _message(group[0], endings)
        cause = self.requests.get(key) or self.commands.get(group[0].causation)
        (cause.children if cause else self.roots).append(message)
        self.commands.setdefault(key[0], message)


def _message(line: Line, endings: list[Node]) -> Node:
    """What happened to a message; one line where it was one thing."""
    if len(endings) > 1:
        parts: in_words.Parts = (f"{line.message} {line.message_id}",)
        return Node(endings[0].at, line.service, parts, children=endings)
    [ending] = endings
    parts = (f"{line.message} {ending.parts[0]}", *ending.parts[1:], f", {line.message_id}")
    return Node(ending.at, line.service, parts, ending.line, ending.children)


def _say_who_heard(endings: Iterable[Node]) -> None:
    for node in endings:
        if node.line and not node.line.causation:
            node.parts = ("heard, ", *node.parts)


def _say_that_nobody_tells(request: Node) -> None:
    """Reads that went well tell nothing anywhere else."""
    line = request.line
    if line and line.method not in READS:
        what = "it was not sent" if line.code == "unavailable" else "no process tells of it yet"
        parts = (f"{line.message} {line.message_id}", f": {what}")
        request.children.append(Node(line.time, "", parts))


def _sort(nodes: list[Node]) -> None:
    nodes.sort(key=lambda node: node.at)
    for node in nodes:
        _sort(node.children)
