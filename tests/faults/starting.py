"""Starting in any order; stopping while what one works with is away."""

import asyncio

from tests.faults.registry import Scene, fault
from tests.faults.stage import NAMES

GRACE_SECONDS = 7.0
LATE_SECONDS = 2.0
BEFORE_SECONDS = 3.0
"""By then a process has tried to reach what is away."""


async def _all_down(scene: Scene) -> None:
    scene.stage.kept.clear()
    for name in NAMES:
        scene.stage.replicas[name].process.ask_to_end()
    for name in NAMES:
        await asyncio.to_thread(scene.stage.replicas[name].process.end)


@fault("started-in-any-order", ends=True)
async def started_in_any_order(scene: Scene) -> None:
    """All processes stopped and started in another order each time; each is first once, and alone at first"""
    await _all_down(scene)
    first = NAMES[scene.round % len(NAMES)]
    others = [name for name in NAMES if name != first]
    for name in [first, *scene.random.sample(others, len(others))]:
        scene.stage.replicas[name].process.start()
        scene.stage.kept.add(name)
        await asyncio.sleep(BEFORE_SECONDS if name == first else scene.random.uniform(0, 1))


@fault("started-before-rabbitmq", ends=True)
async def started_before_rabbitmq(scene: Scene) -> None:
    """Everything stopped, then the processes started first and RabbitMQ last"""
    await _started_before(scene, "rabbitmq")


@fault("started-before-stores", ends=True)
async def started_before_stores(scene: Scene) -> None:
    """Everything stopped, then the processes started first and the stores last"""
    await _started_before(scene, "postgresql", "mongodb", "valkey")


async def _started_before(scene: Scene, *servers: str) -> None:
    await _all_down(scene)
    found = [getattr(scene.stage.servers, name) for name in servers]
    for server in found:
        await asyncio.to_thread(server.stop)
    for name in NAMES:
        scene.stage.replicas[name].process.start()
        scene.stage.kept.add(name)
    await asyncio.sleep(BEFORE_SECONDS)
    for server in found:
        await asyncio.to_thread(server.start)
    for server in found:
        await asyncio.to_thread(server.wait_ready)


@fault("stopped-without-rabbitmq", ends=True)
async def stopped_without_rabbitmq(scene: Scene) -> None:
    """SIGTERM while RabbitMQ is away: each process exits 0 within its grace time + 2 s"""
    stage, rabbitmq = scene.stage, scene.stage.servers.rabbitmq
    await asyncio.to_thread(rabbitmq.stop)
    stage.kept.clear()
    processes = [stage.replicas[name].process for name in NAMES]
    for process in processes:
        process.ask_to_end()
    waits = [asyncio.to_thread(process.wait, GRACE_SECONDS + LATE_SECONDS) for process in processes]
    ended = await asyncio.gather(*waits)
    await asyncio.to_thread(rabbitmq.start)
    await asyncio.to_thread(rabbitmq.wait_ready)
    codes = {process.name: process.exit_code for process in processes}
    for process in processes:
        await asyncio.to_thread(process.end)
        process.start()
    stage.kept.update(NAMES)
    assert all(ended) and set(codes.values()) == {0}, codes
