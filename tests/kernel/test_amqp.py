"""The AMQP client: what it writes and reads, beside another implementation, and against a real broker."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiormq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, frame
from pamqp.header import ContentHeader

from shared.amqp import fields
from shared.amqp.channel import Channel
from shared.amqp.connection import Connection, connect
from shared.amqp.content import Incoming, Properties, Unsendable, published
from shared.amqp.errors import ConnectionLost, NotFound, PreconditionFailed
from tests.system import System, _async, eventually

TIMES = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)).map(
    lambda time: time.replace(microsecond=0, tzinfo=UTC)
)
NUMBERS = st.integers(-(2**63), 2**63 - 1)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | NUMBERS
    | st.text(max_size=300)
    | TIMES
    | st.binary(max_size=20).map(bytearray)
    | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=40), inner, max_size=4),
    max_leaves=12,
)
TABLES = st.dictionaries(st.text(max_size=40), VALUES, max_size=8)
SHORT = st.text(max_size=60)
TLS = Path(__file__).parent / "tls"


@given(TABLES)
def test_a_table_is_read_as_it_was_written(table: dict[str, Any]) -> None:
    data = b"before" + fields.encoded_table(table) + b"behind"

    assert fields.decoded_table(data, 6) == (table, len(data) - 6)


@pytest.mark.parametrize("value", [Decimal("-12.345"), Decimal(7), Decimal("1E+3"), b"\xff\x00", ("a", 1)])
def test_what_hypothesis_does_not_make_is_read_as_it_was_written(value: Any) -> None:
    table, _ = fields.decoded_table(fields.encoded_table({"value": value}), 0)

    assert table["value"] == (list(value) if isinstance(value, tuple) else value)


@pytest.mark.parametrize(
    "value",
    [2**63, Decimal("1E-300"), Decimal(2**40), object(), {"n" * 256: 1}],
    ids=lambda value: str(value)[:9],
)
def test_what_amqp_cannot_hold_is_an_error(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        fields.encoded_table({"value": value})


@given(st.binary(max_size=60))
def test_a_table_that_makes_no_sense_is_read_as_something(body: bytes) -> None:
    data = len(body).to_bytes(4, "big") + body

    table, end = fields.decoded_table(data, 0)

    assert isinstance(table, dict)
    assert end == len(data)


@given(
    st.builds(
        Properties,
        *(SHORT | st.none(), SHORT | st.none()),
        headers=st.dictionaries(
            st.text(max_size=30), st.text(max_size=300) | st.booleans(), min_size=1, max_size=6
        ),
        delivery_mode=st.sampled_from([1, 2]),
        priority=st.integers(0, 9) | st.none(),
        correlation_id=SHORT | st.none(),
        reply_to=SHORT | st.none(),
        expiration=st.integers(1, 10**9).map(str) | st.none(),
        message_id=SHORT | st.none(),
        timestamp=TIMES | st.none(),
        type=SHORT | st.none(),
        user_id=SHORT | st.none(),
        app_id=SHORT | st.none(),
    ),
    st.binary(max_size=20_000),
    st.booleans(),
)
def test_another_implementation_reads_what_is_published(
    sent: Properties, body: bytes, mandatory: bool
) -> None:
    data = published(7, "somewhere", "key", body, sent, 4096, mandatory=mandatory)

    parts: list[Any] = []
    while data:
        size, channel, part = frame.unmarshal(data)
        data = data[size:]
        parts.append(part)
        assert channel == 7
    method, header, *pieces = parts

    assert (method.exchange, method.routing_key, method.mandatory) == ("somewhere", "key", mandatory)
    assert header.body_size == len(body)
    assert b"".join(piece.value for piece in pieces) == body
    assert all(len(piece.value) <= 4088 for piece in pieces)
    for name in commands.Basic.Properties.attributes():
        ours = getattr(sent, {"message_type": "type", "cluster_id": "app_id"}.get(name, name))
        theirs = getattr(header.properties, name)
        assert name == "cluster_id" or (theirs or None) == (ours or None), name


@given(st.text(max_size=60), TIMES, st.dictionaries(st.text(max_size=30), st.text(max_size=30), max_size=4))
def test_what_another_implementation_writes_is_read(
    text: str, time: datetime, headers: dict[str, Any]
) -> None:
    properties = commands.Basic.Properties(
        content_type=text,
        headers=headers,
        delivery_mode=2,
        message_id=text,
        timestamp=time,
        message_type=text,
    )
    data = frame.marshal(ContentHeader(properties=properties, body_size=12), 1)
    message = Incoming()

    size = message.read_header(data, 7)

    assert size == 12
    assert (message.content_type or "", message.message_id or "", message.type or "") == (text, text, text)
    assert (message.timestamp, message.headers, message.delivery_mode) == (time, headers, 2)


def test_headers_of_more_than_a_frame_cannot_be_sent() -> None:
    with pytest.raises(Unsendable, match="do not fit"):
        published(1, "", "q", b"", Properties(headers={"h": "x" * 5000}), 4096, mandatory=False)


def test_a_time_beyond_the_calendar_is_none_and_one_in_milliseconds_is_understood() -> None:
    assert fields.time_of(2**63) is None
    assert fields.time_of(1_700_000_000_000) == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


@pytest.fixture
async def connection(system: System) -> AsyncIterator[Connection]:
    connection = await connect(system.broker_url("operator"), "test")
    yield connection
    await connection.close()


@pytest.fixture
async def channel(connection: Connection) -> Channel:
    return await connection.channel()


@pytest.fixture
async def queue(channel: Channel) -> str:
    name = f"test.{uuid4().hex[:8]}"
    await channel.call(commands.Queue.Declare(queue=name, exclusive=True))
    return name


async def test_messages_of_any_size_arrive_in_order_however_they_are_cut_up(
    channel: Channel, queue: str
) -> None:
    sizes = [0, 1, 131_064, 131_065, 5_000_000, 7, 0, 300_000]
    taken: list[Incoming] = []
    await channel.consume(queue, taken.append, name="test", no_ack=True)
    for size in sizes:
        body = bytes(range(256)) * (size // 256) + bytes(size % 256)
        most = channel.connection.frame_max
        channel.connection.write(
            published(channel.number, "", queue, body, Properties(message_id=str(size)), most, mandatory=True)
        )

    await eventually(_async(lambda: len(taken) == len(sizes)), "all have arrived")

    assert [(int(one.message_id or 0), len(one.body)) for one in taken] == [(size, size) for size in sizes]
    assert taken[4].body[:300_000] == (bytes(range(256)) * 1200)[:300_000]


async def test_frames_that_come_byte_by_byte_are_read_as_those_that_come_at_once(
    connection: Connection, channel: Channel, queue: str
) -> None:
    taken: list[Incoming] = []
    tag = await channel.consume(queue, taken.append, name="test")
    deliver = commands.Basic.Deliver(tag, 9, True, "here", "there")
    header = ContentHeader(properties=commands.Basic.Properties(message_id="one"), body_size=5)
    method, head = frame.marshal(deliver, channel.number), frame.marshal(header, channel.number)
    body = b"\x03" + channel.number.to_bytes(2, "big") + b"\x00\x00\x00\x05hello\xce"
    whole = method + head + body

    for at in range(len(whole)):
        connection.data_received(whole[at : at + 1])
    connection.data_received(whole * 2)

    assert [(one.body, one.tag, one.redelivered, one.message_id) for one in taken] == [
        (b"hello", 9, True, "one")
    ] * 3


async def test_what_the_broker_refuses_ends_the_channel_alone_and_says_why(connection: Connection) -> None:
    channel, other = await connection.channel(), await connection.channel()

    with pytest.raises(NotFound, match="no queue"):
        await channel.call(commands.Queue.Declare(queue="nowhere", passive=True))
    with pytest.raises(NotFound):
        await channel.call(commands.Basic.Qos(prefetch_count=1))
    await other.call(commands.Queue.Declare(queue="", exclusive=True))

    assert channel.is_closed and not other.is_closed


async def test_other_arguments_are_told_from_a_missing_queue(connection: Connection, queue: str) -> None:
    with pytest.raises(PreconditionFailed, match="inequivalent arg"):
        await (await connection.channel()).call(
            commands.Queue.Declare(queue=queue, exclusive=True, arguments={"x-max-length": 1})
        )


async def test_a_call_that_is_given_up_leaves_the_channel_as_it_was(channel: Channel, queue: str) -> None:
    given_up = [asyncio.create_task(channel.call(commands.Basic.Qos(prefetch_count=n))) for n in range(20)]
    await asyncio.sleep(0)
    for task in given_up[::2]:
        task.cancel()

    declared = await channel.call(commands.Queue.Declare(queue=queue, passive=True))

    assert declared.queue == queue
    assert not any(isinstance(one, BaseException) for one in await asyncio.gather(*given_up[1::2]))


async def test_one_message_at_a_time_can_be_taken_and_given_back(channel: Channel, queue: str) -> None:
    most = channel.connection.frame_max
    channel.connection.write(published(channel.number, "", queue, b"x", Properties(), most, mandatory=True))

    first = await channel.get(queue)
    assert first and (first.body, first.redelivered) == (b"x", False)
    channel.reject(first.tag, requeue=True)
    again = await channel.get(queue)
    assert again and again.redelivered
    channel.ack(again.tag)

    assert await channel.get(queue) is None


async def test_a_consumer_hears_of_its_end_when_its_queue_is_deleted(
    system: System, channel: Channel, queue: str
) -> None:
    ended = asyncio.Event()
    await channel.consume(queue, lambda message: None, name="test", cancelled=ended.set)

    await channel.call(commands.Queue.Delete(queue=queue))

    await asyncio.wait_for(ended.wait(), 30)


async def test_a_wrong_password_is_told_as_what_it_is(system: System) -> None:
    with pytest.raises(Exception, match="ACCESS_REFUSED"):
        await connect(system.broker_url("operator").replace("operator:", "nobody:"), "test")


async def test_an_address_that_is_none_of_a_broker_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="begins with amqp"):
        await connect("http://127.0.0.1:15672", "test")


async def test_who_waits_hears_that_the_connection_is_lost(connection: Connection, channel: Channel) -> None:
    waiting = asyncio.create_task(channel.call(commands.Basic.Qos(prefetch_count=1)))
    await asyncio.sleep(0)

    connection.connection_lost(None)

    with pytest.raises(ConnectionLost):
        await waiting
    assert channel.is_closed
    channel.ack(1)  # and it comes again


async def test_a_connection_that_is_gone_has_no_more_channels(connection: Connection) -> None:
    connection.connection_lost(None)

    with pytest.raises(ConnectionLost):
        await asyncio.wait_for(connection.channel(), 10)


async def test_a_connection_ends_with_a_vital_channel_that_the_broker_ends(connection: Connection) -> None:
    ours = await connection.channel(vital=True)
    ours.close()
    assert await asyncio.wait_for(ours.gone, 10) is None
    channel = await connection.channel(vital=True)

    with pytest.raises(NotFound):
        await channel.call(commands.Queue.Declare(queue="nowhere", passive=True))

    assert isinstance(await asyncio.wait_for(connection.gone, 10), NotFound)


async def test_the_number_of_a_closed_channel_serves_another(connection: Connection) -> None:
    first = await connection.channel()
    first.close()
    await asyncio.wait_for(first.gone, 10)
    closed_late = frame.marshal(commands.Channel.CloseOk(), first.number)

    second = await connection.channel()
    connection.data_received(closed_late)

    assert second.number == first.number
    assert (await second.call(commands.Queue.Declare(queue="", exclusive=True))).queue


async def test_a_peer_that_says_nothing_is_given_up(connection: Connection) -> None:
    for _ in range(4):
        connection._keep_alive(3600)
    assert not connection.gone.done()

    connection._keep_alive(3600)

    assert "said nothing" in str(connection.gone.result())


async def test_what_it_publishes_another_client_receives_whole(system: System, channel: Channel) -> None:
    name = f"test.{uuid4().hex[:8]}"
    await channel.call(commands.Queue.Declare(queue=name, auto_delete=True))
    sent = Properties(
        content_type="application/json",
        headers={"a": "b", "n": 7},
        correlation_id="c",
        message_id="m",
        type="T",
    )
    most = channel.connection.frame_max
    channel.connection.write(published(channel.number, "", name, b"{}", sent, most, mandatory=True))

    other = await aiormq.connect(system.broker_url("operator"))
    message = await (await other.channel()).basic_get(name, no_ack=True)
    await other.close()

    properties = message.header.properties
    assert (message.body, properties.headers) == (b"{}", {"a": "b", "n": 7})
    assert (properties.correlation_id, properties.message_id, properties.message_type) == ("c", "m", "T")


@pytest.fixture
async def secured(system: System) -> AsyncIterator[str]:
    """The broker's address behind a door that ends TLS, with a certificate that no authority knows."""
    inside = urlsplit(system.broker_url("operator"))

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_us, to_broker = await asyncio.open_connection(inside.hostname, inside.port)
        await asyncio.gather(copied(reader, to_broker), copied(to_us, writer))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
    door = await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=context)
    port = door.sockets[0].getsockname()[1]
    login = inside.netloc.rpartition("@")[0]
    yield inside._replace(scheme="amqps", netloc=f"{login}@127.0.0.1:{port}").geturl()
    door.close()


async def copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_with_the_certificate_of_its_authority_it_speaks_tls(secured: str, host: str) -> None:
    url = secured.replace("@127.0.0.1:", f"@{host}:")
    connection = await connect(f"{url}?cafile={TLS / 'certificate.pem'}", "test")
    channel = await connection.channel()
    queue = (await channel.call(commands.Queue.Declare(queue="", exclusive=True))).queue
    body = bytes(range(256)) * 1000
    most = connection.frame_max
    connection.write(published(channel.number, "", queue, body, Properties(), most, mandatory=True))

    async def arrived() -> Incoming | None:
        return await channel.get(queue)

    message = await eventually(arrived, "it is in the queue")
    await connection.close()

    assert message.body == body


async def test_a_certificate_of_nobody_that_is_known_is_refused(secured: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await connect(secured, "test")
