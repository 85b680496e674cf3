"""One fault, as often as it says, under load: a line of the report."""

import asyncio
import shutil
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from random import Random
from signal import SIGKILL
from time import monotonic

from shared.process import TIDY_SECONDS
from tests.faults.accountant import Accountant, Verdict
from tests.faults.load import Load, load, publish_undecodable
from tests.faults.registry import Fault, Scene
from tests.faults.stage import Stage
from tests.system import ROOT, eventually

READY_WITHIN_SECONDS = 10.0
MEMORY_GROWTH = 0.10
SOON_SECONDS = 5.0
WARM_UP_TEXTS = 40
"""At once, so that every place where texts are counted has its process."""
WARM_UP_LETTERS = 100
LONGEST_SECONDS = 900.0
_numbers = count(1)
LOGS = ROOT / ".conveyor" / "faults"


@dataclass
class Line:
    """What came of one fault. `wrong` is empty when it is as promised."""

    name: str
    says: str
    times: int
    broker: str
    accepted: int = 0
    effects: int = 0
    lost: int = 0
    doubled: int = 0
    unknown: int = 0
    """Answers with 5xx."""
    ready_seconds: float | None = None
    memory: float | None = None
    """Growth of the process that grew most, of those that lived all the time; 0.1 is 10 %."""
    notes: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0


async def run_line(
    fault: Fault, stage: Stage, accountant: Accountant, seed: int, broker: str, *, times: int, least: int
) -> Line:
    line = Line(fault.name, fault.says, times, broker)
    began = monotonic()
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            await _run(fault, stage, accountant, seed, line, least)
    except Exception as error:
        traceback.print_exc()
        line.wrong.append(f"{type(error).__name__}: {error}"[:300])
    if line.wrong:
        _keep_logs(stage, line)
    line.seconds = monotonic() - began
    line.notes.insert(0, f"{line.seconds:.0f} s")
    return line


async def _warm_up(stage: Stage, accountant: Accountant) -> None:
    """Work for processes that were started since the last warm-up.

    Their pools, caches, prepared statements and processes for texts are there by then. None where nobody
    wants to know of memory.
    """
    if not stage.warm_up or stage.memory().keys() <= stage.warm:
        return
    name = f"warm-up-{next(_numbers)}"

    async def done() -> bool:
        return not await accountant.unfinished(name)

    async with load(stage, name, 0, stage.warm_up // 2) as running:
        await running.burst(WARM_UP_TEXTS, "text")
    letters = [f"{name} {number}" for number in range(WARM_UP_LETTERS)]
    await publish_undecodable(stage, letters)
    await eventually(lambda: accountant.died(letters), "the letters of the warm-up are on the desk", 60)
    await eventually(done, "the texts of the warm-up are done", 120)
    stage.warm = set(stage.memory())


async def _run(fault: Fault, stage: Stage, accountant: Accountant, seed: int, line: Line, least: int) -> None:
    await stage.arm(fault.armed)
    if not fault.ends:
        await _warm_up(stage, accountant)
    if fault.warm_up:
        await fault.warm_up(stage)
    random, ended = Random(f"{seed} {fault.name}"), len(stage.exits)
    since = datetime.now(UTC)
    before = {one: memory for one, memory in stage.memory().items() if one in stage.warm}
    async with load(stage, f"{fault.name}-{seed}", random.getrandbits(32), least) as running:
        scene = Scene(stage, running, accountant, random)
        try:
            for scene.round in range(line.times):
                await asyncio.sleep(random.uniform(0.2, 1.5))
                await fault.strike(scene)
                await scene.until_ready()
                await scene.timed()
        finally:
            for timing in scene.timing:
                timing.cancel()
            line.notes += scene.notes
            line.ready_seconds = scene.ready_seconds
    verdict = await accountant.settle(running, scene.forgiven)
    _account(line, verdict, running, scene)
    if line.lost and (unfinished := await accountant.unfinished(running.name)):
        line.wrong.append(f"texts not done: {unfinished}")
    if wrong := await accountant.mass():
        line.wrong.append(wrong)
    line.wrong += [f"dead letter: {one}" for one in await accountant.died_besides(scene.meant_to_die, since)]
    await _weigh(line, before, stage)
    line.wrong += ended_by_themselves(fault, stage.exits[ended:])
    if line.ready_seconds is not None and line.ready_seconds > READY_WITHIN_SECONDS:
        line.wrong.append(f"ready again after {line.ready_seconds:.1f} s only")
    for look in scene.afterwards:
        await look()


def ended_by_themselves(fault: Fault, exits: list[tuple[str, int]]) -> list[str]:
    """What is wrong with these ends of processes: they are started again, so that nothing else would tell."""
    meant = {0, -SIGKILL} if fault.ends else set()
    return [f"ended by itself: {name}, with {code}" for name, code in exits if code not in meant]


def _keep_logs(stage: Stage, line: Line) -> None:
    """What the processes and servers wrote, for whoever wants to know why."""
    folder = LOGS / line.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    mine = stage.folder.glob(f"{stage.system.name}.*.log*")
    servers = (stage.folder / "servers").glob("*/*.log")
    for log in [*mine, *servers]:
        shutil.copy(log, folder)
    line.notes.append(f"logs in {folder.relative_to(ROOT)}")


def _account(line: Line, verdict: Verdict, running: Load, scene: Scene) -> None:
    lost = verdict.lost_beside(scene.forgiven)
    if scene.forgiven:
        gone = len(verdict.lost) - len(lost)
        line.notes.append(f"{gone} of {len(scene.forgiven)} under way went with what was deleted")
    line.accepted, line.effects = verdict.accepted, verdict.effects
    line.lost, line.doubled = len(lost), len(verdict.doubled)
    line.unknown = sum(count for status, count in running.statuses.items() if status >= 500)
    for title, found in (("lost", lost), ("doubled", verdict.doubled), ("left open", verdict.left_open)):
        line.wrong += [f"{title}: {' '.join(known)}: {what}" for known, what in found[:3]]
    line.wrong += [f"refused: {one} ({times} times)" for one, times in running.refused.items()]


async def _weigh(line: Line, before: dict[tuple[str, int], int], stage: Stage) -> None:
    """What a process gives back, it does when it tidies next."""
    tidied = monotonic() + TIDY_SECONDS + SOON_SECONDS
    while (grown := _grown(before, stage.memory())) and max(grown.values()) > MEMORY_GROWTH:
        if monotonic() > tidied:
            break
        await asyncio.sleep(1)
    if not grown:
        return
    (name, _), line.memory = max(grown.items(), key=lambda one: one[1])
    if line.memory > MEMORY_GROWTH:
        line.wrong.append(f"{name} takes {line.memory:.0%} more memory")


def _grown(
    before: dict[tuple[str, int], int], after: dict[tuple[str, int], int]
) -> dict[tuple[str, int], float]:
    return {one: after[one] / before[one] - 1 for one in before.keys() & after.keys() if before[one]}
