"""`make topology`: each difference between contracts and broker, made for real, is named with what to do."""

import time
from collections.abc import AsyncIterator
from typing import Any

import aiormq
import pytest
from aiormq.abc import AbstractChannel, DeliveredMessage

from infra import topology_check
from infra.topology_findings import Finding, Seen, findings
from shared import topology as contracts
from tests import topology
from tests.system import System, _async, eventually
from tests.topology import found, make_anew

QUEUE = "tasks.create_task"


SPOILED = (QUEUE, "waste.generate_waste", "tasks.get_task", "old.queue", "transient.queue")


@pytest.fixture
async def channel(system: System) -> AsyncIterator[AbstractChannel]:
    """To spoil the virtual host with; whatever tests spoil is made anew. No process of ours runs."""
    connection = await aiormq.connect(system.broker_url("operator"))
    yield await connection.channel()
    mending = await connection.channel()
    for queue in SPOILED:
        await mending.queue_delete(queue)
    for exchange in ("returns", "old.exchange"):
        await mending.exchange_delete(exchange)
    await connection.close()
    await system.declare()


async def _ignore(message: DeliveredMessage) -> None:
    pass


async def test_of_a_fresh_broker_only_the_consumers_are_missing(system: System) -> None:
    kinds = {kind for kind, _ in await found(system)}

    assert kinds == {"no_consumer"}


async def test_what_is_looked_at_often_is_dropped_by_no_version_of_the_broker(
    system: System, channel: AbstractChannel
) -> None:
    """RabbitMQ 4 drops it at the 21st look, unless its queue names another limit or an exchange to go to."""
    for queue in contracts.queues(recent=True):
        if queue.arguments.get("x-queue-type") == "quorum":
            assert queue.arguments.keys() & {"x-delivery-limit", "x-dead-letter-exchange"}, queue.name

    await channel.basic_publish(b"looked at", routing_key=contracts.DEAD_LETTERS)
    for _ in range(30):
        assert [one["payload"] for one in await system.get_messages(contracts.DEAD_LETTERS)] == ["looked at"]
    await channel.queue_purge(contracts.DEAD_LETTERS)


async def test_a_queue_and_an_exchange_that_are_missing_are_named(
    system: System, channel: AbstractChannel
) -> None:
    await channel.queue_delete(QUEUE)
    await channel.exchange_delete("delay.10s")

    told = await found(system)

    assert "shared.topology" in told["missing_queue", QUEUE]
    assert "shared.topology" in told["missing_exchange", "delay.10s"]


async def test_what_no_contract_knows_is_named_and_what_belongs_to_a_process_is_not(
    system: System, channel: AbstractChannel
) -> None:
    await channel.queue_declare("old.queue", durable=True)
    await channel.queue_declare("transient.queue", durable=False)
    await channel.queue_declare("own.queue", exclusive=True)
    await channel.exchange_declare("old.exchange", exchange_type="topic", durable=True)

    told = await found(system)

    assert "no contract knows" in told["extra_queue", "old.queue"]
    assert "transient" in told["extra_queue", "transient.queue"]
    assert ("extra_exchange", "old.exchange") in told
    assert not any(name == "own.queue" for _, name in told)


async def test_other_arguments_are_told_one_by_one_with_the_command_that_mends_them(
    system: System, channel: AbstractChannel
) -> None:
    await make_anew(channel, QUEUE, x_delivery_limit=5, x_max_length=10)
    await channel.exchange_delete("returns")
    await channel.exchange_declare("returns", exchange_type="fanout", durable=True)

    told = await found(system)

    assert told["other_arguments", QUEUE] == (
        "x-delivery-limit is 5, declared 20; x-max-length is 10, declared without → "
        f"make topology MIGRATE={QUEUE} gives it the declared arguments and keeps its messages"
    )
    assert "type is fanout, declared direct" in told["other_arguments", "returns"]


