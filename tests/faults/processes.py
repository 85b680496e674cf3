"""Processes that die, at any time and at chosen places, are told to stop, freeze."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from signal import SIGTERM

from infra.local.processes import send
from shared.batch import BATCH
from tests.faults.broker import connections
from tests.faults.load import Kind
from tests.faults.registry import Scene, fault
from tests.faults.stage import NAMES, SERVICES
from tests.system import Replica, eventually

PAST_HEARTBEATS_SECONDS = 40.0
"""The broker gives a silent client up after two heartbeats of ten seconds."""
KINDS: dict[str, Kind] = {"task_service": "task", "waste_service": "waste", "text_worker": "text"}
"""What each service does."""


@fault("sigkill", ends=True)
async def sigkill(scene: Scene) -> None:
    """SIGKILL of each process in turn, at random moments"""
    for name in scene.random.sample(NAMES, len(NAMES)):
        await _end(scene, name, kill=True)


@fault("sigterm", ends=True)
async def sigterm(scene: Scene) -> None:
    """SIGTERM of each process in turn, at random moments; each exits 0"""
    for name in scene.random.sample(NAMES, len(NAMES)):
        await _end(scene, name, kill=False)
    assert {code for _, code in scene.stage.exits if code != -9} <= {0}, scene.stage.exits


async def _end(scene: Scene, name: str, *, kill: bool) -> None:
    replica = scene.stage.replicas[name]
    pid = replica.process.pid
    if pid and kill:
        await asyncio.to_thread(replica.process.kill)
    elif pid:
        send(pid, SIGTERM)
    await eventually(partial(_replaced, replica, pid), f"{name} is started again", 20)
    scene.time(scene.until_started(name))
    await asyncio.sleep(scene.random.uniform(0, 0.5))


@fault("services-frozen", times=1)
async def services_frozen(scene: Scene) -> None:
    """All services stopped by SIGSTOP past their heartbeats, then thawed"""
    await _freeze(scene, *(name for name in NAMES if name != "gateway"))


@fault("gateway-frozen", times=1)
async def gateway_frozen(scene: Scene) -> None:
    """The gateway stopped by SIGSTOP past its heartbeats, then thawed"""
    await _freeze(scene, "gateway")


async def _freeze(scene: Scene, *names: str) -> None:
    processes = [scene.stage.replicas[name].process for name in names]
    for process in processes:
        process.freeze()
    try:
        await asyncio.sleep(PAST_HEARTBEATS_SECONDS)
        connected = [one for one in await connections(scene.stage) if one.client.startswith(names)]
        assert not connected, f"the broker has not given up {connected}"
    finally:
        for process in processes:
            process.thaw()


async def _die_at(scene: Scene, place: str, together: int = 0) -> None:
    """`together`: so many commands come at once, that share batches."""
    for name in scene.random.sample(SERVICES, len(SERVICES)):
        await _explode(scene, name, place, partial(scene.load.burst, together, KINDS[name]))


async def _explode(scene: Scene, name: str, place: str, give_work: Callable[[], Awaitable[object]]) -> None:
    bomb = scene.stage.folder / f"{name}.{place}"
    pid = scene.stage.replicas[name].process.pid
    bomb.touch()
    await give_work()
    await eventually(partial(_exploded, bomb), f"{name} died {place}", 60)
    await eventually(partial(_replaced, scene.stage.replicas[name], pid), f"{name} is started again", 20)
    scene.time(scene.until_started(name))


async def _exploded(bomb: Path) -> bool:
    return not bomb.exists()  # noqa: ASYNC240 a moment


async def _replaced(replica: Replica, pid: int | None) -> bool:
    return replica.process.pid not in {pid, None}


@fault("after-commit", ends=True, armed=True)
async def after_commit(scene: Scene) -> None:
    """Each service killed after the commit, before its events and answers leave"""
    await _die_at(scene, "after-commit")


@fault("after-publish", ends=True, armed=True)
async def after_publish(scene: Scene) -> None:
    """Each service killed after its events are confirmed, before the outbox is cleared"""
    await _die_at(scene, "after-publish")


@fault("after-answer", ends=True, armed=True)
async def after_answer(scene: Scene) -> None:
    """Each service killed after its answers left, before the acknowledgement"""
    await _die_at(scene, "after-answer")


@fault("in-batch", ends=True, armed=True)
async def in_batch(scene: Scene) -> None:
    """Each service killed in the middle of a batch"""
    await _die_at(scene, "in-batch", together=20)


@fault("in-next-batch", ends=True, armed=True)
async def in_next_batch(scene: Scene) -> None:
    """task_service killed while it works a batch out beside one that is written"""
    process = scene.stage.replicas["task_service"].process

    async def have_batches_wait() -> None:
        process.freeze()
        try:
            await scene.load.burst(4 * BATCH, "task")
        finally:
            process.thaw()

    await _explode(scene, "task_service", "in-next-batch", have_batches_wait)
