"""A task's life: by REST, through the queue, and into the store."""

import asyncio
from operator import itemgetter
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.amqp import client
from tests.system import Replica, System, eventually

MERGE_PATCH = {"content-type": "application/merge-patch+json"}


async def created(http: httpx2.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await http.post("/tasks", json={"title": "Buy milk"} | fields)
    assert answer.status_code == 201
    task: dict[str, Any] = answer.json()
    return task


async def test_a_task_created_by_rest_can_be_looked_up(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    async with system.http(gateway) as client:
        created = await client.post("/tasks", json={"title": "Buy milk"})
        found = await client.get(f"/tasks/{created.json()['id']}")

    assert created.status_code == 201
    assert found.status_code == 200
    assert found.json() == created.json()


@pytest.mark.parametrize("content_type", ["application/merge-patch+json", "application/json"])
async def test_a_merge_patch_changes_what_it_names_and_removes_what_it_calls_null(
    system: System, gateway: Replica, task_service: Replica, content_type: str
) -> None:
    async with system.http(gateway) as http:
        task = await created(http, description="two litres", due_at="2026-07-01T15:00:00+03:00")
        path = f"/tasks/{task['id']}"
        patch = b'{"priority": "high", "due_at": null}'
        answer = await http.patch(path, content=patch, headers={"content-type": content_type})

        assert (await http.get(path)).json() == answer.json()
    assert answer.status_code == 200
    assert (answer.json()["priority"], answer.json()["due_at"]) == ("high", None)
    assert (answer.json()["description"], answer.json()["version"]) == ("two litres", 2)


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        (b'{"title": null}', "title"),
        (b'{"colour": "red"}', "colour"),
        (b'{"id": "another"}', "id"),
        (b'{"due_at": "tomorrow"}', "due_at"),
        (b'{"tags": ["a", "a"]}', "tags"),
        (b'["title"]', ""),
        (b"null", ""),
    ],
)
async def test_a_patch_that_does_not_fit_is_refused_by_name(
    system: System, gateway: Replica, patch: bytes, field: str
) -> None:
    async with system.http(gateway) as http:
        answer = await http.patch(f"/tasks/{uuid4()}", content=patch, headers=MERGE_PATCH)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith(field)


async def test_a_patch_in_another_format_is_refused(system: System, gateway: Replica) -> None:
    async with system.http(gateway) as http:
        answer = await http.patch(
            f"/tasks/{uuid4()}", content=b"title: x", headers={"content-type": "text/yaml"}
        )

    assert answer.status_code == 415


