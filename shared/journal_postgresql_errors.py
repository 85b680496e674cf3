"""What an error of PostgreSQL or its driver means to the kernel."""

from time import monotonic
from types import TracebackType
from typing import Any

import asyncpg
import sqlalchemy as sa

from shared.journal import Conflict, StoreAway
from shared.journal_sql import causes_of

AWAY_STATES = ("08", "53", "57P", "58")
"""SQLSTATE classes: connection, resources (disk, memory, connections), shutdown, system."""
CONFLICT_STATES = ("40001", "40P01")
"""Serialization failure, deadlock detected."""
TWICE = "23505"
"""Unique violation: of the inbox, what `statements.CONCLUDE_UNSEEN` ends with where one is there."""
OTHER_SCHEMA = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)
"""A newer release has changed it since the statement was prepared; the driver prepares it anew then."""
UNREACHABLE = (OSError, TimeoutError, sa.exc.TimeoutError)
"""The last: all connections of the pool are in use, and none came back in time."""


class Use:
    """A use of a connection, as often as one likes: an error is raised as what the kernel has to know of it.

    `over`: when the last one ended, by the monotonic clock. A class, since each statement is such a use.
    """

    __slots__ = ("driver", "over")

    def __init__(self, driver: "asyncpg.Connection[Any] | None" = None):
        self.driver = driver
        self.over = monotonic()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.over = monotonic()
        if isinstance(error, Exception) and (meaning := self._meaning_of(error)):
            # Made here and in no variable: an error that its own traceback knows stays for long.
            raise meaning(f"{type(error).__name__}: {error}") from error

    def _meaning_of(self, error: Exception) -> type[Exception] | None:
        """Is the store away, or was it a conflict? None where it is neither."""
        causes = list(causes_of(error))
        state = next((cause.sqlstate for cause in causes if getattr(cause, "sqlstate", None)), "")
        ended_before = state == TWICE and getattr(causes[-1], "table_name", None) == "inbox"
        other_schema = any(isinstance(cause, OTHER_SCHEMA) for cause in causes)
        if state.startswith(CONFLICT_STATES) or ended_before or other_schema:
            return Conflict
        unreachable = any(isinstance(cause, UNREACHABLE) for cause in causes)
        if state.startswith(AWAY_STATES) or unreachable or (self.driver and self.driver.is_closed()):
            return StoreAway
        return None
