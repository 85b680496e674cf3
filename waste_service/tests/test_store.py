"""What the store promises whatever handlers do: whole batches, remembered versions, guards in the schema."""

import asyncio
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa

from shared.contracts.waste.generating import FindStorages
from shared.contracts.waste.network import GetStorage
from tests.running import Running
from waste_service.store import present
from waste_service.tests.messages import a_road, a_storage, an_organization, waste
from waste_service.tests.running import forget

WASTE = waste(bio=1)


@pytest.fixture
async def office(running: Running) -> Running:
    """An office beside a storage for 100 bio."""
    forget()
    await running.batch(
        an_organization(),
        a_storage("A", bio=100),
        a_road("office", "A", 10),
    )
    return running


def statements_on(running: Running) -> list[str]:
    sent: list[str] = []

    @sa.event.listens_for(running.journal.engine.sync_engine, "before_cursor_execute")
    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        sent.append(statement)

    return sent


def rows_written_on(running: Running) -> list[tuple[str, int]]:
    """Each statement that writes, with the number of its rows."""
    written: list[tuple[str, int]] = []

    @sa.event.listens_for(running.journal.engine.sync_engine, "before_cursor_execute")
    def note(connection: Any, cursor: Any, statement: str, rows: Any, context: Any, many: bool) -> None:
        if not statement.lstrip().startswith("SELECT"):
            written.append((statement, len(rows) if many else 1))

    return written


async def test_a_batch_of_generations_costs_a_handful_of_statements(office: Running) -> None:
    await office.ask(WASTE)
    sent = statements_on(office)

    await office.batch(*[WASTE] * 64)

    assert len(sent) <= 6, sent
    assert (await office.ask(GetStorage(storage="A"))).room == {"bio": Decimal(35)}


async def test_placing_what_waited_costs_a_handful_of_statements_and_a_storage_is_written_once(
    office: Running,
) -> None:
    await office.batch(an_organization("elsewhere"), *[waste("elsewhere", bio=1, glass=1)] * 60)
    written = rows_written_on(office)

    await office.ask(a_road("elsewhere", "A"))

    assert (await office.ask(GetStorage(storage="A"))).version == 61
    assert len(written) <= 7, written
    [of_storages] = [rows for statement, rows in written if "UPDATE capacities" in statement]
    assert of_storages == 1


async def test_what_a_rollback_undid_is_not_remembered(office: Running) -> None:
    with pytest.raises(ZeroDivisionError):
        async with office.journal.transaction(contended=True) as transaction:
            now = await present.present(transaction)
            now.change_stock().waiting.clear()
            now.change_network().kinds.clear()
            raise ZeroDivisionError

    generation = await office.ask(WASTE)

    assert len(generation.placements) == 1


async def test_a_query_sees_what_was_before_while_a_batch_is_under_way(office: Running) -> None:
    async with office.journal.transaction(contended=True) as transaction:
        now = await present.present(transaction)
        now.change_stock().stored.clear()
        now.change_network().places.clear()

        async with office.journal.reading() as elsewhere:
            seen = await present.present(elsewhere)

    assert len(seen.network.places) == 2
    assert seen.network is not now.network
    assert seen.stock is not now.stock


async def test_what_another_process_committed_is_read_again(office: Running) -> None:
    await office.ask(WASTE)
    networks, stocks = dict(present.NETWORKS), dict(present.STOCKS)
    forget()
    await office.batch(a_storage("B", bio=1), WASTE)
    forget()
    present.NETWORKS.update(networks)
    present.STOCKS.update(stocks)

    seen = (await office.ask(FindStorages(organization="office"))).items

    assert [(one.name, one.room) for one in seen] == [("A", {"bio": Decimal(98)}), ("B", {"bio": Decimal(1)})]


async def test_a_tie_goes_to_the_storage_registered_first_in_any_process(office: Running) -> None:
    await office.batch(
        *(a_storage(name, bio=1) for name in ("second", "first")),
        *(a_road("office", name, 1, two_way=True) for name in ("first", "second")),
    )
    forget()

    generation = await office.ask(WASTE)

    assert generation.placements[0].storage == "second"


async def test_a_process_remembers_a_two_way_road_as_two(office: Running) -> None:
    await office.batch(
        a_storage("B", bio=1),
        a_road("B", "A", 5, two_way=True),
    )
    forget()

    seen = (await office.ask(FindStorages(organization="office"))).items

    assert [one.distance_metres for one in seen] == [10, 15]


async def test_only_the_last_four_versions_are_remembered(office: Running) -> None:
    for _ in range(5):
        await office.ask(WASTE)

    assert len(present.STOCKS) == 4


async def test_batches_at_the_same_time_never_overfill(office: Running) -> None:
    answers = await asyncio.gather(*[office.batch(*[WASTE] * 10) for _ in range(12)])

    placed = sum(one.amount for batch in answers for generation in batch for one in generation.placements)
    waiting = sum(generation.unplaced.get("bio", 0) for batch in answers for generation in batch)
    assert (placed, waiting) == (100, 20)
    assert (await office.ask(GetStorage(storage="A"))).room == {"bio": Decimal(0)}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE capacities SET stored = capacity + 0.001",
        "UPDATE capacities SET stored = -0.001",
        "INSERT INTO places (id, name, is_storage, created_at) SELECT gen_random_uuid(), 'A', false, now()",
        "UPDATE roads SET destination = origin",
        "INSERT INTO present (network, stock) SELECT gen_random_uuid(), gen_random_uuid()",
    ],
)
async def test_the_schema_is_the_last_guard(office: Running, statement: str) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await office.fetch(statement)
