"""Where waste goes: to the nearest storage with room for its kind, then to the next nearest; the rest waits.

Never broken: no storage holds more of a kind than its capacity; what an organization generated of a kind is
what is stored of it plus what waits. Waste waits only while no storage in its reach has room.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from shared.contracts.waste import Placement, StorageInView
from waste_service.domain.network import Network, Place

NOTHING = Decimal(0)


class Stock:
    """What each storage holds of each kind, and how much of whose waste waits."""

    def __init__(self) -> None:
        self.stored: dict[tuple[UUID, str], Decimal] = {}
        self.placements: dict[UUID, int] = {}
        self.waiting: dict[tuple[UUID, str], Decimal] = {}

    def copy(self) -> "Stock":
        twin = Stock()
        twin.stored = self.stored.copy()
        twin.placements = self.placements.copy()
        twin.waiting = self.waiting.copy()
        return twin

    def room(self, storage: Place, kind: str) -> Decimal:
        """How much of the kind the storage can still take; nothing if it does not take the kind."""
        return storage.capacity.get(kind, NOTHING) - self.stored.get((storage.id, kind), NOTHING)

    def put(self, placement: Placement) -> int:
        """Store, and give the storage's version after it: each placement makes a new one, the first is 1."""
        storage, kind = placement.storage_id, placement.kind
        self.stored[storage, kind] = self.stored.get((storage, kind), NOTHING) + placement.amount
        self.placements[storage] = self.placements.get(storage, 0) + 1
        return 1 + self.placements[storage]

    def keep_waiting(self, organization: UUID, kind: str, amount: Decimal) -> None:
        self.waiting[organization, kind] = self.waiting.get((organization, kind), NOTHING) + amount

    def stop_waiting(self, organization: UUID, kind: str, amount: Decimal) -> None:
        self.waiting[organization, kind] -= amount
        if not self.waiting[organization, kind]:
            del self.waiting[organization, kind]


@dataclass(frozen=True, slots=True)
class Plan:
    """Where amounts go, and what of them goes nowhere, by kind."""

    placements: list[Placement]
    unplaced: dict[str, Decimal]


def place(network: Network, stock: Stock, organization: Place, amounts: Mapping[str, Decimal]) -> Plan:
    """Where an organization's waste goes in the present stock, which stays as it is."""
    found = Plan([], {})
    for kind, amount in amounts.items():
        storages = (
            (storage, metres, stock.room(storage, kind))
            for storage, metres in network.nearest_storages(organization)
        )
        placements, rest = nearest_first(storages, kind, amount)
        found.placements.extend(placements)
        if rest:
            found.unplaced[kind] = rest
    return found


def nearest_first(
    storages: Iterable[tuple[Place, int, Decimal]], kind: str, amount: Decimal
) -> tuple[list[Placement], Decimal]:
    """Fill storages, given nearest first with metres and room; give the placements and what is left over."""
    placements = []
    for storage, metres, room in storages:
        if room > 0:
            portion = min(room, amount)
            placements.append(
                Placement(
                    storage=storage.name,
                    storage_id=storage.id,
                    kind=kind,
                    amount=portion,
                    distance_metres=metres,
                )
            )
            amount -= portion
            if not amount:
                break
    return placements, amount


def placeable(network: Network, stock: Stock) -> list[tuple[UUID, str]]:
    """Whose waiting waste of which kind has a storage with room in reach."""
    return [
        (organization, kind)
        for organization, kind in stock.waiting
        if any(
            stock.room(storage, kind) > 0
            for storage, _ in network.nearest_storages(network.by_id[organization])
        )
    ]


def storages_in_view(network: Network, stock: Stock, organization: Place) -> list[StorageInView]:
    """All storages as an organization sees them: nearest first, those out of reach last."""
    near = list(network.nearest_storages(organization))
    far = [(storage, None) for storage in network.storages_out_of_reach(organization)]
    return [
        StorageInView(
            id=storage.id,
            name=storage.name,
            distance_metres=metres,
            room={kind: stock.room(storage, kind) for kind in storage.capacity},
            capacity=dict(storage.capacity),
        )
        for storage, metres in [*near, *far]
    ]
