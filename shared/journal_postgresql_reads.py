"""Prepared statements for asyncpg, past SQLAlchemy: its way from a statement to rows costs more than all the
rest of a query (docs/decisions/0021).
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Self, cast

import asyncpg
import sqlalchemy as sa
from sqlalchemy.sql.compiler import SQLCompiler

from shared.journal_postgresql_rows import DIALECT, Process
from shared.journal_sql import Prepared

NUMERIC, FLOAT8 = 1700, 701
"""PostgreSQL's numbers for these types (its catalog `pg_type`). Only SQLAlchemy's types of numbers ask, and
what they make of the one that they are told here is right for either.
"""


class Compiled:
    """A statement as asyncpg takes it; what goes through SQLAlchemy's types on its way in and out."""

    @classmethod
    @lru_cache(1024)
    def of(cls, prepared: Prepared) -> Self:
        return cls(prepared.statement)

    def __init__(self, statement: sa.Executable):
        compiled = cast(SQLCompiler, statement.compile(dialect=DIALECT))  # type: ignore[attr-defined]
        assert not compiled.post_compile_params, "its form hangs on its parameters: it cannot be prepared"
        binds = {name: compiled.binds[name] for name in compiled.positiontup or ()}
        self.text = compiled.string
        self.values_within = {
            name: compiled.params[name] for name, bind in binds.items() if not bind.required
        }
        self.parameters = [
            (name, bind.type.dialect_impl(DIALECT).bind_processor(DIALECT)) for name, bind in binds.items()
        ]
        columns: Iterable[sa.ColumnElement[Any]] = getattr(statement, "exported_columns", ())
        processes = ((number, _afterwards(column.type)) for number, column in enumerate(columns))
        self.columns = [(number, process) for number, process in processes if process]

    def values(self, parameters: Mapping[str, Any]) -> list[Any]:
        """Its parameters by number. KeyError where one is missing."""
        given = {**self.values_within, **parameters}
        return [process(given[name]) if process else given[name] for name, process in self.parameters]

    def rows(self, records: "Sequence[asyncpg.Record]") -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = list(map(dict, records))
        if rows and self.columns:
            names = list(rows[0])  # SQLAlchemy gives names to what has none, and other ones to namesakes
            for number, process in self.columns:
                name = names[number]
                for row in rows:
                    row[name] = process(row[name])
        return rows


def _afterwards(form: sa.types.TypeEngine[Any]) -> Process | None:
    number = FLOAT8 if isinstance(form, sa.Float) and form.asdecimal else NUMERIC
    return form.dialect_impl(DIALECT).result_processor(DIALECT, number)
