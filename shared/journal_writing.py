"""What a batch has still to write, grouped by statement, whatever the store."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

Statement = TypeVar("Statement")
"""What writes are grouped by: a SQL statement, the name of a MongoDB collection."""


class Writing(Generic[Statement]):
    """The writing side of a transaction. `memory` lives exactly as long: what was read once for a batch."""

    def __init__(self) -> None:
        self.memory: dict[Any, Any] = {}
        self.writes = 0
        self.waiting: list[tuple[Statement, list[Any]]] = []
        self.latest: dict[Statement, int] = {}
        self.reached = 0

    def write(self, statement: Statement, parameters: Any) -> None:
        """Have a statement run before the next read or the commit.

        Writes of a batch leave grouped by statement object. A message's own writes keep their order; those
        of different messages may change places, so what others of the batch build on is flushed at once.
        """
        self.writes += 1
        group = self.latest.get(statement, -1)
        if group < self.reached:
            group = self.latest[statement] = len(self.waiting)
            self.waiting.append((statement, []))
        self.waiting[group][1].append(parameters)
        self.reached = group

    def grow(self, statement: Statement, empty: Callable[[], Any]) -> Any:
        """The parameters of a statement that runs once for all messages of the batch that add to them.

        Whoever writes so adds at once: `empty` makes what is added to first.
        """
        if self.latest.get(statement, -1) < self.reached:
            self.write(statement, empty())
        else:
            self.writes += 1
            self.reached = self.latest[statement]
        return self.waiting[self.reached][1][-1]

    def next_message(self) -> None:
        """The writes that follow are another message's."""
        self.reached = 0

    def taken(self) -> list[tuple[Statement, list[Any]]]:
        """All that waits, which waits no longer."""
        waiting, self.waiting = self.waiting, []
        self.latest.clear()
        self.reached = 0
        return waiting
