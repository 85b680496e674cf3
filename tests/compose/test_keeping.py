"""Data outlive the containers, and a backup outlives the data."""

import httpx2

from infra.containers.backup import back_up, restore
from tests.compose.composed import PROJECT, Composed, ComposedStage


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
    back_up(folder, composed.compose, PROJECT)

    composed.compose("down", "--volumes")
    restore(folder, composed.compose, PROJECT)
    composed.up()
    await stage.until_ready(300)

    assert await seen(composed) == before
