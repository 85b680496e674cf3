"""Where waste goes: to the nearest storage with room for its kind, then to the next nearest; the rest waits.

Never broken: no storage holds more of a kind than its capacity; what an organization generated of a kind is
what is stored of it plus what waits. Waste waits only while no storage in its reach has room.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from uuid import UUID

from shared.contracts.waste.generating import Placement, StorageInView
from waste_service.domain.network import Network, Place

NOTHING = Decimal(0)

InView = tuple[bool, int, int]
"""Where a storage stands in an organization's view: out of reach, metres, number."""

NEAREST: InView = (False, 0, 0)
"""Before all: every road is at least one metre long."""


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
class Waiting:
    """What waits of one kind of one generation; the version is the generation's. Numbers grow with time."""

    number: int
    generation: UUID
    organization: UUID
    kind: str
    amount: Decimal
    version: int


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


def placeable(network: Network, stock: Stock, opened: Iterable[tuple[Place, Place]]) -> set[tuple[UUID, str]]:
    """Whose waiting waste of which kind has room in reach, now that these ways from place to place are open.

    Without them nothing that waits had room in reach, so room lies behind them or nowhere.
    """
    kinds_waiting = {kind for _, kind in stock.waiting}
    found: set[tuple[UUID, str]] = set()
    for start, end in opened:
        if kinds_waiting and end.is_storage:
            behind = list(network.storages_from(end))
            kinds = {kind for kind in kinds_waiting if any(stock.room(one, kind) > 0 for one in behind)}
            before = network.organizations_to(start) if kinds else set()
            found.update(whose for whose in stock.waiting if whose[0] in before and whose[1] in kinds)
    return found


def place_in_turn(network: Network, stock: Stock, waiting: Iterable[Waiting]) -> list[tuple[Waiting, Plan]]:
    """Where what waits goes, each after the one before; not what finds no room. The stock stays as it is."""
    stock = stock.copy()
    found = []
    for one in waiting:
        plan = place(network, stock, network.by_id[one.organization], {one.kind: one.amount})
        for placement in plan.placements:
            stock.put(placement)
        if plan.placements:
            found.append((one, plan))
    return found


def storages_in_view(
    network: Network, stock: Stock, organization: Place, last: InView = NEAREST
) -> Iterator[tuple[InView, StorageInView]]:
    """What an organization sees after the last storage that it saw: nearest first, out of reach last."""
    near = network.nearest_storages(organization)
    far = ((storage, None) for storage in network.storages_out_of_reach(organization))
    for storage, metres in chain(near, far):
        position = (metres is None, metres or 0, storage.number)
        if position > last:
            yield (
                position,
                StorageInView(
                    id=storage.id,
                    name=storage.name,
                    distance_metres=metres,
                    room={kind: stock.room(storage, kind) for kind in storage.capacity},
                    capacity=dict(storage.capacity),
                ),
            )
