"""Where waste goes, and what must never be broken on the way."""

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from itertools import permutations, product
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from waste_service.domain.network import Network, ways
from waste_service.domain.placement import Plan, Stock, place, placeable, storages_in_view
from waste_service.tests.builders import Model, add_place, network_of, put_all


def generated(network: Network, stock: Stock, organization: str, **amounts: str | int) -> Plan:
    exact = {kind: Decimal(amount) for kind, amount in amounts.items()}
    plan = place(network, stock, network.get(organization), exact)
    put_all(stock, plan)
    return plan


def told(plan: Plan) -> list[tuple[str, str, str, int]]:
    return [(one.kind, str(one.amount), one.storage, one.distance_metres) for one in plan.placements]


def test_waste_goes_to_the_nearest_storage_that_takes_its_kind() -> None:
    network = network_of("office > A 10", "office > B 20", A={"glass": 5}, B={"bio": 5})

    plan = generated(network, Stock(), "office", bio=2, glass=1)

    assert told(plan) == [("bio", "2", "B", 20), ("glass", "1", "A", 10)]
    assert plan.unplaced == {}


def test_waste_over_capacity_goes_to_the_next_nearest_storage() -> None:
    network = network_of("office > A 10", "office > B 20", A={"bio": 5}, B={"bio": 5})

    plan = generated(network, Stock(), "office", bio="7.125")

    assert told(plan) == [("bio", "5", "A", 10), ("bio", "2.125", "B", 20)]


def test_what_fits_nowhere_is_unplaced() -> None:
    network = network_of("office > A 10", A={"bio": 5}, out_of_reach={"bio": 5})

    plan = generated(network, Stock(), "office", bio=8, glass=1)

    assert told(plan) == [("bio", "5", "A", 10)]
    assert plan.unplaced == {"bio": Decimal(3), "glass": Decimal(1)}


def test_two_organizations_share_the_room_of_a_storage() -> None:
    network = network_of("one > A 10", "two > A 20", A={"bio": 5})
    stock = Stock()

    first, second = generated(network, stock, "one", bio=3), generated(network, stock, "two", bio=3)

    assert told(first) == [("bio", "3", "A", 10)]
    assert told(second) == [("bio", "2", "A", 20)]
    assert second.unplaced == {"bio": Decimal(1)}


def test_an_organization_sees_the_near_the_full_and_those_out_of_reach() -> None:
    network = network_of(
        "office > B 20", "office > A 10", far={"bio": 1}, A={"bio": 5}, B={"bio": 5, "glass": 2}
    )
    stock = Stock()
    generated(network, stock, "office", bio=6)

    seen = [one for _, one in storages_in_view(network, stock, network.get("office"))]

    assert [(one.name, one.distance_metres) for one in seen] == [("A", 10), ("B", 20), ("far", None)]
    assert [one.room for one in seen] == [{"bio": 0}, {"bio": 4, "glass": 2}, {"bio": 1}]
    assert seen[1].capacity == {"bio": 5, "glass": 2}


def test_a_copy_of_the_stock_leaves_the_original_alone() -> None:
    network = network_of("office > A 10", A={"bio": 5})
    stock = Stock()
    copy = stock.copy()

    generated(network, copy, "office", bio=5)
    copy.keep_waiting(network.get("office").id, "bio", Decimal(1))

    assert stock.room(network.get("A"), "bio") == 5
    assert not stock.waiting
    assert not stock.placements


def test_a_road_places_what_waited_for_it_the_oldest_first() -> None:
    model = Model()
    one, two = add_place(model.network, "one"), add_place(model.network, "two")
    storage, relay = (
        add_place(model.network, "A", {"bio": 5}),
        add_place(model.network, "relay", {"glass": 1}),
    )
    model.add_road(one, relay, 1, two_way=False)
    model.add_road(two, relay, 1, two_way=False)
    oldest = model.generate(two, {"bio": Decimal(3)})
    younger = model.generate(one, {"bio": Decimal(3)})
    youngest = model.generate(two, {"bio": Decimal(3)})

    model.add_road(relay, storage, 9, two_way=False)

    assert [sum(p.amount for p in one.placements) for one in (oldest, younger, youngest)] == [3, 2, 0]
    assert model.stock.waiting == {(one.id, "bio"): Decimal(1), (two.id, "bio"): Decimal(3)}


