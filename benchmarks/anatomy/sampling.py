"""Where processes spend their Python time while they are loaded, by sampling them with py-spy."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from benchmarks.anatomy.parts import shares
from benchmarks.bench import Bench
from benchmarks.environments import python_of
from benchmarks.footprint.sides import TASK
from benchmarks.load import load
from benchmarks.programs import program
from infra.local.problems import Problem
from infra.local.processes import Process

PEER = "profiler"
A_SECOND = 200
GRACE_SECONDS = 20.0
START_SECONDS = 1.0
"""The load lasts so much longer than the sampling, which begins a little later."""
THREADS = "threads that run no Python"
Shares = dict[str, float]


async def sampled(
    bench: Bench, url: str, processes: Mapping[str, Process], connections: int, seconds: float
) -> dict[str, Shares]:
    """Of each process, how its CPU time divides into parts while so many connections `POST /tasks`."""
    loading = asyncio.create_task(
        load(f"{url}/tasks", connections, seconds + START_SECONDS, TASK, bench.folder)
    )
    found = await asyncio.gather(*(shares_of(bench, one, seconds) for one in processes.values()))
    await loading
    return dict(zip(processes, found, strict=True))


async def shares_of(bench: Bench, process: Process, seconds: float) -> Shares:
    """How its CPU time divides into parts while something else loads it, its children's aside.

    Threads that never run Python are no part of the samples: they have what `/proc` says they used.
    """
    assert process.pid
    stacks = bench.folder / f"{process.name}.stacks"
    spy = str(Path(python_of(PEER)).with_name("py-spy"))
    what = ["--format", "raw", "--full-filenames", "--rate", str(A_SECOND), "--duration", f"{seconds:.0f}"]
    command = [spy, "record", *what, "--output", str(stacks), "--pid", str(process.pid)]
    sampling = program("py-spy", command, {}, bench.folder)
    before = _used_by_threads(process.pid)
    sampling.start()
    if not await asyncio.to_thread(sampling.wait, seconds + GRACE_SECONDS):
        sampling.kill()
    sampling.log.settle()
    if sampling.exit_code or not stacks.exists():
        raise Problem(
            f"py-spy could not look into {process.name}; run this as root, or let processes trace others "
            f"(sysctl kernel.yama.ptrace_scope=0). It said: {sampling.log.last_lines(3)}"
        )
    used = Counter(_used_by_threads(process.pid))
    used.subtract(before)
    python = used[process.pid] / (used.total() or 1)
    found = {part: share * python for part, share in shares(stacks.read_text().splitlines()).items()}
    return {**found, THREADS: 1 - python}


def _used_by_threads(pid: int) -> dict[int, int]:
    """CPU seconds, in ticks, by thread; that which runs Python has the process's own number."""
    found = {}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        fields = (thread / "stat").read_text().rpartition(")")[2].split()
        found[int(thread.name)] = int(fields[11]) + int(fields[12])
    return found