async def test_a_task_is_replaced_completed_reopened_and_removed(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    async with system.http(gateway) as http:
        path = f"/tasks/{(await created(http, tags=['shop']))['id']}"
        fields = {"title": "Sleep", "priority": "low"}
        replaced = (await http.put(path, json=fields, headers={"if-match": '"1"'})).json()
        done = (await http.post(f"{path}/complete")).json()
        again = (await http.post(f"{path}/complete")).json()
        opened = (await http.post(f"{path}/reopen")).json()
        removed = await http.delete(path)
        gone = [
            await http.get(path),
            await http.patch(path, json={"title": "x"}),
            await http.put(path, json={"title": "x"}, headers={"if-match": "*"}),
            await http.post(f"{path}/complete"),
            await http.delete(path),
        ]

    assert (replaced["title"], replaced["priority"], replaced["tags"]) == ("Sleep", "low", [])
    assert (done["status"], done["completed_at"], done["version"]) == ("done", done["changed_at"], 3)
    assert again == done
    assert (opened["status"], opened["completed_at"], opened["version"]) == ("open", None, 4)
    assert (removed.status_code, removed.content) == (204, b"")
    assert {(answer.status_code, answer.json()["code"]) for answer in gone} == {(404, "not_found")}


async def test_a_version_that_is_still_there_is_not_sent_again(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    async with system.http(gateway) as http:
        answer = await http.post("/tasks", json={"title": "Buy milk"})
        path, tag = answer.headers["location"], answer.headers["etag"]
        for named in (tag, f"W/{tag}", f'"7", {tag}', "*"):
            same = await http.get(path, headers={"if-none-match": named})
            assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)

        changed = await http.patch(path, json={"priority": "high"})
        other = await http.get(path, headers={"if-none-match": tag})

    assert tag == '"1"'
    assert (other.status_code, other.headers["etag"]) == (200, '"2"')
    assert changed.headers["etag"] == '"2"'


async def test_a_change_meant_for_an_older_version_is_refused(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    async with system.http(gateway) as http:
        path = f"/tasks/{(await created(http))['id']}"
        first = await http.patch(path, json={"priority": "high"}, headers={"if-match": '"1"'})
        late = [
            await http.patch(path, json={"priority": "low"}, headers={"if-match": '"1"'}),
            await http.patch(path, json={"priority": "low"}, headers={"if-match": 'W/"2"'}),
            await http.put(path, json={"title": "x"}, headers={"if-match": '"never-given"'}),
            await http.post(f"{path}/complete", headers={"if-match": '"3"'}),
            await http.delete(path, headers={"if-match": '"1"'}),
        ]
        malformed = await http.delete(path, headers={"if-match": "2"})
        any_version = await http.patch(path, json={"priority": "urgent"}, headers={"if-match": "*"})
        removed = await http.delete(path, headers={"if-match": '"3"'})
        gone = await http.delete(path, headers={"if-match": '"3"'})

    assert first.status_code == 200
    assert {(one.status_code, one.json()["code"]) for one in late} == {(412, "changed_meanwhile")}
    assert (malformed.status_code, malformed.json()["code"]) == (400, "malformed_condition")
    assert any_version.json()["version"] == 3
    assert (removed.status_code, gone.status_code) == (204, 404)


async def test_a_change_may_be_meant_for_any_of_several_versions(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    async with system.http(gateway) as http:
        path = f"/tasks/{(await created(http))['id']}"
        one_of_two = await http.patch(path, json={"priority": "high"}, headers={"if-match": '"7", "1"'})
        on_two_lines = await http.patch(
            path, json={"priority": "low"}, headers=[("if-match", '"9"'), ("if-match", '"2"')]
        )
        neither = await http.patch(path, json={"priority": "low"}, headers={"if-match": '"1", "2"'})

    assert (one_of_two.json()["version"], on_two_lines.json()["version"]) == (2, 3)
    assert neither.status_code == 412


async def test_a_replacement_that_does_not_say_of_which_version_is_refused(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    async with system.http(gateway) as http:
        path = f"/tasks/{(await created(http))['id']}"
        unsaid = await http.put(path, json={"title": "x"})
        after = (await http.get(path)).json()

    assert (unsaid.status_code, unsaid.json()["code"]) == (428, "version_demanded")
    assert "If-Match" in unsaid.json()["detail"]
    assert after["version"] == 1


async def test_all_of_it_works_through_the_queues_too(system: System, task_service: Replica) -> None:
    async with client(system) as amqp:
        task = (await amqp.ask("tasks.create_task", {"title": "by hand", "tags": ["queue"]})).body
        same = {"task": task["id"]}
        changes = {"priority": "high", "tags": None}
        changed = await amqp.ask("tasks.change_task", same | {"changes": changes, "expected_version": 1})
        late = await amqp.ask("tasks.complete_task", same | {"expected_version": [1, 7]})
        await amqp.ask("tasks.replace_task", same | {"title": "replaced", "status": "done"})
        await amqp.ask("tasks.reopen_task", same)
        listed = await amqp.ask("tasks.list_tasks", {"status": "open", "words": "replaced", "count": True})
        removed = await amqp.ask("tasks.remove_task", same)

    assert (changed.body["priority"], changed.body["tags"]) == ("high", [])
    assert (late.refused, late.body["code"]) == (True, "changed_meanwhile")
    assert ([one["id"] for one in listed.body["items"]], listed.body["total"]) == ([task["id"]], 1)
    assert (removed.body["title"], removed.body["version"]) == ("replaced", 5)


async def test_each_version_is_said_with_the_whole_task(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    async with system.http(gateway) as http:
        task = await created(http)
        path = f"/tasks/{task['id']}"
        await http.patch(path, json={"title": "Buy oat milk"})
        await http.post(f"{path}/complete")
        await http.post(f"{path}/reopen")
        await http.delete(path)

    async def said() -> list[str]:
        messages = await system.get_messages("events.recent")
        payloads = [
            (one["routing_key"], httpx2.Response(200, text=one["payload"]).json()) for one in messages
        ]
        ours = sorted(
            (one["task"]["version"], one["task"]["title"], key)
            for key, one in payloads
            if one.get("task", {}).get("id") == task["id"]
        )
        return [f"{version} {title}: {key}" for version, title, key in ours] if len(ours) == 5 else []

    assert await eventually(said, "five events") == [
        "1 Buy milk: tasks.task_created",
        "2 Buy oat milk: tasks.task_changed",
        "3 Buy oat milk: tasks.task_completed",
        "4 Buy oat milk: tasks.task_reopened",
        "5 Buy oat milk: tasks.task_removed",
    ]


async def test_changes_of_the_same_tasks_by_two_processes_are_all_done_one_after_the_other(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    second = await system.start("task_service")
    async with system.http(gateway) as http:
        paths = [f"/tasks/{(await created(http))['id']}" for _ in range(3)]
        answers = await asyncio.gather(
            *(http.patch(paths[number % 3], json={"title": f"title {number}"}) for number in range(90))
        )
        found = [(await http.get(path)).json() for path in paths]
    second.process.ask_to_end()

    assert {answer.status_code for answer in answers} == {200}
    for path, task in zip(paths, found, strict=True):
        ours = sorted(
            (one.json() for one in answers if one.request.url.path == path), key=itemgetter("version")
        )
        assert [one["version"] for one in ours] == list(range(2, 32))
        assert ours[-1] == task
    for process in (task_service, second):
        assert any(line.get("message") == "ChangeTask" for line in process.lines())