AMOUNTS = st.dictionaries(
    st.sampled_from(["bio", "glass"]),
    st.integers(1, 20_000).map(lambda thousandths: Decimal(thousandths) / 1000),
    min_size=1,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("organization")),
        st.tuples(st.just("storage"), AMOUNTS),
        st.tuples(st.just("road"), st.integers(0), st.integers(0), st.integers(1, 9), st.booleans()),
        st.tuples(st.just("waste"), st.integers(0), AMOUNTS),
    ),
    max_size=40,
)


def histories(steps: list[tuple[object, ...]]) -> Iterator[Model]:
    """The model after each step that the rules allow."""
    model = Model()
    for number, step in enumerate(steps):
        places = model.network.places
        organizations = [place for place in places if not place.is_storage]
        match step:
            case ("organization",):
                add_place(model.network, f"o{number}")
            case ("storage", dict(capacity)):
                add_place(model.network, f"s{number}", capacity)
            case ("road", int(a), int(b), int(metres), bool(two_way)) if places:
                origin, destination = places[a % len(places)], places[b % len(places)]
                if origin != destination:
                    model.add_road(origin, destination, metres, two_way=two_way)
            case ("waste", int(a), dict(amounts)) if organizations:
                model.generate(organizations[a % len(organizations)], amounts)
        yield model


@settings(max_examples=200)
@given(steps=STEPS)
def test_no_history_overfills_loses_or_leaves_waste_waiting_beside_room(
    steps: list[tuple[object, ...]],
) -> None:
    for model in histories(steps):
        assert_nothing_is_lost(model)
        assert_nothing_is_overfilled(model)
        for generated in model.generations:
            for storage, _ in model.network.nearest_storages(generated.organization):
                assert not any(model.stock.room(storage, kind) for kind in generated.unplaced)


@settings(max_examples=200)
@given(steps=STEPS)
def test_room_for_what_waits_lies_behind_the_next_road_or_nowhere(steps: list[tuple[object, ...]]) -> None:
    *_, model = [Model(), *histories(steps)]

    for (origin, destination), two_way in product(permutations(model.network.places, 2), (False, True)):
        network = model.network.copy()
        network.add_road(origin, destination, 1, two_way=two_way)
        opened = ways(origin, destination, two_way=two_way)
        assert placeable(network, model.stock, opened) == placeable_anywhere(network, model.stock)


def placeable_anywhere(network: Network, stock: Stock) -> set[tuple[UUID, str]]:
    """The same by looking at each storage in reach of each organization, whatever was before."""
    return {
        (organization, kind)
        for organization, kind in stock.waiting
        if any(
            stock.room(storage, kind) > 0
            for storage, _ in network.nearest_storages(network.by_id[organization])
        )
    }


def assert_nothing_is_lost(model: Model) -> None:
    waiting: dict[tuple[UUID, str], Decimal] = defaultdict(Decimal)
    for generated in model.generations:
        for kind, amount in generated.amounts.items():
            stored = sum(one.amount for one in generated.placements if one.kind == kind)
            assert amount == stored + generated.unplaced.get(kind, 0)
        for kind, amount in generated.unplaced.items():
            waiting[generated.organization.id, kind] += amount
    assert waiting == model.stock.waiting


def assert_nothing_is_overfilled(model: Model) -> None:
    stored: dict[tuple[UUID, str], Decimal] = defaultdict(Decimal)
    for generated in model.generations:
        for placement in generated.placements:
            stored[placement.storage_id, placement.kind] += placement.amount
    assert stored == model.stock.stored
    for (storage, kind), amount in stored.items():
        assert amount <= model.network.by_id[storage].capacity[kind]
