"""What becomes of waste that is generated, answered, shown and told, on a real database."""

from decimal import Decimal

from shared.contracts.waste.generating import (
    FindStorages,
    Generation,
    GetGeneration,
    ListGenerations,
    WasteGenerated,
    WasteStored,
)
from shared.contracts.waste.network import (
    GetStorage,
    ListStorages,
    RegisterKind,
    RoadAdded,
)
from tests.running import Running
from waste_service.tests.messages import a_road, a_storage, an_organization, waste
from waste_service.tests.running import forget


def told(generation: Generation) -> list[tuple[str, str, Decimal, int]]:
    return [(one.kind, one.storage, one.amount, one.distance_metres) for one in generation.placements]


async def test_waste_is_placed_answered_looked_up_and_told(office: Running) -> None:
    generation = await office.ask(waste(bio="7.5", glass=1))

    assert told(generation) == [
        ("bio", "near", Decimal(5), 10),
        ("bio", "far", Decimal("2.5"), 100),
        ("glass", "near", Decimal(1), 10),
    ]
    assert generation.unplaced == {}
    assert await office.ask(GetGeneration(generation=generation.id)) == generation
    first, *stored = office.said
    assert first == WasteGenerated(generation=generation)
    assert [
        (one.storage, one.amount, one.storage_version) for one in stored if isinstance(one, WasteStored)
    ] == [
        ("near", Decimal(5), 2),
        ("far", Decimal("2.5"), 2),
        ("near", Decimal(1), 3),
    ]
    assert {one.generation_id for one in stored if isinstance(one, WasteStored)} == {generation.id}


async def test_a_storage_shows_its_room_and_a_version_for_each_placement(office: Running) -> None:
    await office.batch(waste(bio=2), waste(bio=2, glass="0.5"))

    near = await office.ask(GetStorage(storage="near"))

    assert near.room == {"bio": Decimal(1), "glass": Decimal("4.5")}
    assert near.capacity == {"bio": Decimal(5), "glass": Decimal(5)}
    assert near.version == 4
    assert (await office.ask(ListStorages())).items[0] == near


async def test_what_fits_nowhere_waits_and_is_placed_when_a_road_comes(office: Running) -> None:
    generation = await office.ask(waste(bio=20))
    assert generation.unplaced == {"bio": Decimal(5)}
    await office.batch(a_storage("later", bio=7))
    office.said.clear()

    road = await office.ask(a_road("far", "later", 1))

    now = await office.ask(GetGeneration(generation=generation.id))
    assert now.unplaced == {}
    assert told(now)[2:] == [("bio", "later", Decimal(5), 101)]
    assert now.version == 2
    said, stored = office.said
    assert said == RoadAdded(road=road)
    assert isinstance(stored, WasteStored)
    assert (stored.generation_id, stored.generation_version, stored.storage_version) == (generation.id, 2, 2)


async def test_the_oldest_waste_is_placed_first_kind_by_kind_and_the_rest_goes_on_waiting(
    running: Running,
) -> None:
    await running.batch(an_organization("one"), an_organization("two"), a_storage("hub", plastic=1))
    await running.batch(a_road("one", "hub"), a_road("two", "hub"), a_storage("A", bio=5, glass=100))
    oldest, younger, youngest = await running.batch(
        waste("two", bio=3, glass=1), waste("one", bio=3), waste("two", bio=3, glass=2)
    )
    running.said.clear()

    await running.ask(a_road("hub", "A"))

    now = [await running.ask(GetGeneration(generation=one.id)) for one in (oldest, younger, youngest)]
    assert [one.unplaced for one in now] == [{}, {"bio": Decimal(1)}, {"bio": Decimal(3)}]
    assert [one.version for one in now] == [3, 2, 2]
    versions = [
        (one.generation_id, one.generation_version) for one in running.said if isinstance(one, WasteStored)
    ]
    assert versions == [(oldest.id, 2), (oldest.id, 3), (younger.id, 2), (youngest.id, 2)]


async def test_more_waiting_waste_than_one_read_brings_is_placed_by_one_road(running: Running) -> None:
    await running.batch(an_organization(), a_storage("A", bio=700, glass=1))
    for _ in range(10):
        await running.batch(*[waste(bio=1, glass=2) for _ in range(60)])

    await running.ask(a_road("office", "A"))

    assert (await running.ask(GetStorage(storage="A"))).room == {"bio": Decimal(100), "glass": Decimal(0)}
    [left] = await running.fetch("SELECT count(*), sum(amount) FROM waiting")
    assert tuple(left) == (600, Decimal(1199))


async def test_a_storage_takes_waste_in_the_batch_that_registers_it(office: Running) -> None:
    *_, generation = await office.batch(
        waste(bio=15), a_storage("new", bio=9), a_road("office", "new"), waste(bio=3)
    )

    assert told(generation) == [("bio", "new", Decimal(3), 10)]
    assert (await office.ask(GetStorage(storage="new"))).room == {"bio": Decimal(6)}


async def test_waste_is_generated_in_the_batch_whose_road_places_older_waste(office: Running) -> None:
    [older] = await office.batch(waste(bio=16))
    await office.batch(a_storage("new", bio=9))

    *_, younger = await office.batch(a_road("office", "new"), waste(bio=10, glass=1))

    assert told(younger) == [("bio", "new", Decimal(8), 10), ("glass", "near", Decimal(1), 10)]
    assert (await office.ask(GetGeneration(generation=older.id))).unplaced == {}
    assert await office.ask(GetGeneration(generation=younger.id)) == younger


async def test_waste_of_a_new_kind_is_generated_in_the_batch_that_registers_it(office: Running) -> None:
    *_, generation = await office.batch(
        waste(bio=1), RegisterKind(code="metal", title="металл"), waste(metal=2)
    )

    assert generation.unplaced == {"metal": Decimal(2)}


async def test_an_organization_sees_any_storage(office: Running) -> None:
    await office.batch(a_storage("away", plastic=1), waste(bio=6))

    seen = (await office.ask(FindStorages(organization="office"))).items

    assert [(one.name, one.distance_metres) for one in seen] == [("near", 10), ("far", 100), ("away", None)]
    assert [one.room for one in seen] == [
        {"bio": Decimal(0), "glass": Decimal(5)},
        {"bio": Decimal(9)},
        {"plastic": Decimal(1)},
    ]


async def test_generations_are_listed_latest_first_whole_and_limited(office: Running) -> None:
    first, second, third = await office.batch(waste(bio=12, glass=1), waste(bio=4), waste(glass=1))

    listed = (await office.ask(ListGenerations(organization="office"))).items
    latest = await office.ask(ListGenerations(organization="office", limit=2))
    rest = await office.ask(ListGenerations(organization="office", cursor=latest.next_cursor))

    assert listed == [third, second, first]
    assert latest.items == [third, second]
    assert rest.items == [first]
    assert rest.next_cursor is None
    assert second.unplaced == {"bio": Decimal(1)}


async def test_a_process_that_remembers_nothing_decides_the_same(office: Running) -> None:
    await office.batch(waste(bio=14), waste(bio=3, glass=1), a_storage("later", bio=4))
    forget()

    seen = await office.ask(FindStorages(organization="office"))
    await office.ask(a_road("near", "later", 1))

    assert [one.room.get("bio") for one in seen.items] == [0, 0, 4]
    forget()
    assert (await office.ask(GetStorage(storage="later"))).room == {"bio": Decimal(2)}
    assert told(await office.ask(waste(bio=9))) == [("bio", "later", Decimal(2), 11)]
