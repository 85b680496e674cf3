"""Prints each line as it comes, and writes docs/reliability.md: lines that ran now replace their old ones."""

import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from tests.faults.line import Line
from tests.faults.registry import FAULTS
from tests.system import ROOT

FILE = ROOT / "docs" / "reliability.md"
HEAD = """\
# What was broken on purpose, and what came of it

Written by `make faults`, which runs all of this on real servers of its own; one line again:
`make faults ONLY=<name>`, the same moments again: `SEED=<number>`; on another RabbitMQ, in a container:
`BROKER=4`. A load of mixed commands (tasks, waste, texts) runs through REST (awaited, 202, with keys and
without) and through queues while something is broken. All processes run: the gateway, the services, the desk.
What stood in for the image of RabbitMQ 4 is told in [deployment.md](deployment.md#what-was-proven-on-what).

**Accepted**: answered 2xx or confirmed. **Effects**: in the stores. **Lost**: accepted and without its
effect, an effect that no event told of, or an event of what nobody stored. **Doubled**: two effects, ids (in
the store, answers and events) or different events for one fact. **5xx**: answers that leave the outcome open;
each is repeated with its key until it has an end, an operation has to say that it is done, and a command from
a queue has to be answered: else the line falls short ("left open"). So it does where waste is not all placed
or waiting, or a storage holds something else than was placed in it. What had no key when its connection was
lost may be an effect that nobody accepted. **Ready**: the longest time from what was broken being back until
every process says that it is ready and a read and a write of each service succeed (only a read where a write
waits behind 10,000 others). Where no process is to end, one that does lets the line fall short. **Memory**:
growth of the process that grew most, of those that lived all the time and had their warm-up: 600 commands, 40
texts and 100 dead letters, 25 reconnects before `endurance-reconnects`, and before `postgresql-two-minutes`
as many commands that wait as then. What a burst took a process gives back when it tidies next, every ten
seconds; so long it is waited for. The gateway's cache is told to take 128 KiB, which are full by then; the
32 MiB that it takes otherwise would look like a leak until they are.
"""
RUN = "**Last whole run on "
AT_MOST_MINUTES = 45
SLOWEST = 6
COLUMNS = (
    "fault", "what", "times", "broker", "accepted", "effects", "lost", "doubled", "5xx", "ready s", "memory",
    "verdict", "notes",
)  # fmt: skip


def cells(line: Line) -> list[str]:
    ready = "–" if line.ready_seconds is None else f"{line.ready_seconds:.1f}"
    memory = "–" if line.memory is None else f"{line.memory:+.0%}"
    figures = (line.times, line.broker, line.accepted, line.effects, line.lost, line.doubled, line.unknown)
    verdict = "falls short: " + "; ".join(line.wrong) if line.wrong else "holds"
    texts = [line.name, line.says, *map(str, figures), ready, memory, verdict, "; ".join(line.notes)]
    return [re.sub(r"\s+", " ", text).replace("|", "/") for text in texts]


def say(line: Line) -> None:
    name, _, *rest = cells(line)
    print(
        f"{name}: " + ", ".join(f"{title} {cell}" for title, cell in zip(COLUMNS[2:], rest, strict=True)),
        flush=True,
    )


def summary(lines: list[Line], minutes: float, seed: int) -> str:
    """What a whole run came to, the slowest lines, and what falls short."""
    falls_short = [line for line in lines if line.wrong]
    slowest = sorted(lines, key=lambda line: -line.seconds)[:SLOWEST]
    totals = (
        sum(getattr(line, name) for line in lines) for name in ("accepted", "effects", "lost", "doubled")
    )
    return "\n".join(
        [
            f"{len(lines)} lines in {minutes:.1f} min, seed {seed}: {len(lines) - len(falls_short)} hold, "
            f"{len(falls_short)} fall short",
            "{} accepted, {} effects, {} lost, {} doubled".format(*totals),
            "slowest: " + ", ".join(f"{line.name} {line.seconds:.0f} s" for line in slowest),
            *(f"falls short: {line.name}: {'; '.join(line.wrong)}" for line in falls_short),
        ]
    )


def note_whole_run(
    lines: list[Line], minutes: float, day: date, order: list[str], seed: int, stores: str, file: Path = FILE
) -> None:
    """Say in the file when all lines ran last on this broker, and how long that took."""
    short = [line.name for line in lines if line.wrong]
    told = (
        f"{RUN}{lines[0].broker}**: {day.isoformat()}, {len(lines)} lines in {minutes:.0f} min, seed {seed}; "
    )
    told += f"short: {', '.join(short)}" if short else "all hold"
    told += f"; longer than {AT_MOST_MINUTES} min." if minutes > AT_MOST_MINUTES else "."
    write([], order, seed, stores, file, whole_run=told)


def write(
    lines: Iterable[Line], order: list[str], seed: int, stores: str, file: Path = FILE, *, whole_run: str = ""
) -> None:
    """Merge the lines into the file, in this order of their names, each broker's beside the others'."""
    runs = {run.partition(".")[0]: run for run in [*_known_runs(file), whole_run] if run}
    rows = known_rows(file) | {_key(cells(line)): [*cells(line), str(seed)] for line in lines}
    table = [_row([*COLUMNS, "seed"]), _row(["---"] * (len(COLUMNS) + 1))]
    table += [_row(rows[key]) for key in sorted(rows, key=lambda key: (order.index(key[0]), key[1]))]
    head = [HEAD, *sorted(runs.values()), ""] if runs else [HEAD]
    file.write_text("\n".join([*head, f"Stores: {stores}.", "", *table, ""]))


def _known_runs(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if line.startswith(RUN)] if file.exists() else []


def known_rows(file: Path) -> dict[tuple[str, str], list[str]]:
    """By the name of the fault and the broker's major version."""
    if not file.exists():
        return {}
    rows = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in file.read_text().splitlines()]
    return {_key(row): row for row in rows if len(row) == len(COLUMNS) + 1 and row[0] in FAULTS}


def _key(row: list[str]) -> tuple[str, str]:
    return row[0], row[COLUMNS.index("broker")].partition(".")[0]


def _row(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"
