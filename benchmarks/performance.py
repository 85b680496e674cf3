"""The tables of `docs/performance.md`, made of `results.json` and written between their markers.

Before is `anatomy/before.json`: the rows of `results.json` as they were at commit a20873e, of 2026-11-22; and
`anatomy/doors.json`: what anatomy found, door to door, at two commits since.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.comparing import Comparison, Goal
from benchmarks.results import HERE, ROUNDS_THAT_COUNT, figure, rows_of

PAGE = HERE.parent / "docs" / "performance.md"
BEFORE, DOORS = HERE / "anatomy" / "before.json", HERE / "anatomy" / "doors.json"
NAMES = ("before and after", "anatomy", "missed")
HEAD = """\
| what | against | goal | before | after | |
|---|---|---|---|---|---|
"""
DOOR_HEAD = """\
| CPU µs of a `POST` | state | gateway | task_service | RabbitMQ | PostgreSQL | Valkey | all | monolith | |
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|
"""
PARTS = ("gateway", "task_service", "RabbitMQ", "PostgreSQL", "Valkey", "all", "the monolith")
LOADS = ("64 connections", "1 connection")
MISSED = """\
| missed | against | goal | measured | measured on |
|---|---|---|---|---|
"""
Kept = Mapping[str, Mapping[str, Any]]


def fill_in(folder: Path = HERE, page: Path = PAGE) -> None:
    """Write between the markers of the page what was measured; its prose stays."""
    kept: Kept = json.loads((folder / "results.json").read_text())
    text = page.read_text()
    for name, tables in zip(NAMES, (_before_and_after(kept), _anatomy(kept), _missed(kept)), strict=True):
        head, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, tail = rest.partition(f"<!-- /{name} -->")
        assert begin and end, f"{page.name} has lost its marker {name!r}"
        text = f"{head}{begin}\n{tables.strip()}\n\n{end}{tail}"
    page.write_text(text)


def _before_and_after(kept: Kept) -> str:
    now = {_identity(row): row for one in kept.values() for row in rows_of(one)}
    lines = []
    for row in _rows_before():
        after = _after(now.get(_identity(row)))
        lines.append(f"| {' | '.join([*_identity(row), str(row.goal), _both(row), *after])} |")
    return HEAD + "\n".join(lines) + "\n\n" + _doors(kept)


def _doors(kept: Kept) -> str:
    """Door to door: what each process took for one command, then and now."""
    states: list[Mapping[str, Any]] = json.loads(DOORS.read_text())
    if "anatomy" in kept:
        states.append({"state": f"now, {kept['anatomy']['day']}", **kept["anatomy"]["figures"]})
    lines = [
        f"| {load} | {one['state']} | {' | '.join(f'{one[load][part]:,}' for part in PARTS)} "
        f"| {one[load]['all'] / one[load]['the monolith']:.2f} × |"
        for load in LOADS
        for one in states
    ]
    return DOOR_HEAD + "\n".join(lines)


def _rows_before() -> list[Comparison]:
    rows: Sequence[dict[str, Any]] = json.loads(BEFORE.read_text())
    return [Comparison(**{**row, "goal": Goal(**row["goal"])}) for row in rows]


def _identity(row: Comparison) -> tuple[str, str]:
    return row.what, row.against


def _after(row: Comparison | None) -> list[str]:
    return [_both(row), "met" if row.is_met else "**missed**"] if row else ["", ""]


def _both(row: Comparison) -> str:
    ours, theirs = figure(row.ours, row.unit), figure(row.theirs, row.unit)
    return f"{row.middle:.2f} {row.goal.unit} ({ours.partition(' ')[0]} to {theirs})"


def _measured(row: Comparison) -> str:
    return f"{row.middle:.2f} {row.goal.unit} ({figure(row.ours, row.unit)})"


def _anatomy(kept: Kept) -> str:
    if "anatomy" not in kept:
        return "Not measured yet: `make bench ONLY=anatomy`."
    one = kept["anatomy"]
    rounds = max(len(row["ours"]) for row in one["rows"])
    few = " **A trial run: too few rounds to count.**" if rounds < ROUNDS_THAT_COUNT else ""
    measured = (
        f"Measured on {one['day']}, {rounds} round{'s' * (rounds > 1)}, {one['versions']['machine']}.{few}"
    )
    return f"{one['tables']}\n{measured}"


def _missed(kept: Kept) -> str:
    lines = [
        f"| {row.what} | {row.against} | {row.goal} | {_measured(row)} | {one['day']} |"
        for one in kept.values()
        for row in rows_of(one)
        if not row.is_met
    ]
    return MISSED + "\n".join(lines) if lines else "All goals are met."
