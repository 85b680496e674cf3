"""States in words: networks drawn as text, and a service that lives in memory alone."""

from collections.abc import Mapping
from decimal import Decimal
from uuid import UUID

from shared.contracts.waste.generating import Placement
from shared.messages import new_id
from waste_service.domain.network import Network, Place, ways
from waste_service.domain.placement import Plan, Stock, Waiting, place, place_in_turn, placeable


def network_of(*roads: str, **capacities: Mapping[str, int]) -> Network:
    """Roads like `"office > A 100"` (one way) or `"A - B 50"` (both ways); who has no capacity generates."""
    network = Network()
    network.kinds.update({"bio", "glass", "plastic"})
    for name, capacity in capacities.items():
        add_place(network, name, capacity)
    for road in roads:
        origin, arrow, destination, metres = road.split()
        for name in (origin, destination):
            if network.find(name) is None:
                add_place(network, name)
        network.add_road(network.get(origin), network.get(destination), int(metres), two_way=arrow == "-")
    return network


def add_place(network: Network, name: str, capacity: Mapping[str, int] | None = None) -> Place:
    amounts = {kind: Decimal(amount) for kind, amount in (capacity or {}).items()}
    network.add_place(new_id(), name, amounts)
    return network.get(name)


def put_all(stock: Stock, plan: Plan) -> None:
    for placement in plan.placements:
        stock.put(placement)


class Generated:
    """One generation, as the model keeps it."""

    def __init__(self, organization: Place, amounts: Mapping[str, Decimal]):
        self.organization = organization
        self.amounts = amounts
        self.placements: list[Placement] = []
        self.unplaced: dict[str, Decimal] = {}


class Model:
    """The service without a store: the same decisions, kept in lists."""

    def __init__(self) -> None:
        self.network = network_of()
        self.stock = Stock()
        self.generations: list[Generated] = []

    def generate(self, organization: Place, amounts: Mapping[str, Decimal]) -> Generated:
        plan = place(self.network, self.stock, organization, amounts)
        generated = Generated(organization, amounts)
        generated.placements += plan.placements
        generated.unplaced |= plan.unplaced
        put_all(self.stock, plan)
        for kind, amount in plan.unplaced.items():
            self.stock.keep_waiting(organization.id, kind, amount)
        self.generations.append(generated)
        return generated

    def add_road(self, origin: Place, destination: Place, metres: int, *, two_way: bool) -> None:
        self.network.add_road(origin, destination, metres, two_way=two_way)
        opened = ways(origin, destination, two_way=two_way)
        whose = placeable(self.network, self.stock, opened)
        for waiting, plan in place_in_turn(self.network, self.stock, self._waiting(whose)):
            generated = self.generations[waiting.number]
            put_all(self.stock, plan)
            generated.placements += plan.placements
            generated.unplaced.update(plan.unplaced)
            if not plan.unplaced:
                del generated.unplaced[waiting.kind]
            placed = waiting.amount - plan.unplaced.get(waiting.kind, 0)
            self.stock.stop_waiting(waiting.organization, waiting.kind, placed)

    def _waiting(self, whose: set[tuple[UUID, str]]) -> list[Waiting]:
        return [
            Waiting(number, UUID(int=number), generated.organization.id, kind, amount, 1)
            for number, generated in enumerate(self.generations)
            for kind, amount in generated.unplaced.items()
            if (generated.organization.id, kind) in whose
        ]
