"""How the store lists: pages that stay right while rows come, and what the planner makes of them."""

import re
from collections.abc import Mapping
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
import sqlalchemy as sa

from shared.contracts.waste.generating import FindStorages, ListGenerations
from shared.contracts.waste.network import (
    ListKinds,
    ListOrganizations,
    ListRoads,
    ListStorages,
    RegisterKind,
)
from shared.contracts.waste.pages import PageQuery
from shared.messages import BadCursor
from shared.paging import cursor_at
from tests.running import Running
from waste_service.store import network, pages
from waste_service.store import waste as generations
from waste_service.tests.messages import a_road, a_storage, an_organization, waste

LISTS: list[PageQuery[Any]] = [
    ListKinds(),
    ListOrganizations(),
    ListStorages(),
    ListRoads(),
    ListGenerations(organization="office"),
    FindStorages(organization="office"),
]
each_list = pytest.mark.parametrize("query", LISTS, ids=lambda query: type(query).__name__)
_numbers = count(1)


async def more(running: Running) -> None:
    """One more of all that is listed, the storage in reach, and a storage out of reach."""
    number = next(_numbers)
    await running.batch(
        RegisterKind(code=f"kind{number}", title="more"),
        an_organization(f"organization {number}"),
        a_storage(f"in reach {number}", bio=1, glass=1),
        a_storage(f"out of reach {number}", bio=1),
        a_road("office", f"in reach {number}", 1 + number * 37 % 100),
        waste(bio=Decimal("0.001"), glass=2),
    )


@pytest.fixture
async def busy(office: Running) -> Running:
    for _ in range(5):
        await more(office)
    return office


async def page(running: Running, query: PageQuery[Any], **which: Any) -> Any:
    return await running.ask(query.model_copy(update=which))


@each_list
@pytest.mark.parametrize("limit", [1, 2, 7])
async def test_pages_are_the_list_cut_in_pieces(busy: Running, query: PageQuery[Any], limit: int) -> None:
    whole = await page(busy, query)
    found: list[Any] = []
    sizes: list[int] = []
    cursor = None
    while not sizes or cursor:
        answer = await page(busy, query, limit=limit, cursor=cursor)
        found += answer.items
        sizes.append(len(answer.items))
        cursor = answer.next_cursor

    assert whole.next_cursor is None
    assert len(whole.items) >= 5
    assert found == whole.items
    assert sizes == [limit] * (len(found) // limit) + [len(found) % limit] * (len(found) % limit > 0)


@each_list
async def test_a_list_walked_while_rows_come_shows_none_twice_and_all_that_were_there(
    busy: Running, query: PageQuery[Any]
) -> None:
    lasting = [_identity(one) for one in (await page(busy, query)).items]
    seen, cursor = [], None
    for _ in range(20):
        answer = await page(busy, query, limit=3, cursor=cursor)
        seen += [_identity(one) for one in answer.items]
        if (cursor := answer.next_cursor) is None:
            break
        if len(seen) < 12:
            await more(busy)

    assert cursor is None
    assert len(seen) == len(set(seen))
    assert set(lasting) <= set(seen)
    assert [one for one in seen if one in set(lasting)] == lasting


def _identity(item: Any) -> Any:
    return getattr(item, "id", None) or item.code


async def test_a_cursor_fits_the_list_that_gave_it_and_no_other(busy: Running) -> None:
    await busy.ask(an_organization("elsewhere"))
    others = [*LISTS, ListGenerations(organization="elsewhere"), FindStorages(organization="elsewhere")]
    for query in LISTS:
        cursor = (await page(busy, query, limit=1)).next_cursor

        assert (await page(busy, query, limit=2, cursor=cursor)).items
        for other in (one for one in others if one != query):
            with pytest.raises(BadCursor):
                await page(busy, other, cursor=cursor)


@each_list
@pytest.mark.parametrize(
    "place",
    [5, None, [], [None], [1.5], [True], [-1], [2**63], ["\0"], ["ключ"], [[1]], [1, 1], [False, "x", 1]],
)
async def test_a_cursor_that_was_made_up_is_refused(
    office: Running, query: PageQuery[Any], place: Any
) -> None:
    """Whoever reads the source can make its sum; a release before may have kept other places."""
    with pytest.raises(BadCursor):
        await page(office, query, cursor=cursor_at(place, query))


@each_list
@pytest.mark.parametrize("cursor", ["", "nonsense", "!", "AAAAAAAAAAA", "ключ"])
async def test_what_is_no_cursor_is_refused(office: Running, query: PageQuery[Any], cursor: str) -> None:
    with pytest.raises(BadCursor):
        await page(office, query, cursor=cursor)


MANY = """
INSERT INTO kinds SELECT 'kind' || n, 'many' FROM generate_series(1, 20000) n;
INSERT INTO places (id, name, is_storage, created_at)
    SELECT gen_random_uuid(), 'many ' || n, n % 3 = 0, now() FROM generate_series(1, 100000) n;
INSERT INTO capacities (storage, kind, capacity)
    SELECT id, kind, 1 FROM places, unnest(ARRAY['bio', 'glass']) kind WHERE is_storage AND name LIKE 'many%';
INSERT INTO roads (id, origin, destination, metres, two_way, created_at)
    SELECT gen_random_uuid(), a.id, b.id, 1, false, now()
    FROM places a JOIN places b ON b.number = a.number + 1 WHERE b.name LIKE 'many%' LIMIT 50000;
INSERT INTO generations (id, organization, created_at)
    SELECT gen_random_uuid(), id, now() FROM places, generate_series(1, 20000)
    WHERE name IN ('office', 'many 2');
INSERT INTO amounts SELECT id, kind, 1 FROM generations, unnest(ARRAY['bio', 'glass']) kind;"""
LARGE = ("kinds", "places", "capacities", "roads", "generations", "amounts")


async def test_what_is_before_a_page_of_a_large_list_and_after_it_is_not_read(office: Running) -> None:
    async with office.journal.reading() as transaction:
        await transaction.driver.execute(MANY)
    await office.fetch(f"VACUUM ANALYZE {', '.join(LARGE)}")
    [row] = await office.fetch("SELECT id FROM places WHERE name = 'office'")
    middle = {network.KINDS: "kind2", generations.OF_ORGANIZATION: 20_000}

    for listing in (network.KINDS, network.ORGANIZATIONS, network.STORAGES, network.ROADS):
        for last in (listing.start, middle.get(listing, 40_000)):
            await assert_indexed(office, listing, {"last": last})
    listing = generations.OF_ORGANIZATION
    for last in (listing.start, middle[listing]):
        await assert_indexed(office, listing, {"last": last, "organization": row["id"]})


async def assert_indexed(running: Running, listing: pages.Listing, parameters: Mapping[str, Any]) -> None:
    statement = sa.text(f"EXPLAIN ANALYZE {listing.statement.statement}")
    async with running.journal.reading() as transaction:
        rows = await transaction.read(statement, {"limit": 101, **parameters})
        plan = "\n".join(row[0] for row in rows)
    assert not re.search(rf"Seq Scan on ({'|'.join(LARGE)})\b", plan), plan
    skipped = [int(rows) for rows in re.findall(r"Rows Removed by Filter: (\d+)", plan)]
    assert sum(skipped) < 1000, plan
