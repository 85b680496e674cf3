"""Memory of each process, seconds until all are ready, CPU and bytes written a command, one and two services.

Every round starts everything anew.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.bench import Bench
from benchmarks.comparing import Comparison, Found, Goal
from benchmarks.footprint.sides import SERVICES, Seen, see_ours, see_the_monolith
from benchmarks.tasks.contenders import make_table

SECONDS, FEW_SECONDS = 4.0, 1.0
LIGHT, SOON = Goal(90, at_most=True, unit="MB"), Goal(15, at_most=True, unit="s")
NOTES = Path(__file__).with_name("sides.md")
MEMORY = """\
| process | idle | after load | its children, each | all of it |
|---|---:|---:|---:|---:|
"""
COSTS = """\
| | CPU ms a command | of the monolith |
|---|---:|---:|
"""


async def compare(bench: Bench) -> Found:
    for service in SERVICES:
        if service != "gateway":
            await bench.system.migrate(service)
    if bench.small:
        await see_ours(bench, FEW_SECONDS)
        return Found([], NOTES.read_text())
    await make_table(bench)
    ours, theirs = [], []
    for number in range(bench.rounds):
        ours.append(await see_ours(bench, SECONDS))
        theirs.append(await see_the_monolith(bench, SECONDS))
        heaviest = max(_largest(ours[-1], name) for name in SERVICES)
        found = f"ready in {ours[-1].ready_seconds:.1f} s, {heaviest:.0f} MB"
        bench.say(f"  round {number + 1} of {bench.rounds}: {found}")
    return Found(_rows(ours, theirs), _notes(ours, theirs))


def _largest(seen: Seen, name: str) -> float:
    """Of the process or one of its children, idle or after load."""
    return max(*seen.idle[name], *seen.loaded[name])


def _rows(ours: Sequence[Seen], theirs: Sequence[Seen]) -> list[Comparison]:
    monolith = [_largest(seen, "monolith") for seen in theirs]
    memory = [
        Comparison(f"memory of {name}", "a worker of the monolith", "MB", LIGHT, of_it, monolith)
        for name in SERVICES
        for of_it in [[_largest(seen, name) for seen in ours]]
    ]
    if not any(monolith):
        memory = []  # nothing is known of it here
    what, against = "from start to ready, all five processes at once", "the monolith"
    seconds = [seen.ready_seconds for seen in ours], [seen.ready_seconds for seen in theirs]
    return [*memory, Comparison(what, against, "s", SOON, *seconds)]


def _notes(ours: Sequence[Seen], theirs: Sequence[Seen]) -> str:
    one, two, alone = (
        _median(figures)
        for figures in (
            (seen.costs.a_second for seen in ours),
            (seen.with_two for seen in ours),
            (seen.costs.a_second for seen in theirs),
        )
    )
    rows = [*(_memory_line(name, ours) for name in SERVICES), _memory_line("monolith", theirs)]
    parts = (
        NOTES.read_text() + "\nPSS in MB, medians:",
        MEMORY + "\n".join(rows),
        f"`POST /tasks`, answer awaited, 64 connections: {one:,.0f} a second with one task_service,\n"
        f"{two:,.0f} with two; the monolith {alone:,.0f} with its two workers.",
        COSTS + "\n".join(_cost_lines(ours, theirs)),
        f"To the disk went {_written(ours)} a command, of the monolith {_written(theirs)}.",
    )
    return "\n\n".join(parts) + "\n"


def _median(figures: Iterable[float]) -> float:
    return median(list(figures))


def _memory_line(name: str, seen: Sequence[Seen]) -> str:
    idle = _median(one.idle[name][0] for one in seen)
    loaded = _median(one.loaded[name][0] for one in seen)
    children = [_median(one.loaded[name][child] for one in seen) for child in _children(name, seen)]
    everything = _median(sum(one.loaded[name]) for one in seen)
    each = ", ".join(f"{child:.0f}" for child in children)
    return f"| {name} | {idle:.0f} | {loaded:.0f} | {each} | {everything:.0f} |"


def _children(name: str, seen: Sequence[Seen]) -> range:
    return range(1, min(len(one.loaded[name]) for one in seen))


def _cost_lines(ours: Sequence[Seen], theirs: Sequence[Seen]) -> list[str]:
    names = (*(name for name in ours[0].costs.cpu_ms), "monolith")
    return [f"| {name} | {_cpu(ours, name)} | {_cpu(theirs, name)} |" for name in names]


def _written(seen: Sequence[Seen]) -> str:
    figure = _median(one.costs.written for one in seen)
    return f"{figure:,.0f} bytes" if figure else "nobody knows how many bytes"


def _cpu(seen: Sequence[Seen], name: str) -> str:
    figures = [one.costs.cpu_ms[name] for one in seen if name in one.costs.cpu_ms]
    return f"{median(figures):,.3g}" if figures else ""
