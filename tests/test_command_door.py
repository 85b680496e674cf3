"""Commands that are waited for, not waited for, repeated, and asked about later."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.system import Replica, System, eventually

TITLE = {"title": "Buy milk"}


def key() -> dict[str, str]:
    return {"idempotency-key": f'"{uuid4()}"'}


async def tasks(system: System, title: str) -> int:
    return len(await system.fetch("task_service", "SELECT 1 FROM tasks WHERE title = $1", title))


async def operation(http: httpx2.AsyncClient, path: str, state: str) -> dict[str, Any]:
    async def reached() -> dict[str, Any]:
        answer = await http.get(path)
        found: dict[str, Any] = answer.json()
        assert ("retry-after" in answer.headers) == (found["state"] in {"waiting", "retrying"})
        return found if found["state"] == state else {}

    found: dict[str, Any] = await eventually(reached, f"the operation is {state}")
    return found


async def test_a_created_resource_says_where_it_is(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    async with system.http(gateway) as http:
        created = await http.post("/tasks", json=TITLE)

        assert (await http.get(created.headers["location"])).json() == created.json()


async def test_respond_async_is_202_and_the_operation_tells_the_rest(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    async with system.http(gateway) as http:
        taken = await http.post("/tasks", json=TITLE, headers={"prefer": "respond-async"})
        done = await operation(http, taken.headers["location"], "done")

        assert taken.status_code == 202
        assert taken.headers["preference-applied"] == "respond-async"
        assert taken.headers["retry-after"]
        assert (await http.get(done["location"])).json() == done["answer"]


async def test_a_wait_that_runs_out_is_202_and_the_command_is_done_later(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    task_service.process.freeze()
    async with system.http(gateway) as http:
        taken = await http.post("/tasks", json={"title": "patient"}, headers={"prefer": "wait=1"})
        task_service.process.thaw()
        await operation(http, taken.headers["location"], "done")

    assert taken.status_code == 202
    assert taken.headers["preference-applied"] == "wait=1"
    assert await tasks(system, "patient") == 1


async def test_the_operation_of_a_removal_does_not_lead_to_what_is_gone(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    async with system.http(gateway) as http:
        created = await http.post("/tasks", json=TITLE)
        taken = await http.delete(created.headers["location"], headers={"prefer": "respond-async"})
        done = await operation(http, taken.headers["location"], "done")

    assert done["answer"]["id"] == created.json()["id"]
    assert "location" not in done


async def test_a_refused_operation_shows_the_problem(system: System, gateway: Replica) -> None:
    await system.start("waste_service")
    async with system.http(gateway) as http:
        taken = await http.post(
            "/waste/organizations/nobody/waste",
            json={"amounts": {"bio": 1}},
            headers={"prefer": "respond-async"},
        )
        refused = await operation(http, taken.headers["location"], "refused")

    assert (refused["problem"]["status"], refused["problem"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("forged", ["nonsense", "", "WyJhIiwiYiIsImMiXQ.aaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbb"])
async def test_a_forged_operation_is_not_found(system: System, gateway: Replica, forged: str) -> None:
    async with system.http(gateway) as http:
        assert (await http.get(f"/operations/{forged}")).status_code == 404


async def test_an_operation_outlives_the_gateway_and_is_gone_when_its_time_is_over(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    first = await system.start("gateway", secret="shared by replicas")
    async with system.http(first) as http:
        taken = await http.post("/tasks", json=TITLE, headers={"prefer": "respond-async"})
        await operation(http, taken.headers["location"], "done")
    first.process.kill()
    second = await system.start("gateway", secret="shared by replicas")
    forgetful = await system.start("gateway", secret="shared by replicas", operation_hours="0")

    async with system.http(second) as http:
        assert (await http.get(taken.headers["location"])).json()["state"] == "done"
    async with system.http(forgetful) as http:

        async def expired() -> httpx2.Response | None:
            answer = await http.get(taken.headers["location"])
            return answer if answer.status_code == 410 else None

        gone: httpx2.Response = await eventually(expired, "the operation is gone")
    assert gone.json()["code"] == "expired"


async def test_a_hundred_requests_with_one_key_have_one_effect_and_equal_answers(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    headers = key()
    async with system.http(gateway) as http:
        answers = await asyncio.gather(
            *(http.post("/tasks", json={"title": "one key"}, headers=headers) for _ in range(100))
        )

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert await tasks(system, "one key") == 1


async def test_a_key_with_another_body_is_refused(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    headers = key()
    async with system.http(gateway) as http:
        await http.post("/tasks", json={"title": "first body"}, headers=headers)
        other = await http.post("/tasks", json={"title": "other body"}, headers=headers)

    assert (other.status_code, other.json()["code"]) == (422, "message_id_reused")
    assert await tasks(system, "other body") == 0


async def test_a_refusal_is_repeated_as_well_and_marked(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    headers, nothing = key(), f"/tasks/{uuid4()}"
    async with system.http(gateway) as http:
        first = await http.delete(nothing, headers=headers)
        again = await http.delete(nothing, headers=headers)

    assert (first.status_code, first.json()) == (404, again.json())
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"


async def test_two_keys_are_no_key(system: System, gateway: Replica) -> None:
    two = [("idempotency-key", '"a"'), ("idempotency-key", '"b"')]
    async with system.http(gateway) as http:
        answer = await http.post("/tasks", json=TITLE, headers=two)

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_key")


async def test_preferences_may_come_on_several_lines(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    two = [("prefer", "wait=10"), ("prefer", "respond-async")]
    async with system.http(gateway) as http:
        answer = await http.post("/tasks", json=TITLE, headers=two)

    assert answer.headers["preference-applied"] == "respond-async, wait=10"


@pytest.mark.parametrize("malformed", ["unquoted", '""', '"a"b"', f'"{"x" * 201}"'])
async def test_a_malformed_key_is_refused(system: System, gateway: Replica, malformed: str) -> None:
    async with system.http(gateway) as http:
        answer = await http.post("/tasks", json=TITLE, headers={"idempotency-key": malformed})

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_key")


async def test_a_key_is_made_and_returned_where_none_was_sent_and_works_for_a_repeat(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    async with system.http(gateway) as http:
        first = await http.post("/tasks", json={"title": "made key"})
        given = {"idempotency-key": first.headers["idempotency-key"]}
        again = await http.post("/tasks", json={"title": "made key"}, headers=given)

    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert await tasks(system, "made key") == 1


async def test_a_command_that_breaks_shows_as_retrying_and_then_as_done(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    await system.fetch("task_service", "ALTER TABLE tasks RENAME TO hidden")
    async with system.http(gateway) as http:
        taken = await http.post("/tasks", json={"title": "retried"}, headers={"prefer": "respond-async"})
        retrying = await operation(http, taken.headers["location"], "retrying")
        await system.fetch("task_service", "ALTER TABLE hidden RENAME TO tasks")
        await operation(http, taken.headers["location"], "done")

    assert retrying["attempt"] >= 2
    assert retrying["next_attempt_at"]
    assert "tasks" in retrying["last_error"]
    assert await tasks(system, "retried") == 1


async def test_what_the_broker_did_not_confirm_is_of_unknown_outcome_and_its_repeat_is_one_effect(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    headers = key()
    async with system.http(gateway) as http:
        await http.post("/tasks", json={"title": "the broker answers"})
        await asyncio.to_thread(system.servers.rabbitmq.freeze)
        try:
            answer = await http.post("/tasks", json={"title": "unconfirmed"}, headers=headers)
        finally:
            await asyncio.to_thread(system.servers.rabbitmq.thaw)
        await system.until_ready(gateway)
        repeated = await http.post("/tasks", json={"title": "unconfirmed"}, headers=headers)
        done = await operation(http, answer.links["monitor"]["url"], "done")

    assert (answer.status_code, answer.json()["code"]) == (503, "outcome_unknown")
    assert answer.headers["idempotency-key"] == headers["idempotency-key"]
    assert repeated.status_code == 201
    assert done["answer"] == repeated.json()
    assert await tasks(system, "unconfirmed") == 1


async def test_while_the_broker_is_away_the_refusal_carries_the_key_to_repeat_with(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    await asyncio.to_thread(system.servers.rabbitmq.freeze)
    try:
        async with system.http(gateway) as http:

            async def refused() -> httpx2.Response | None:
                answer = await http.post("/tasks", json={"title": "frozen"}, headers=headers)
                return answer if answer.status_code == 503 else None

            headers = key()
            answer: httpx2.Response = await eventually(refused, "the gateway refuses")
    finally:
        await asyncio.to_thread(system.servers.rabbitmq.thaw)
    await system.until_ready(gateway)
    async with system.http(gateway) as http:
        repeated = await http.post("/tasks", json={"title": "frozen"}, headers=headers)

    assert answer.headers["idempotency-key"] == headers["idempotency-key"]
    assert 'rel="monitor"' in answer.headers["link"]
    assert repeated.status_code == 201
    assert await tasks(system, "frozen") == 1
