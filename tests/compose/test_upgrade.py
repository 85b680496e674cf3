"""Newer images in place of what runs, under load: nobody is refused, and nothing is lost or done twice."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from infra.containers.upgrade import upgrade
from infra.local.system import CONVEYOR
from tests.compose.composed import Composed, ComposedStage
from tests.faults.accountant import Accountant
from tests.faults.load import load

NEWER = {"CONVEYOR_VERSION": "test-newer"}
JOBS = ["topology", *(f"{one.name}_migration" for one in CONVEYOR.services if one.has_store)]


@asynccontextmanager
async def reading(stage: ComposedStage) -> AsyncIterator[Counter[int]]:
    """Somebody who looks at a list again and again, and how they are answered."""
    statuses: Counter[int] = Counter()

    async def read() -> None:
        async with stage.http() as http:
            while True:
                statuses[(await http.get("/tasks")).status_code] += 1
                await asyncio.sleep(0.02)

    task = asyncio.create_task(read())
    yield statuses
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_rolling_upgrade_under_load(
    composed: Composed, stage: ComposedStage, accountant: Accountant
) -> None:
    before = containers(composed)
    composed.environment |= NEWER
    composed.compose("build")
    composed.up("--no-recreate", "--scale=task_service=2", "task_service")  # as one that broke off left it
    async with reading(stage) as statuses, load(stage, "upgraded", 11, 60, workers=4) as running:
        await asyncio.to_thread(upgrade, composed.compose, composed.engine, print)
        await stage.until_ready(300)
    verdict = await accountant.settle(running, frozenset())

    print(f"{verdict.accepted} accepted, {verdict.effects} effects, {dict(running.statuses)}, {statuses}")
    assert (verdict.lost, verdict.doubled, dict(running.refused)) == ([], [], {})
    assert dict(running.unknown) == {}
    assert set(statuses) == {200}
    for name, new in containers(composed).items():
        assert len(new) == len(before[name]) and not new & before[name]
        images = {composed.engine("inspect", "--format={{.Config.Image}}", one).strip() for one in new}
        assert images == {f"conveyor/{name}:test-newer"}
    for job in JOBS:  # an older one, started again, would meet a schema that it does not know
        [container] = composed.compose("ps", "--all", "--quiet", job).split()
        image = composed.engine("inspect", "--format={{.Config.Image}}", container).strip()
        assert image.endswith(":test-newer"), job


def test_a_second_upgrade_to_the_same_replaces_nothing(composed: Composed) -> None:
    before = containers(composed)

    upgrade(composed.compose, composed.engine, print)

    assert containers(composed) == before


def containers(composed: Composed) -> dict[str, set[str]]:
    return {one.name: {*composed.containers(one.name)} for one in CONVEYOR.services}