async def test_a_queue_that_a_restart_would_take_is_transient(
    system: System, channel: AbstractChannel
) -> None:
    await channel.queue_delete("tasks.get_task")
    await channel.queue_declare("tasks.get_task", durable=False)

    assert "MIGRATE=tasks.get_task" in (await found(system))["transient", "tasks.get_task"]


async def test_a_queue_that_goes_with_its_last_consumer_is_transient_and_not_moved(
    system: System, channel: AbstractChannel
) -> None:
    await channel.queue_delete("tasks.get_task")
    await channel.queue_declare("tasks.get_task", durable=True, auto_delete=True)

    ended = await topology.run(system, "--migrate", "tasks.get_task")

    assert "its last consumer" in (await found(system))["transient", "tasks.get_task"]
    assert (ended.returncode, "cannot be moved" in ended.stderr) == (2, True)


async def test_dead_letters_that_would_lead_nowhere_are_told(
    system: System, channel: AbstractChannel
) -> None:
    await make_anew(channel, QUEUE, x_dead_letter_exchange=None, x_dead_letter_strategy=None)
    await make_anew(channel, "waste.generate_waste", x_dead_letter_exchange="nowhere")
    await channel.queue_unbind("dead_letters", "dead_letters", "")

    told = {name: said for (kind, name), said in (await found(system)).items() if kind.startswith("no_dead")}

    assert told[QUEUE].startswith("what is rejected here is lost")
    assert "nowhere does not exist" in told["waste.generate_waste"]
    assert "dead_letters has no queue" in told["tasks.complete_task"]


async def test_a_policy_by_which_accepted_messages_would_go_is_told(system: System) -> None:
    policy = {"pattern": f"^{QUEUE}$", "definition": {"max-length": 1, "message-ttl": 1000}}
    async with system.management() as page:
        await page.put(f"/api/policies/{system.name}/short", json=policy)

        async def told() -> str:
            return (await found(system)).get(("dropping_policy", QUEUE), "")

        assert "policy short" in (said := await eventually(told, "the policy is told of"))
        assert "max-length 1, message-ttl 1000" in said
        await page.delete(f"/api/policies/{system.name}/short")


async def test_bindings_that_are_missing_and_that_nothing_comes_by_are_told(
    system: System, channel: AbstractChannel
) -> None:
    await channel.queue_unbind(QUEUE, "returns", QUEUE)
    await channel.queue_bind(QUEUE, "events", "tasks.task_forgotten")

    told = await found(system)

    assert "what returns is sent under 'tasks.create_task'" in told["missing_binding", QUEUE]
    assert "events under 'tasks.task_forgotten'" in told["unroutable_binding", QUEUE]


async def test_an_exchange_that_is_bound_to_another_is_told(system: System, channel: AbstractChannel) -> None:
    await channel.exchange_declare("old.exchange", exchange_type="topic", durable=True)
    await channel.exchange_bind(destination="returns", source="old.exchange", routing_key="tasks.#")
    await channel.exchange_bind(destination="old.exchange", source="events", routing_key="#")

    told = await found(system)

    assert told["extra_binding", "returns"].startswith("what old.exchange is sent under 'tasks.#' goes on")
    assert told["extra_binding", "old.exchange"].startswith("what events is sent under '#' goes on to it")


def test_findings_come_in_the_order_of_their_names_each_time() -> None:
    names = [f"old.{number:02}" for number in range(20)]
    exchange = {"type": "fanout", "durable": True, "auto_delete": False, "internal": False, "arguments": {}}
    queue = {"durable": True, "auto_delete": False, "exclusive": False, "arguments": {}}
    declared = [contracts.Queue(name, {"x-max-length": 1}, ()) for name in names]
    kept = [{"name": name, **queue} for name in names]
    exchanges = [{"name": name, **exchange} for name in names]
    empty = Seen([], [], [], [], [], None)
    broker = Seen(exchanges, kept, [], [], [], None)

    ours = [contracts.Exchange(name, "topic", {}) for name in names]
    for found_there in (
        findings(ours, declared, empty),
        findings([], [], broker),
        findings(ours, declared, broker),
    ):
        assert [one.name for one in found_there] == names * 2


