"""Names, roads, and the distances that follow from roads."""

from uuid import UUID

import networkx  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.waste.network import (
    KindExists,
    NameLooksLikeId,
    NameTaken,
    OrganizationNotFound,
    PlaceNotFound,
    RoadExists,
    RoadToItself,
    UnknownKind,
)
from waste_service.domain.network import Network
from waste_service.tests.builders import add_place, network_of

BIO = {"bio": 10}


def seen_from(network: Network, organization: str) -> list[tuple[str, int]]:
    storages = network.nearest_storages(network.get(organization))
    return [(storage.name, metres) for storage, metres in storages]


def test_the_shortest_way_may_be_the_one_with_more_roads() -> None:
    network = network_of("office > A 100", "office > B 10", "B > A 20", A=BIO, B=BIO)

    assert seen_from(network, "office") == [("B", 10), ("A", 30)]


def test_a_tie_goes_to_the_storage_registered_first_whatever_the_order_of_roads() -> None:
    network = network_of(
        "office > later 50", "office > relay 20", "relay > first 30", first=BIO, later=BIO, relay=BIO
    )

    assert seen_from(network, "office") == [("relay", 20), ("first", 50), ("later", 50)]


def test_a_one_way_road_leads_one_way() -> None:
    network = network_of("A > office 10", "B > A 10", A=BIO, B=BIO)

    assert seen_from(network, "office") == []
    assert [place.name for place in network.storages_out_of_reach(network.get("office"))] == ["A", "B"]


def test_waste_never_travels_through_another_organization() -> None:
    network = network_of("office > depot 1", "depot > A 1", "office - B 100", A=BIO, B=BIO)

    assert seen_from(network, "office") == [("B", 100)]
    assert seen_from(network, "depot") == [("A", 1)]


def test_a_new_road_that_shortens_no_way_leaves_the_known_distances_alone() -> None:
    network = network_of("office > A 10", "A > B 10", A=BIO, B=BIO)
    assert seen_from(network, "office") == [("A", 10), ("B", 20)]
    known = dict(network._distances)

    network.add_road(network.get("office"), network.get("B"), 20, two_way=False)

    assert network._distances == known
    assert known
    assert seen_from(network, "office") == [("A", 10), ("B", 20)]


def test_a_new_road_shortens_a_way_that_was_known_before() -> None:
    network = network_of("office > A 100", A=BIO, B=BIO)
    assert seen_from(network, "office") == [("A", 100)]

    network.add_road(network.get("office"), network.get("B"), 5, two_way=False)
    network.add_road(network.get("B"), network.get("A"), 5, two_way=True)

    assert seen_from(network, "office") == [("B", 5), ("A", 10)]


def test_what_changes_a_copy_leaves_the_original_alone() -> None:
    network = network_of("office > A 100", A=BIO)
    copy = network.copy()

    add_place(copy, "B", BIO)
    copy.add_road(copy.get("A"), copy.get("B"), 5, two_way=False)
    copy.kinds.add("metal")

    assert seen_from(copy, "office") == [("A", 100), ("B", 105)]
    assert seen_from(network, "office") == [("A", 100)]
    assert network.find("B") is None
    network.require_new_kind("metal")


def test_a_place_is_found_by_its_name_and_by_any_spelling_of_its_id() -> None:
    network = network_of("office > A 1", A=BIO)
    storage = network.get("A")

    for spelling in (str(storage.id), storage.id.hex, storage.id.urn, f"{{{storage.id}}}".upper()):
        assert network.get(spelling) == storage


def test_a_place_that_is_not_there_is_not_found() -> None:
    network = network_of("office > A 1", A=BIO)

    with pytest.raises(PlaceNotFound, match="nowhere"):
        network.get("nowhere")
    with pytest.raises(PlaceNotFound):
        network.get(str(UUID(int=5)))
    with pytest.raises(OrganizationNotFound):
        network.get_organization("A")


@pytest.mark.parametrize(
    "name",
    [
        "0198a3f0-1111-7222-8333-444455556666",
        "0198A3F0111172228333444455556666",
        "{0198a3f0-1111-7222-8333-444455556666}",
        "urn:uuid:0198a3f0-1111-7222-8333-444455556666",
    ],
)
def test_a_name_that_reads_like_an_id_is_refused(name: str) -> None:
    with pytest.raises(NameLooksLikeId):
        network_of().require_free_name(name)


def test_a_name_is_taken_across_organizations_and_storages() -> None:
    network = network_of("office > A 1", A=BIO)

    for name in ("office", "A"):
        with pytest.raises(NameTaken, match=name):
            network.require_free_name(name)
    network.require_free_name("B")


def test_kinds_are_registered_once_and_before_they_are_used() -> None:
    network = network_of()

    with pytest.raises(KindExists):
        network.require_new_kind("bio")
    with pytest.raises(UnknownKind, match="metal, paper"):
        network.require_kinds(["paper", "bio", "metal"])


def test_a_road_to_itself_is_refused() -> None:
    network = network_of("office > A 1", A=BIO)

    with pytest.raises(RoadToItself):
        network.require_new_road(network.get("A"), network.get("A"), two_way=False)


def test_a_second_road_the_same_way_is_refused_and_a_two_way_road_leads_both_ways() -> None:
    network = network_of("office > A 1", "A - B 1", A=BIO, B=BIO)
    office, a, b = network.get("office"), network.get("A"), network.get("B")

    for origin, destination, two_way in ((office, a, False), (a, office, True), (a, b, False), (b, a, False)):
        with pytest.raises(RoadExists):
            network.require_new_road(origin, destination, two_way=two_way)
    network.require_new_road(a, office, two_way=False)


ROADS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 20), st.booleans()),
    max_size=40,
    unique_by=lambda road: frozenset(road[:2]),
).map(lambda roads: [road for road in roads if road[0] != road[1]])


@given(roads=ROADS, organizations=st.integers(1, 3), asked_before=st.integers(0, 40))
def test_distances_are_those_of_a_second_implementation(
    roads: list[tuple[int, int, int, bool]], organizations: int, asked_before: int
) -> None:
    network, graph = Network(), networkx.DiGraph()
    places = [add_place(network, f"p{n}", {} if n < organizations else BIO) for n in range(10)]
    graph.add_nodes_from(range(10))

    for count, (origin, destination, metres, two_way) in enumerate(roads):
        if count == asked_before:
            for organization in places[:organizations]:
                list(network.nearest_storages(organization))
        network.add_road(places[origin], places[destination], metres, two_way=two_way)
        graph.add_edge(origin, destination, weight=metres)
        if two_way:
            graph.add_edge(destination, origin, weight=metres)

    for number in range(organizations):
        others = [other for other in range(organizations) if other != number]
        lengths = networkx.single_source_dijkstra_path_length(
            networkx.restricted_view(graph, others, []), number
        )
        expected = sorted((metres, place) for place, metres in lengths.items() if place != number)
        found = [(metres, storage.number) for storage, metres in network.nearest_storages(places[number])]
        assert found == expected
