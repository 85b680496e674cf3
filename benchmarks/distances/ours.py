"""waste_service's network: distances cold and remembered, a placement, the first command after a new road.

As a program with the size as its argument.
"""

import sys
from decimal import Decimal
from statistics import median
from time import perf_counter
from uuid import uuid4

from benchmarks.distances.roads import STORAGES, repeated, roads, say
from waste_service.domain.network import Network, Place
from waste_service.domain.placement import Stock, place

AMOUNTS = {"bio": Decimal(1)}
CAPACITY = {"bio": Decimal(1_000)}
REMEMBERED_TIMES = 1_000


def network_of(size: int) -> tuple[Network, Place]:
    network = Network()
    for number in range(STORAGES * size):
        network.add_place(uuid4(), f"storage {number}", CAPACITY)
    network.add_place(uuid4(), "organization", {})
    organization = network.places[-1]
    for start, end, metres, two_way in roads(size):
        network.add_road(network.places[start], network.places[end], metres, two_way=two_way)
    network.add_place(uuid4(), "another organization", {})
    find_distances(
        network, network.places[-1]
    )  # puts the ways in order, as SciPy's matrix is made beforehand
    return network, organization


def find_distances(network: Network, organization: Place) -> None:
    """All of them are known when the first is told."""
    next(network.nearest_storages(organization), None)


def cold(network: Network, organization: Place, times: int) -> float:
    """A network's copy remembers what it knew: each begins as one that knows no distance."""
    copies = [network.copy() for _ in range(times)]
    return median(repeated(lambda one=one: find_distances(one, organization), 1) for one in copies)  # type: ignore[misc]


def first_after_a_road(network: Network, organization: Place, times: int) -> float:
    """As the service does: a changed copy, in which the new road has shortened ways; then a placement."""
    (nearest, _), *_, (farthest, _) = network.nearest_storages(organization)
    lasted = []
    for _ in range(times):
        began = perf_counter()
        changed = network.copy()
        changed.add_road(nearest, farthest, 1, two_way=True)
        place(changed, Stock(), organization, AMOUNTS)
        lasted.append(perf_counter() - began)
    return median(lasted)


def main() -> None:
    size = int(sys.argv[1])
    network, organization = network_of(size)
    times = max(3, 12 // size)
    found_cold = cold(network, organization, times)
    distances = [metres for _, metres in network.nearest_storages(organization)]
    say(
        len(distances),
        sum(distances),
        cold=found_cold,
        unchanged=repeated(lambda: find_distances(network, organization), REMEMBERED_TIMES),
        placement=repeated(lambda: place(network, Stock(), organization, AMOUNTS), REMEMBERED_TIMES),
        after_a_road=first_after_a_road(network, organization, times),
    )


if __name__ == "__main__":
    main()