async def test_queues_that_nobody_consumes_are_told_with_what_waits_in_them(
    system: System, channel: AbstractChannel
) -> None:
    await system.publish_by_hand(QUEUE, "{}")
    await channel.basic_consume("tasks.complete_task", _ignore)

    async def counted() -> bool:
        return "1 messages wait" in (await found(system))["no_consumer", QUEUE]

    await eventually(counted, "the message is counted")
    told = await found(system)
    assert "service of tasks.*" in told["no_consumer", QUEUE]
    assert "start desk_service" in told["no_consumer", "dead_letters"]
    assert ("no_consumer", "tasks.complete_task") not in told
    assert f"\n{QUEUE} " in (await topology.run(system)).stdout


async def test_a_prefetch_that_a_channel_shares_is_told_where_there_is_such_a_thing(
    system: System, channel: AbstractChannel
) -> None:
    """RabbitMQ 4 does not say who uses it, so our configuration of it gives each consumer its own instead."""
    delivered: list[DeliveredMessage] = []

    async def deliver(message: DeliveredMessage) -> None:
        delivered.append(message)

    await channel.basic_qos(prefetch_count=7, global_=True)
    for queue in ("tasks.get_task", "old.queue"):  # RabbitMQ refuses a shared one for quorum queues
        await channel.queue_declare(queue, passive=queue == "tasks.get_task", durable=True)
        await channel.basic_consume(queue, deliver)
        for _ in range(10):
            await channel.basic_publish(b"", routing_key=queue)

    async def told() -> list[str]:
        return [f"{name}: {said}" for (kind, name), said in (await found(system)).items() if "global" in kind]

    if int(str(channel.connection.server_properties["version"]).partition(".")[0]) < 4:
        [said] = await eventually(told, "the channel's prefetch is found")
        assert said.startswith("operator, 127.0.0.1:")
        assert "prefetch of 7" in said
        assert len(delivered) == 7
    else:
        await eventually(_async(lambda: len(delivered) == 14), "each consumer has a prefetch of its own")
        assert not await told()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"RABBITMQ_MANAGEMENT_URL": ""}, "RABBITMQ_MANAGEMENT_URL"),
        ({"RABBITMQ_MANAGEMENT_URL": "http://127.0.0.1:1"}, "cannot be reached"),
        ({"RABBITMQ_MANAGEMENT_PASSWORD": "secret"}, "RABBITMQ_MANAGEMENT_PASSWORD"),
    ],
)
async def test_a_broker_that_cannot_be_asked_is_no_finding(
    system: System, wrong: dict[str, str], said: str
) -> None:
    ended = await topology.run(system, **wrong)

    assert ended.returncode == 2
    assert said in ended.stderr and "secret" not in ended.stderr and "Traceback" not in ended.stderr


async def test_a_queue_that_no_contract_declares_is_not_migrated(system: System) -> None:
    ended = await topology.run(system, "--migrate", "old.queue")

    assert (ended.returncode, ended.stderr.startswith("No contract declares")) == (2, True)


@pytest.mark.parametrize("as_json", [False, True])
def test_who_has_begun_to_consume_just_now_is_looked_for_once_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    """RabbitMQ's API tells of it seconds later. A program can look again by itself."""
    nobody: Any = Seen([], [], [], [], [], None)
    kinds = iter(["no_consumer", ""])
    slept: list[float] = []
    monkeypatch.setattr(topology_check, "look", lambda management: nobody)
    monkeypatch.setattr(
        topology_check,
        "findings",
        lambda *_: [Finding(kind, QUEUE, "nobody", "start it") for kind in [next(kinds)] if kind],
    )
    monkeypatch.setattr(time, "sleep", slept.append)
    management: Any = None

    code = topology_check.check(management, as_json=as_json)

    assert (code, len(slept)) == ((1, 0) if as_json else (0, 1))
    assert ("start it" in capsys.readouterr().out) == as_json
