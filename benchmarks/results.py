"""`results.md` and its chart, made of `results.json`, which keeps what other runs measured."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.chart import chart
from benchmarks.comparing import Comparison, Found, Goal

HERE = Path(__file__).parent
ROUNDS_THAT_COUNT = 5
HEAD = """\
# Benchmarks: results

Written by `make bench`; [README.md](README.md) says how it is measured. What counts is the
median, over the rounds, of our figure divided by theirs of the same round; in brackets the extremes.
Where the goal has a unit, it is our figure that counts. Where some rounds say otherwise than the median, it
is told how many met the goal.

![chart](results.svg)

In the chart are the ratios alone, on a logarithmic axis: a bar from the smallest to the largest, a dot at the
median, a dashed line at the goal.

| what | against | goal | measured (min–max) | ours | theirs | |
|---|---|---|---|---:|---:|---|
"""
TOOK = "The last run of each took {:.0f} minutes in all."


def keep(
    name: str, found: Found, versions: Mapping[str, str], folder: Path = HERE, *, seconds: float = 0.0
) -> None:
    """Put what was found in the place of what an earlier run found by that name, and write all anew.

    `seconds`: how long it took.
    """
    file = folder / "results.json"
    kept: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    kept[name] = {
        "day": datetime.now(UTC).date().isoformat(),
        "seconds": round(seconds),
        "versions": dict(versions),
        "rows": [asdict(row) for row in found.rows],
        "notes": found.notes,
        **({"tables": found.tables, "figures": found.figures} if found.tables else {}),
    }
    file.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    rows = [row for one in kept.values() for row in rows_of(one)]
    sections = [_section(name, one) for name, one in kept.items()]
    seconds_each = [one.get("seconds", 0) for one in kept.values()]
    took = [TOOK.format(sum(seconds_each) / 60)] if all(seconds_each) else []
    (folder / "results.md").write_text("\n\n".join([HEAD + "\n".join(map(_line, rows)), *took, *sections]))
    (folder / "results.svg").write_text(chart([row for row in rows if row.goal.is_ratio]))


def rows_of(one: Mapping[str, Any]) -> list[Comparison]:
    """What a comparison's rows were when it was kept."""
    return [Comparison(**{**row, "goal": Goal(**row["goal"])}) for row in one["rows"]]


def _line(row: Comparison) -> str:
    measured = f"{row.middle:.2f} {row.goal.unit} ({min(row.measured):.2f}–{max(row.measured):.2f})"
    sides = [figure(row.ours, row.unit), figure(row.theirs, row.unit)]
    return f"| {' | '.join([row.what, row.against, str(row.goal), measured, *sides, _verdict(row)])} |"


def _verdict(row: Comparison) -> str:
    rounds = [row.goal.met_by(one) for one in row.measured]
    which = f" in {sum(rounds)} of {len(rounds)} rounds" if len(set(rounds)) > 1 else ""
    if row.is_met:
        return f"met{which}"
    return f"**missed**{which and ', met'}{which}"


def figure(figures: Sequence[float], unit: str) -> str:
    """The median, as people read it."""
    middle = median(figures)
    return f"{middle:,.0f} {unit}" if middle >= 100 else f"{middle:.3g} {unit}"


def _section(name: str, one: Mapping[str, Any]) -> str:
    versions = "; ".join(f"{what}: {version}" for what, version in one["versions"].items())
    rounds = max((len(row["ours"]) for row in one["rows"]), default=0)
    trial = " **A trial run: too few rounds to count.**" if 0 < rounds < ROUNDS_THAT_COUNT else ""
    took = f" in {one['seconds']} s" if one.get("seconds") else ""
    measured = f"Measured on {one['day']}, {rounds} rounds{took}."
    return f"## {name}\n\n{one['notes']}\n{measured}{trial} {versions}.\n"
