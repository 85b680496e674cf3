"""Questions in a process of their own: what they leave behind."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.amqp.channel import Channel
from shared.asking import NotAnsweredYet, RequestClient, _Question
from shared.bus import Publisher
from shared.messages import Refusal
from shared.process import end
from tests.system import Replica, System, eventually
from tests.toy_service.contracts import Mark


@pytest.fixture
async def asking(system: System, toy: Replica) -> AsyncIterator[RequestClient]:
    publisher = Publisher(system.broker_url("gateway"), "gateway")
    client = RequestClient(system.broker_url("gateway"), publisher, also=_nothing)
    links = [asyncio.create_task(link.keep_open()) for link in (publisher.link, client.link)]
    await publisher.link.back.wait()
    await client.link.back.wait()
    yield client
    await end(*links)


async def _nothing(_: Channel) -> None:
    pass


@pytest.mark.parametrize(
    ("body", "wait", "error"),
    [
        ({"text": "asked"}, 10, None),
        ({"text": "asked", "then": "refuse"}, 10, Refusal),
        ({"text": "asked"}, 0, NotAnsweredYet),
    ],
)
async def test_a_question_that_is_over_is_not_left_to_the_collector_of_cycles(
    asking: RequestClient, body: dict[str, Any], wait: float, error: type[Exception] | None
) -> None:
    """It comes by so seldom that thousands would wait for it, and each would take memory that is cold."""
    gc.disable()
    try:
        ended = await _end_of(asking, Mark.model_validate(body), wait)
        assert ended is error
        await eventually(_no_question_is_left, "the question is gone", seconds=10)
    finally:
        gc.enable()


async def test_who_does_not_wait_is_told_the_same_where_the_answer_comes_before_the_confirmation(
    asking: RequestClient,
) -> None:
    assert asking.publisher.confirms.channel
    asking.publisher.confirms.channel.confirmed = lambda tag, multiple, taken: None  # which comes too late

    for body in ({"text": "asked"}, {"text": "asked", "then": "refuse"}):
        assert await _end_of(asking, Mark.model_validate(body), 0) is NotAnsweredYet


async def _end_of(asking: RequestClient, command: Mark, wait: float) -> type[Exception] | None:
    try:
        await asking.ask(command, actor="tester", wait=wait)
    except (NotAnsweredYet, Refusal) as error:
        return type(error)
    return None


async def _no_question_is_left() -> bool:
    return not any(type(one) is _Question for one in gc.get_objects())
