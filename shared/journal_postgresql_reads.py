"""Prepared statements for asyncpg, past SQLAlchemy: its way from a statement to rows costs more than all the
rest of a query (docs/decisions/0021).
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Self, cast

import sqlalchemy as sa
from sqlalchemy.sql.compiler import SQLCompiler

from shared.journal_postgresql_rows import DIALECT, Process
from shared.journal_sql import Prepared

NUMERIC, FLOAT8 = 1700, 701
"""PostgreSQL's numbers for these types (its catalog `pg_type`): only SQLAlchemy's types of numbers ask."""


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
        processes = ((column.name, _afterwards(column.type)) for column in columns)
        self.columns = [(name, process) for name, process in processes if process]

    def values(self, parameters: Mapping[str, Any]) -> list[Any]:
        """Its parameters by number. KeyError where one is missing."""
        given = {**self.values_within, **parameters}
        return [process(given[name]) if process else given[name] for name, process in self.parameters]

    def row(self, record: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        row = dict(record)
        for name, process in self.columns:
            row[name] = process(row[name])
        return row


def _afterwards(form: sa.types.TypeEngine[Any]) -> Process | None:
    number = FLOAT8 if isinstance(form, sa.Float) else NUMERIC
    return form.dialect_impl(DIALECT).result_processor(DIALECT, number)
