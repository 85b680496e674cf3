"""Data outlive the containers, and a backup outlives the data."""

import asyncio
import json
import os
import subprocess

import httpx2

from infra.containers.backup import back_up, restore
from tests.compose.composed import Composed, ComposedStage
from tests.system import ROOT, eventually

WAITED_FOR = ("waste_service", "text_worker")
"""Stopped while there is something for them in their queues."""
WAITING = "waiting while all is backed up"
LETTER = "backed-up-letter"
SENTENCE = "It is too large for a message. "
AT_ONCE = {"prefer": "respond-async"}
FRESH = {"cache-control": "no-cache"}


async def seen(composed: Composed) -> dict[str, object]:
    """What somebody finds in each store."""
    async with httpx2.AsyncClient(base_url=composed.addresses["GATEWAY_URL"], timeout=60) as http:
        paths = ("/tasks?limit=100", "/waste/storages", "/texts?limit=100")
        return {path: (await http.get(path, headers=FRESH)).json()["items"] for path in paths}


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
    await stage.system.publish_by_hand("tasks.create_task", "{", message_id=LETTER)
    await eventually(lambda: on_the_desk(composed), "the desk has the letter")
    composed.compose("stop", *WAITED_FOR)
    async with stage.http() as http:
        waiting = [
            await http.post("/waste/organizations", json={"name": WAITING}, headers=AT_ONCE),
            await http.post("/texts", json={"title": WAITING, "text": SENTENCE * 20_000}, headers=AT_ONCE),
        ]
    assert [one.status_code for one in waiting] == [202, 202]
    folder = composed.folder / "backup"
    back_up(folder, composed.compose)

    composed.compose("down", "--volumes")
    restore(folder, composed.compose)
    composed.up()
    await stage.until_ready(300)

    assert await on_the_desk(composed)
    async with stage.http() as http:
        await eventually(lambda: registered(http), "what waited in a queue is done")
        address = await eventually(lambda: counted(http), "the large text that waited is counted")
        report = (await http.get(f"{address}/report")).json()
        assert (report["sentences"], report["words"]) == (20_000, 20_000 * len(SENTENCE.split()))
        assert (await http.delete(address)).status_code == 204
    assert await seen(composed) == before


async def on_the_desk(composed: Composed) -> bool:
    """Whether the desk has the letter, as its program tells."""
    asked = ("list", "--message-id", LETTER, "--json")
    program = ("exec", "--no-TTY", "desk_service", "python", "-m", "desk_service", *asked)
    said = await asyncio.to_thread(composed.compose, *program)
    return len(json.loads(said)["items"]) == 1


async def registered(http: httpx2.AsyncClient) -> bool:
    found = await http.get(f"/waste/organizations/{WAITING}", headers=FRESH)
    return found.is_success and bool(found.json()["name"] == WAITING)


async def counted(http: httpx2.AsyncClient) -> str:
    """The address of the large text once it is."""
    listed = (await http.get("/texts?limit=100", headers=FRESH)).json()["items"]
    done = [one["id"] for one in listed if one["title"] == WAITING and one["status"] == "done"]
    return f"/texts/{done[0]}" if done else ""


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
        there = await http.get(after.headers["location"], headers=FRESH)
    assert there.status_code == 404
