"""Newer images in place of what runs, under load: nobody is refused, and nothing is lost or done twice."""

import asyncio

from infra.containers.upgrade import upgrade
from infra.local.system import CONVEYOR
from tests.compose.composed import Composed, ComposedStage
from tests.faults.accountant import Accountant
from tests.faults.load import load

NEWER = {"CONVEYOR_VERSION": "test-newer"}


async def test_a_rolling_upgrade_under_load(
    composed: Composed, stage: ComposedStage, accountant: Accountant
) -> None:
    before = {one.name: composed.containers(one.name) for one in CONVEYOR.services}
    composed.environment |= NEWER
    composed.compose("build")
    async with load(stage, "upgraded", 11, 60, workers=4) as running:
        await asyncio.to_thread(upgrade, composed.compose, composed.engine, print)
        await stage.until_ready(300)
    verdict = await accountant.settle(running, frozenset())

    print(f"{verdict.accepted} accepted, {verdict.effects} effects, {dict(running.statuses)}")
    assert (verdict.lost, verdict.doubled, dict(running.refused)) == ([], [], {})
    assert not [status for status in running.statuses if status >= 500], dict(running.statuses)
    for name, old in before.items():
        new = composed.containers(name)
        assert len(new) == len(old) and not {*new} & {*old}
        images = {composed.engine("inspect", "--format={{.Config.Image}}", one).strip() for one in new}
        assert images == {f"conveyor/{name}:test-newer"}
