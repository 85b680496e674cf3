"""Data outlive the containers, and a backup outlives the data."""

import os
import subprocess

import httpx2

from infra.containers.backup import back_up, restore
from tests.compose.composed import Composed, ComposedStage
from tests.system import ROOT


async def seen(composed: Composed) -> dict[str, object]:
    """What somebody finds in each store."""
    async with httpx2.AsyncClient(base_url=composed.addresses["GATEWAY_URL"], timeout=60) as http:
        paths = ("/tasks?limit=100", "/waste/storages", "/texts?limit=100")
        fresh = {"cache-control": "no-cache"}
        return {path: (await http.get(path, headers=fresh)).json()["items"] for path in paths}


async def test_containers_made_anew_find_what_was_kept(composed: Composed, stage: ComposedStage) -> None:
    before = await seen(composed)
    assert all(before.values())

    composed.compose("down")
    composed.up()
    await stage.until_ready(300)

    assert await seen(composed) == before


async def test_what_was_backed_up_comes_back_into_empty_stores(
    composed: Composed, stage: ComposedStage
) -> None:
    before = await seen(composed)
    folder = composed.folder / "backup"
    back_up(folder, composed.compose)

    composed.compose("down", "--volumes")
    restore(folder, composed.compose)
    composed.up()
    await stage.until_ready(300)

    assert await seen(composed) == before


def documented(composed: Composed, program: str) -> None:
    """What docs/deployment.md says is typed."""
    document = (ROOT / "docs" / "deployment.md").read_text()
    [line] = [one for one in document.splitlines() if f" {program} " in one and "docker compose exec" in one]

    done = subprocess.run(
        ["bash", "-euc", line],
        cwd=composed.folder,
        env=os.environ | composed.shell,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


async def test_a_store_that_is_dumped_while_it_runs_comes_back_as_it_was(
    composed: Composed, stage: ComposedStage
) -> None:
    before = await seen(composed)
    documented(composed, "pg_dump")
    async with stage.http() as http:
        after = await http.post("/tasks", json={"title": "After the dump"})
        assert after.status_code == 201

    composed.compose("stop", "task_service")
    documented(composed, "pg_restore")
    composed.compose("start", "task_service")
    await stage.until_ready(300)

    assert await seen(composed) == before
    async with stage.http() as http:
        there = await http.get(after.headers["location"], headers={"cache-control": "no-cache"})
    assert there.status_code == 404
