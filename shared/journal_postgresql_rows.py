"""Rows of tables as one statement, with a list for each column: prepared once, for any number of rows.

Sent one by one, rows cost PostgreSQL and its driver half as much again, and a round trip for each table.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

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


def adding(rows: Rows, after: int = 0) -> tuple[list[str], list[Any]]:
    """A part of a WITH for each table, and their parameters, numbered after so many others."""
    parts: list[str] = []
    columns: list[Any] = []
    for table, added in rows.items():
        names = tuple(added[0])
        insert, processes = _insert(table, names, after + len(columns))
        parts.append(f"rows_{len(parts)} AS ({insert})")
        for name, (process, is_text) in zip(names, processes, strict=True):
            cells = [row[name] for row in added]
            if process:
                cells = list(map(process, cells))
            columns.append(list_of_texts(cells) if is_text else cells)
    return parts, columns


def list_of_texts(texts: Sequence[str | None]) -> str:
    """For a parameter `$1::text::text[]`: a list of its own kind the driver encodes cell by cell."""
    if texts and None not in texts:
        joined = '","'.join(cast(Sequence[str], texts))
        if "\\" not in joined and joined.count('"') == 2 * (len(texts) - 1):
            return f'{{"{joined}"}}'
    return _literal(texts)


@lru_cache
def _insert(
    table: sa.TableClause, names: Sequence[str], after: int
) -> tuple[str, list[tuple[Process | None, bool]]]:
    """The statement, and by column what its values go through first, and whether they are texts then."""
    quote = DIALECT.identifier_preparer.quote
    taken: list[str] = []
    lists: list[str] = []
    processes: list[tuple[Process | None, bool]] = []
    for number, name in enumerate(names, after + 1):
        form = table.c[name].type
        process = form.dialect_impl(DIALECT).bind_processor(DIALECT)
        spelt = CUT.sub("TEXT", form.compile(dialect=DIALECT))
        if spelt.endswith("[]"):  # a list of lists would be read as one list
            taken.append(f"{quote(name)}::{spelt}")
            lists.append(f"${number}::TEXT::TEXT[]")
            processes.append((_literal_after(process), True))
        else:
            taken.append(quote(name))
            is_text = spelt == "TEXT"
            lists.append(f"${number}::TEXT::TEXT[]" if is_text else f"${number}::{spelt}[]")
            processes.append((process, is_text))
    columns = ", ".join(map(quote, names))
    target = DIALECT.identifier_preparer.format_table(table)
    rows = f"unnest({', '.join(lists)}) AS added ({columns})"
    return f"INSERT INTO {target} ({columns}) SELECT {', '.join(taken)} FROM {rows}", processes


def _literal_after(process: Process | None) -> Process:
    def literal(cell: Any) -> str | None:
        items = process(cell) if process and cell is not None else cell
        return items if items is None else _literal(None if item is None else str(item) for item in items)

    return literal


def _literal(texts: Iterable[str | None]) -> str:
    """An array as PostgreSQL reads it: https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO."""
    return "{" + ",".join("NULL" if text is None else _quoted(text) for text in texts) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
