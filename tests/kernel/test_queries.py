"""Queries in hand: none waits where somebody is free, and none is forgotten."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from shared.querying import AT_ONCE, WORKERS, Queries


class Asked(Queries):
    """Without a store and a broker: each query is a number, and answered as soon as `open` is set."""

    def __init__(self) -> None:
        publisher: Any = SimpleNamespace(loop=asyncio.get_running_loop())
        super().__init__(_Journal(), SimpleNamespace(up=True), publisher, self)  # type: ignore[arg-type]
        self.open = asyncio.Event()
        self.under_way = self.most = 0
        self.alone: list[bool] = []
        self.settled: list[list[int]] = []

    async def _answer(self, delivery: Any, transaction: Any, *, alone: bool) -> None:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.open.wait()
        self.under_way -= 1
        self.alone.append(alone)

    def settle(self, deliveries: list[int]) -> None:
        self.settled.append(deliveries)


class _Journal:
    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        yield


@pytest.fixture
async def queries() -> AsyncIterator[Any]:
    queries = Asked()
    run = asyncio.create_task(queries.run())
    await _turns()
    yield queries
    run.cancel()


async def _turns() -> None:
    """As many turns of the loop as it takes until everybody waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_all_are_answered_once_by_as_many_as_there_are_a_few_at_a_time(queries: Any) -> None:
    for query in range(100):
        queries.add(query)
    await _turns()
    queries.open.set()
    await queries.drained()

    assert sorted(query for group in queries.settled for query in group) == list(range(100))
    assert max(map(len, queries.settled)) == AT_ONCE
    assert queries.most == WORKERS


async def test_what_comes_while_one_is_answered_is_taken_by_who_is_free(queries: Any) -> None:
    for query in range(WORKERS):
        queries.add(query)
        await _turns()

    assert queries.under_way == WORKERS


async def test_it_is_drained_when_the_last_one_is_settled(queries: Any) -> None:
    queries.add(1)
    drained = asyncio.create_task(queries.drained())  # who is to answer it has not begun
    await _turns()
    assert (queries.under_way, drained.done()) == (1, False)

    queries.open.set()
    await drained
    assert queries.settled == [[1]]


@pytest.mark.parametrize(("count", "alone"), [(1, [True]), (2, [False, False])])
async def test_a_query_is_alone_where_no_other_is_in_hand(
    queries: Any, count: int, alone: list[bool]
) -> None:
    for query in range(count):
        queries.add(query)
    queries.open.set()
    await queries.drained()

    assert queries.alone == alone
