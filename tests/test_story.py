"""`make story`: one conversation out of the logs of all processes, whatever a person holds of it."""

import asyncio
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from infra.story_lines import Search
from infra.story_tree import stories_in
from shared.leaving import REUSED
from tests.system import Replica, System, eventually
from tests.telling import expect

TITLE = {"title": "told"}


async def test_a_created_task_is_told_alike_by_all_that_a_person_may_hold_of_it(
    system: System, gateway: Replica, task_service: Replica, folder: Path
) -> None:
    key = f"story {uuid4().hex[:6]}"
    async with system.http(gateway) as http:
        named = {"idempotency-key": f'"{key}"', "x-request-id": f"request of {key}"}
        created = await http.post("/tasks", json={"title": "told"}, headers=named)
    address = created.headers["location"]
    operation = created.headers["link"].split(">")[0].strip("<")
    story = [
        f"gateway | POST /tasks → 201, key {key}",
        "  task_service | CreateTask done, /tasks/ID, ID",
        "    task_service | TaskCreated ID",
    ]

    await expect(folder, key, story)
    await expect(folder, f'"{key}"', story)
    await expect(folder, f"request of {key}", story)
    await expect(folder, address, story)
    await expect(folder, f"{gateway.url}{address}/?x=1", story)
    await expect(folder, created.json()["id"], story)
    await expect(folder, operation, story)
    await expect(folder, operation.rpartition("/")[2], story)
    [request, command] = Search(folder).look_for(key)
    for given in (request.message_id, request.conversation, command.said[0].message_id):
        await expect(folder, given, story)


async def test_a_command_under_one_key_and_the_questions_about_it_are_one_story(
    system: System, gateway: Replica, task_service: Replica, folder: Path
) -> None:
    key = f"twice {uuid4().hex[:6]}"
    keyed = {"idempotency-key": f'"{key}"'}
    first = [
        f"gateway | POST /tasks → 202, key {key}",
        "  task_service | CreateTask done, /tasks/ID, ID",
        "    task_service | TaskCreated ID",
    ]
    async with system.http(gateway) as http:
        taken = await http.post("/tasks", json=TITLE, headers={**keyed, "prefer": "respond-async"})
        await expect(folder, key, first)
        await http.get(taken.headers["location"])
        await http.post("/tasks", json=TITLE, headers=keyed)
        await http.post("/tasks", json={"title": "other"}, headers=keyed)

    await expect(
        folder,
        key,
        [
            *first,
            "gateway | GET /operations/WyJ0YXNrc… → 200, asks what has become of it",
            f"gateway | POST /tasks → 201, key {key}",
            "  task_service | CreateTask done before, answered again, ID",
            f"gateway | POST /tasks → 422 message_id_reused, key {key}",
            f"  task_service | CreateTask refused, message_id_reused: {REUSED.message}, ID",
        ],
    )


async def test_a_resource_has_the_stories_of_all_that_changed_it_and_its_reads_are_only_counted(
    system: System, gateway: Replica, task_service: Replica, folder: Path
) -> None:
    async with system.http(gateway) as http:
        address = (await http.post("/tasks", json=TITLE)).headers["location"]
        await http.get(address, headers={"cache-control": "no-cache"})
        await http.delete(address)
        await http.post(f"{address}/complete")

    await expect(
        folder,
        address,
        [
            "gateway | POST /tasks → 201",
            "  task_service | CreateTask done, /tasks/ID, ID",
            "    task_service | TaskCreated ID",
            "gateway | DELETE /tasks/ID → 204",
            "  task_service | RemoveTask done, /tasks/ID, ID",
            "    task_service | TaskRemoved ID",
            "gateway | POST /tasks/ID/complete → 404 not_found",
            "  task_service | CompleteTask refused, not_found: There is no task ID., ID",
        ],
    )
    search = Search(folder)
    assert len(stories_in(search.look_for(address))) == 3
    assert search.reads == 1


async def test_what_is_asked_again_after_a_lost_connection_stays_one_conversation(
    system: System, gateway: Replica, task_service: Replica, folder: Path
) -> None:
    key = f"lost {uuid4().hex[:6]}"
    headers = {"idempotency-key": f'"{key}"', "prefer": "wait=30"}
    task_service.process.freeze()
    async with system.http(gateway) as http:
        asking = asyncio.create_task(http.post("/tasks", json=TITLE, headers=headers))
        await cut(system, "gateway hears")
        task_service.process.thaw()
        answer = await asking

    assert answer.status_code == 201
    await expect(
        folder,
        key,
        [
            f"gateway | POST /tasks → 201, key {key}",
            "  task_service | CreateTask ID",
            "    task_service | done, /tasks/ID",
            "      task_service | TaskCreated ID",
            "    task_service | done before, answered again",
        ],
    )


async def test_a_command_that_was_sent_and_is_not_done_is_told_as_that(
    system: System, gateway: Replica, task_service: Replica, folder: Path
) -> None:
    key = f"patient {uuid4().hex[:6]}"
    headers = {"idempotency-key": f'"{key}"', "prefer": "respond-async"}
    task_service.process.freeze()
    async with system.http(gateway) as http:
        await http.post("/tasks", json=TITLE, headers=headers)

    expected = [f"gateway | POST /tasks → 202, key {key}", "   | CreateTask ID: no process tells of it yet"]
    await expect(folder, key, expected)
    task_service.process.thaw()


async def cut(system: System, connection: str) -> None:
    """Close a process's connection as an operator can, and wait until it is back."""
    async with system.management() as page:

        async def found() -> list[str]:
            all_of_them = (await page.get(f"/api/vhosts/{system.name}/connections")).json()
            return [one["name"] for one in all_of_them if one["user_provided_name"] == connection]

        [name] = await eventually(found, f"there is a connection {connection}")
        (await page.delete(f"/api/connections/{quote(name)}")).raise_for_status()

        async def another() -> bool:
            return await found() not in ([], [name])

        await eventually(another, f"{connection} is back")
