"""People who publish to queues by hand and watch the management page."""

import json

import pytest

from tests.amqp import client
from tests.system import Replica, System, eventually


async def titles(system: System) -> set[str]:
    return {row["title"] for row in await system.fetch("task_service", "SELECT title FROM tasks")}


@pytest.mark.parametrize(
    "content_type",
    [None, "application/json", "text/plain", "application/octet-stream", "application/cloudevents+json"],
)
async def test_json_typed_into_publish_message_creates_a_task_whatever_the_content_type(
    system: System, task_service: Replica, content_type: str | None
) -> None:
    title = f"typed as {content_type}"
    properties = {"content_type": content_type} if content_type else {}
    routed = await system.publish_by_hand("tasks.create_task", json.dumps({"title": title}), **properties)

    async def created() -> bool:
        return title in await titles(system)

    assert routed
    await eventually(created, "the task is in the store")


async def test_the_answer_comes_back_to_reply_to(system: System, task_service: Replica) -> None:
    async with client(system) as amqp:
        created = await amqp.ask("tasks.create_task", {"title": "asked"}, message_id="asked-1")
        found = await amqp.ask("tasks.get_task", {"task": created.body["id"]})

    assert created.body["title"] == "asked"
    assert found == created


async def test_events_recent_shows_what_just_happened(system: System, task_service: Replica) -> None:
    async with client(system) as amqp:
        task = (await amqp.ask("tasks.create_task", {"title": "news"})).body

    async def said() -> list[dict[str, str]]:
        messages = await system.get_messages("events.recent")
        return [one for one in messages if task["id"] in one["payload"]]

    [message] = await eventually(said, "the event is in the ring")
    assert message["routing_key"] == "tasks.task_created"
    assert json.loads(message["payload"])["task"] == task
    headers = message["properties"]["headers"]
    assert headers["cloudEvents_type"] == "tasks.task_created"
    assert headers["cloudEvents_id"] == message["properties"]["message_id"]


async def test_connections_have_names_that_say_what_they_are_for(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    async def names() -> set[str]:
        async with system.management() as page:
            connections = (await page.get(f"/api/vhosts/{system.name}/connections")).json()
        found = {one["client_properties"].get("connection_name", "") for one in connections}
        return found if found >= wanted else set()

    wanted = {
        "gateway publishes",
        "gateway hears",
        "task_service publishes",
        "task_service consumes",
    }
    assert await eventually(names, "the page shows the connections") >= wanted


async def test_every_queue_is_there_before_its_service(system: System) -> None:
    async with system.management() as page:
        queues = {one["name"]: one for one in (await page.get(f"/api/queues/{system.name}")).json()}

    assert {"tasks.create_task", "tasks.get_task", "waste.generate_waste"} <= queues.keys()
    assert {"dead_letters", "refused.recent", "events.recent", "delay.1s", "delay.600s"} <= queues.keys()
    arguments = queues["tasks.create_task"]["arguments"]
    assert arguments["x-queue-type"] == "quorum"
    assert arguments["x-dead-letter-strategy"] == "at-least-once"


async def test_a_service_describes_its_queues_as_asyncapi(system: System, task_service: Replica) -> None:
    async with system.http(task_service) as http:
        document = (await http.get("/docs/asyncapi.json")).json()

    assert document["asyncapi"].startswith("3.")
    assert {"tasks.create_task", "tasks.get_task"} <= document["channels"].keys()
    assert "title" in document["components"]["schemas"]["CreateTask"]["properties"]


async def test_log_lines_carry_the_conversation(system: System, task_service: Replica) -> None:
    async with client(system) as amqp:
        await amqp.ask("tasks.create_task", {"title": "logged"}, message_id="logged-1")

    async def line() -> list[dict[str, str]]:
        return [one for one in task_service.lines() if one.get("message_id") == "logged-1"]

    [logged] = await eventually(line, "the command was logged")
    assert logged["conversation"]
    assert (logged["event"], logged["message"]) == ("done", "CreateTask")


async def test_metrics_count_messages_by_name_and_outcome(system: System, task_service: Replica) -> None:
    async with system.http(task_service) as http:
        metrics = (await http.get("/metrics")).text

    assert 'messages_handled_total{message="CreateTask",outcome="done"}' in metrics
    assert 'message_duration_seconds_count{message="CreateTask"}' in metrics
    assert "outbox_rows" in metrics
    assert "outbox_oldest_seconds" in metrics
