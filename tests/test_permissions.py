"""The system whose processes have a broker user each, that may no more than `make secrets` allows it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aio_pika
import httpx2
import pytest
from aiormq.exceptions import AMQPError, ChannelAccessRefused, ChannelPreconditionFailed

from infra.containers.permissions import permissions
from infra.local.servers import Servers
from infra.local.system import CONVEYOR
from shared import topology
from shared.topology import DEAD_LETTERS, EVENTS_EXCHANGE, RETURNS, delay_exchange
from tests.system import System, eventually

Attempt = Callable[[aio_pika.abc.AbstractChannel], Awaitable[object]]


@pytest.fixture(scope="module")
async def system(servers: Servers, folder: Path) -> AsyncIterator[System]:
    topology.load_contracts()
    system = System(servers, folder)
    await system.create()
    async with system.management() as page:
        for service in CONVEYOR.services:
            may = permissions(service)
            patterns = {"configure": may.configure, "write": may.write, "read": may.read}
            place = f"/api/permissions/{system.name}/{service.name}"
            (await page.put(place, json=patterns)).raise_for_status()
            said = {"exchange": EVENTS_EXCHANGE, "write": may.says, "read": ".*"}
            place = f"/api/topic-permissions/{system.name}/{service.name}"
            (await page.put(place, json=said)).raise_for_status()
    yield system
    await system.stop()


async def consume(channel: aio_pika.abc.AbstractChannel, queue: str) -> None:
    found = await channel.get_queue(queue, ensure=False)
    await found.consume(_ignore)


async def _ignore(message: aio_pika.abc.AbstractIncomingMessage) -> None:
    """Nothing is to come."""


async def say(channel: aio_pika.abc.AbstractChannel, event: str) -> None:
    exchange = await channel.get_exchange(EVENTS_EXCHANGE, ensure=False)
    await exchange.publish(aio_pika.Message(b"{}"), event)


async def bind(channel: aio_pika.abc.AbstractChannel, queue: str, key: str) -> None:
    found = await channel.get_queue(queue, ensure=False)
    await found.bind(EVENTS_EXCHANGE, key)


@pytest.mark.parametrize(
    ("user", "attempt"),
    [
        pytest.param("task_service", lambda c: consume(c, "waste.generate_waste"), id="read another's queue"),
        pytest.param("task_service", lambda c: consume(c, DEAD_LETTERS), id="read the dead letters"),
        pytest.param("gateway", lambda c: consume(c, "tasks.create_task"), id="take commands as a gateway"),
        pytest.param("waste_service", lambda c: consume(c, "events.recent"), id="read what people read"),
        pytest.param("task_service", lambda c: c.declare_queue("tasks2"), id="declare a queue of no owner"),
        pytest.param("desk_service", lambda c: c.declare_queue("texts.more"), id="declare another's queue"),
        pytest.param("task_service", lambda c: c.queue_delete("waste.add_road"), id="delete another's queue"),
        pytest.param("gateway", lambda c: c.queue_delete("tasks.get_task"), id="delete one as a gateway"),
        pytest.param(
            "text_worker", lambda c: c.exchange_delete("events"), id="delete the exchange of events"
        ),
        pytest.param("text_worker", lambda c: c.declare_exchange("mine"), id="declare an exchange"),
        pytest.param("task_service", lambda c: bind(c, "waste.add_road", "#"), id="bind another's queue"),
        pytest.param("task_service", lambda c: say(c, "waste.waste_stored"), id="say another's event"),
        pytest.param("gateway", lambda c: say(c, "tasks.task_created"), id="say an event as a gateway"),
    ],
)
async def test_a_process_must_not(system: System, user: str, attempt: Attempt) -> None:
    connection = await aio_pika.connect(system.broker_url(user))
    async with connection:
        channel = await connection.channel()
        with pytest.raises(ChannelAccessRefused):
            await attempt(channel)


async def test_nobody_stands_in_for_somebody_else(system: System) -> None:
    async with await aio_pika.connect(system.broker_url("task_service")) as connection:
        channel = await connection.channel()
        forged = aio_pika.Message(b'{"title": "Forged"}', user_id="gateway", headers={"actor": "admin"})

        with pytest.raises(AMQPError, match="user_id"):
            await channel.default_exchange.publish(forged, "tasks.create_task")


async def test_the_default_exchange_leads_to_every_queue(system: System) -> None:
    """What stays open: docs/deployment.md says so."""
    somebodys = next(one.name for one in topology.queues(recent=True) if one.name.startswith("waste.on."))
    async with (
        await aio_pika.connect(system.broker_url("task_service")) as connection,
        await aio_pika.connect(system.broker_url("operator")) as broker,
    ):
        channel = await connection.channel(on_return_raises=True)
        for queue in (DEAD_LETTERS, somebodys):
            await channel.default_exchange.publish(aio_pika.Message(b"{}"), queue, mandatory=True)
        await (await (await broker.channel()).get_queue(somebodys, ensure=False)).purge()


async def test_a_service_may_hear_which_commands_come_back_to_another(system: System) -> None:
    """Stays open, too: whoever gets his own copies back from an exchange may bind to it by any name."""
    async with (
        await aio_pika.connect(system.broker_url("task_service")) as curious,
        await aio_pika.connect(system.broker_url("operator")) as broker,
    ):
        spy = await (await curious.channel()).declare_queue("tasks.spy", exclusive=True)
        await spy.bind(RETURNS, "waste.add_road")
        channel = await broker.channel()
        returns = await channel.get_exchange(RETURNS, ensure=False)
        await returns.publish(aio_pika.Message(b"of the waste service"), "waste.add_road")

        async def heard() -> aio_pika.abc.AbstractIncomingMessage | None:
            return await spy.get(fail=False, no_ack=True)

        assert (await eventually(heard, "the copy is read")).body == b"of the waste service"
        await (await channel.get_queue("waste.add_road", ensure=False)).purge()


FORGED = "waste.forged"
"""An event of the waste service, which task_service may not say, and nobody has a queue for."""


async def forges_by_the_dead_letters_of_a_queue_of_its_own(channel: aio_pika.abc.AbstractChannel) -> None:
    leads = {"x-dead-letter-exchange": EVENTS_EXCHANGE, "x-dead-letter-routing-key": FORGED}
    queue = await channel.declare_queue(
        "tasks.forge", arguments=leads | {"x-message-ttl": 1, "x-expires": 60_000}
    )
    await channel.default_exchange.publish(aio_pika.Message(b"forged"), queue.name)


async def forges_by_binding_exchanges(channel: aio_pika.abc.AbstractChannel) -> None:
    events, delay = [
        await channel.get_exchange(name, ensure=False) for name in (EVENTS_EXCHANGE, delay_exchange(1))
    ]
    await events.bind(RETURNS, FORGED)
    await delay.publish(aio_pika.Message(b"forged"), FORGED)


@pytest.mark.parametrize(
    "forge", [forges_by_the_dead_letters_of_a_queue_of_its_own, forges_by_binding_exchanges]
)
async def test_an_event_can_be_forged(system: System, forge: Attempt) -> None:
    """Stays open, too: what may be said on an exchange is asked of publishers alone."""
    async with (
        await aio_pika.connect(system.broker_url("task_service")) as taken_over,
        await aio_pika.connect(system.broker_url("operator")) as broker,
    ):
        channel = await broker.channel()
        spy = await channel.declare_queue("", exclusive=True)
        await spy.bind(EVENTS_EXCHANGE, FORGED)
        await forge(await taken_over.channel())

        async def heard() -> aio_pika.abc.AbstractIncomingMessage | None:
            return await spy.get(fail=False, no_ack=True)

        assert (await eventually(heard, "the event is heard")).body == b"forged"
        await (await channel.get_exchange(EVENTS_EXCHANGE, ensure=False)).unbind(RETURNS, FORGED)


async def test_what_is_said_can_be_led_where_it_does_not_belong(system: System) -> None:
    """Stays open, too: delays and dead letters wait in queues that are called like their exchanges."""
    level = delay_exchange(max(topology.DELAYS_SECONDS))
    async with (
        await aio_pika.connect(system.broker_url("task_service")) as taken_over,
        await aio_pika.connect(system.broker_url("operator")) as broker,
    ):
        await bind(await taken_over.channel(), level, FORGED)
        channel = await broker.channel()
        await say(channel, FORGED)
        queue = await channel.get_queue(level, ensure=False)

        async def waits() -> bool:
            return bool((await channel.declare_queue(level, passive=True)).declaration_result.message_count)

        await eventually(waits, "the event waits among what is to be tried again")
        await queue.unbind(EVENTS_EXCHANGE, FORGED)
        await queue.purge()


async def test_the_desk_may_remove_the_exchange_that_is_called_like_its_queue(system: System) -> None:
    """Stays open, too. Here it is in use, which is looked at after permissions."""
    async with await aio_pika.connect(system.broker_url("desk_service")) as connection:
        channel = await connection.channel()
        with pytest.raises(ChannelPreconditionFailed, match="in use"):
            await channel.exchange_delete(DEAD_LETTERS, if_unused=True)


async def test_with_these_permissions_everything_works(system: System) -> None:
    for service in CONVEYOR.services:
        await system.start(service.name)
    gateway = system.replicas[[one.name for one in CONVEYOR.services].index("gateway")]

    async with httpx2.AsyncClient(base_url=gateway.url, timeout=40) as http:
        task = await http.post("/tasks", json={"title": "Allowed"})
        kind = await http.post("/waste/kinds", json={"code": "tin", "title": "Tin"})
        text = await http.post("/texts", json={"text": "Allowed, too."})
        assert [task.status_code, kind.status_code, text.status_code] == [201, 201, 202]
        assert (await http.get(task.headers["location"])).json()["title"] == "Allowed"

        async def counted() -> bool:
            return bool((await http.get(text.headers["location"])).json()["status"] == "done")

        await eventually(counted, "the text is counted")
    assert [one["routing_key"] for one in await system.get_messages("events.recent")][:1] != []


async def test_what_breaks_waits_and_comes_back(system: System) -> None:
    """Delay levels, `returns`, dead letters and the desk's event lead through exchanges of everybody."""
    await system.publish_by_hand("tasks.create_task", "{", message_id="broken-1")

    async def on_the_desk() -> bool:
        return bool(await system.fetch("desk_service", "SELECT 1 FROM letters WHERE message_id = 'broken-1'"))

    await eventually(on_the_desk, "the desk has the letter")
