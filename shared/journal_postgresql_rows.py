"""Rows of tables as one statement, with a list for each column: prepared once, for any number of rows.

Sent one by one, rows cost PostgreSQL and its driver half as much again, and a round trip for each table.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg

DIALECT: sa.Dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]
Process = Callable[[Any], Any]
Rows = dict[sa.TableClause, list[Mapping[str, Any]]]
"""All of a table name the same columns, those of the first. SQLAlchemy's own defaults are not applied."""
CUT = re.compile(r"^(VARCHAR|CHAR)(\(\d+\))?")
"""A cast to these cuts what is too long; going into the column, a text is refused."""


def leaving_together(
    groups: Iterable[tuple[sa.Executable | sa.TableClause, list[Any]]],
) -> Iterator["Rows | tuple[sa.Executable, list[Any]]"]:
    """Groups of writes in their order: those of rows in a row as one, in which no table stands twice.

    In what order the parts of a WITH run, PostgreSQL leaves open.
    """
    rows: Rows = {}
    for target, parameters in groups:
        if rows and (target in rows or not isinstance(target, sa.TableClause)):
            yield rows
            rows = {}
        if isinstance(target, sa.TableClause):
            rows[target] = parameters
        else:
            yield target, parameters
    if rows:
        yield rows


def adding(rows: Rows, after: int = 0) -> tuple[list[str], list[list[Any]]]:
    """A part of a WITH for each table, and their parameters, numbered after so many others."""
    parts: list[str] = []
    columns: list[list[Any]] = []
    for table, added in rows.items():
        names = tuple(added[0])
        insert, processes = _insert(table, names, after + len(columns))
        parts.append(f"rows_{len(parts)} AS ({insert})")
        for name, process in zip(names, processes, strict=True):
            cells = [row[name] for row in added]
            columns.append([process(cell) for cell in cells] if process else cells)
    return parts, columns


@lru_cache
def _insert(table: sa.TableClause, names: Sequence[str], after: int) -> tuple[str, list[Process | None]]:
    """The statement, and what its values go through first, by column."""
    quote = DIALECT.identifier_preparer.quote
    taken: list[str] = []
    lists: list[str] = []
    processes: list[Process | None] = []
    for number, name in enumerate(names, after + 1):
        form = table.c[name].type
        process = form.dialect_impl(DIALECT).bind_processor(DIALECT)
        spelt = CUT.sub("TEXT", form.compile(dialect=DIALECT))
        if spelt.endswith("[]"):  # a list of lists would be read as one list
            taken.append(f"{quote(name)}::{spelt}")
            lists.append(f"${number}::TEXT[]")
            processes.append(_literal_after(process))
        else:
            taken.append(quote(name))
            lists.append(f"${number}::{spelt}[]")
            processes.append(process)
    columns = ", ".join(map(quote, names))
    target = DIALECT.identifier_preparer.format_table(table)
    rows = f"unnest({', '.join(lists)}) AS added ({columns})"
    return f"INSERT INTO {target} ({columns}) SELECT {', '.join(taken)} FROM {rows}", processes


def _literal_after(process: Process | None) -> Process:
    return lambda cell: cell if cell is None else _literal(process(cell) if process else cell)


def _literal(items: Iterable[Any]) -> str:
    """An array of texts or numbers as PostgreSQL reads it: https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO."""
    return "{" + ",".join("NULL" if item is None else _quoted(str(item)) for item in items) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
