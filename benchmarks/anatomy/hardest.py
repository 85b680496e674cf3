"""Where the Python time of what is hardest to make faster goes: of a query that is alone, and of texts."""

import asyncio
import sys
from collections.abc import Mapping

from benchmarks.anatomy.parts import PARTS
from benchmarks.anatomy.sampling import GRACE_SECONDS, THREADS, Shares, shares_of
from benchmarks.bench import Bench
from benchmarks.programs import outcome_of, program
from benchmarks.texts.sides import ours_alone
from infra.local.processes import Process

SECONDS = 12.0
TEXTS, TEXT_SECONDS = 12_000, 20.0
"""The client makes its texts before it hands them in, and what idles meanwhile is not sampled."""
HEAD = """\
| share of its own CPU | task_service, one query in flight | text_worker, texts |
|---|---:|---:|
"""


async def hardest(bench: Bench, task_service: Process) -> str:
    """A table of shares; of text_worker one of two, without the processes that count."""
    query, texts = await _of_a_query(bench, task_service), await _of_texts(bench)
    rows = [f"| {part} | {_cell(query[part])} | {_cell(texts[part])} |" for part in (*PARTS, THREADS)]
    return HEAD + "\n".join(rows)


async def _of_a_query(bench: Bench, service: Process) -> Shares:
    [row] = await bench.system.fetch("task_service", "SELECT id FROM tasks LIMIT 1")
    settings = {"BROKER_URL": bench.system.broker_url("gateway"), "TASK": str(row["id"])}
    arguments = ["benchmarks.asking.our_client", f"{SECONDS}", "1"]
    return await _while_it_runs(bench, arguments, settings, service, SECONDS)


async def _of_texts(bench: Bench) -> Shares:
    async with ours_alone(bench) as ours:
        arguments = ["benchmarks.texts.our_client", f"{TEXTS}", "0"]
        return await _while_it_runs(bench, arguments, ours.settings, ours.workers[0], TEXT_SECONDS)


async def _while_it_runs(
    bench: Bench, arguments: list[str], settings: Mapping[str, str], process: Process, seconds: float
) -> Shares:
    client = program("client", [sys.executable, "-m", *arguments], settings, bench.folder)
    running = asyncio.create_task(outcome_of(client, 4 * seconds + GRACE_SECONDS))
    shares = await shares_of(bench, process, seconds)
    await running
    return shares


def _cell(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else ""
