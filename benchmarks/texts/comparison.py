"""Text jobs, end to end: from the first text handed in until all reports are in the store, beside the peers.

Every side has two workers with two counting processes each, six processes in all, and counts by the same
function of the same ICU.
"""

from collections.abc import Sequence

from benchmarks.bench import Bench
from benchmarks.comparing import Comparison, Found, Goal, Round, in_turn
from benchmarks.cpu import cpu_seconds
from benchmarks.programs import outcome_of, program
from benchmarks.texts.notes import notes
from benchmarks.texts.sides import Side, all_sides, ours_alone

TEXTS, WARM_UP, FEW = 2_000, 400, 20
ROUND_SECONDS = 180
GOAL = Goal(2.0)


async def compare(bench: Bench) -> Found:
    """Ours and the three peers; in small, ours alone."""
    if bench.small:
        async with ours_alone(bench) as ours:
            await _round(bench, ours, FEW)
            return Found([], notes([ours], FEW))
    async with all_sides(bench) as sides:
        for side in sides:
            await _round(bench, side, WARM_UP)
            side.outcomes.clear()
        rows = await _compared(bench, sides)
        return Found(rows, notes(sides, TEXTS))


async def _compared(bench: Bench, sides: Sequence[Side]) -> list[Comparison]:
    figures = await in_turn({side.name: _measuring(bench, side) for side in sides}, bench.rounds, bench.say)
    ours, *peers = (side.name for side in sides)
    same = _digests(sides)
    assert len(same) == bench.rounds, f"the sides came to different reports: {same}"
    what, unit = "text jobs of 2 KB, end to end", "texts/s"
    return [Comparison(what, peer, unit, GOAL, figures[ours], figures[peer]) for peer in peers]


def _digests(sides: Sequence[Side]) -> set[str]:
    return {str(outcome["digest"]) for side in sides for outcome in side.outcomes}


def _measuring(bench: Bench, side: Side) -> Round:
    async def texts_a_second() -> float:
        await _round(bench, side, TEXTS)
        return TEXTS / float(side.outcomes[-1]["seconds"])

    return texts_a_second


async def _round(bench: Bench, side: Side, count: int) -> None:
    """Every side gets the same texts in its same round, others in the next."""
    seed = f"{count}{len(side.outcomes)}"
    client = program(f"client-of-{side.name}", [*side.client, str(count), seed], side.settings, bench.folder)
    parts = {
        "workers": [worker.pid for worker in side.workers],
        "RabbitMQ": [bench.servers.rabbitmq.process.pid],
        "store": [side.store.pid if side.store else None],
    }
    before = {part: cpu_seconds(*pids) for part, pids in parts.items()}
    outcome = await outcome_of(client, ROUND_SECONDS)
    used = {part: cpu_seconds(*pids) - before[part] for part, pids in parts.items()}
    assert outcome["texts"] == count, f"{side.name} has {outcome['texts']} reports of {count}"
    side.outcomes.append(outcome | {"cpu": used | {"client": outcome["cpu_seconds"]}})
