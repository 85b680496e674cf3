"""Kinds, places and the roads between them, with the rules about names and roads.

Nothing is ever taken out of a network. Waste travels through storages, never through an organization.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from math import isinf
from uuid import UUID

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
from waste_service.domain.distance import Distances, Ways


@dataclass(frozen=True, slots=True)
class Place:
    """An organization, or a storage: that one has a capacity for some kind. Numbers count registrations."""

    number: int
    id: UUID
    name: str
    capacity: Mapping[str, Decimal]

    @property
    def is_storage(self) -> bool:
        return bool(self.capacity)


def id_in(text: str) -> UUID | None:
    """The id that the text spells, in any way that Python's UUID parser reads."""
    try:
        return UUID(text)
    except ValueError:
        return None


def ways(origin: Place, destination: Place, *, two_way: bool) -> list[tuple[Place, Place]]:
    """From where to where a road leads."""
    return [(origin, destination), (destination, origin)] if two_way else [(origin, destination)]


class Network:
    """All kinds, places and roads, and the distances that follow from them, each found out once."""

    def __init__(self) -> None:
        self.kinds: set[str] = set()
        self.places: list[Place] = []
        self.by_id: dict[UUID, Place] = {}
        self._by_name: dict[str, Place] = {}
        self._roads: set[tuple[int, int]] = set()
        self._ways = Ways()
        self._distances: dict[int, Distances] = {}

    def copy(self) -> "Network":
        twin = Network()
        twin.kinds = self.kinds.copy()
        twin.places = self.places.copy()
        twin.by_id = self.by_id.copy()
        twin._by_name = self._by_name.copy()
        twin._roads = self._roads.copy()
        twin._ways = self._ways.copy()
        twin._distances = self._distances.copy()
        return twin

    def find(self, reference: str) -> Place | None:
        """The place with that id or name."""
        identity = id_in(reference)
        return self.by_id.get(identity) if identity else self._by_name.get(reference)

    def get(self, reference: str, field: str = "") -> Place:
        """The place; the refusal names the field that pointed at it, if one did."""
        if place := self.find(reference):
            return place
        message = f'There is neither an organization nor a storage "{reference}".'
        raise PlaceNotFound(message, errors=[{"field": field, "message": message}] if field else None)

    def get_organization(self, reference: str) -> Place:
        place = self.find(reference)
        if place is None or place.is_storage:
            raise OrganizationNotFound(f'There is no organization "{reference}".')
        return place

    def require_kinds(self, codes: Iterable[str]) -> None:
        if unknown := sorted(set(codes) - self.kinds):
            raise UnknownKind(f"Not a registered kind of waste: {', '.join(unknown)}.")

    def require_new_kind(self, code: str) -> None:
        if code in self.kinds:
            raise KindExists(f'The kind "{code}" is registered already.')

    def require_free_name(self, name: str) -> None:
        if id_in(name):
            raise NameLooksLikeId(f'"{name}" reads like an id; choose another name.')
        if name in self._by_name:
            raise NameTaken(f'There is an organization or a storage "{name}" already.')

    def require_new_road(self, origin: Place, destination: Place, *, two_way: bool) -> None:
        if origin == destination:
            raise RoadToItself(f'A road from "{origin.name}" has to lead to another place.')
        for start, end in ways(origin, destination, two_way=two_way):
            if (start.number, end.number) in self._roads:
                raise RoadExists(f'A road from "{start.name}" to "{end.name}" exists already.')

    def add_place(self, identity: UUID, name: str, capacity: Mapping[str, Decimal]) -> None:
        place = Place(len(self.places), identity, name, capacity)
        self.places.append(place)
        self.by_id[identity] = place
        self._by_name[name] = place

    def add_road(self, origin: Place, destination: Place, metres: int, *, two_way: bool) -> None:
        for start, end in ways(origin, destination, two_way=two_way):
            self._open(start, end, metres)

    def _open(self, origin: Place, destination: Place, metres: int) -> None:
        start, end = origin.number, destination.number
        self._roads.add((start, end))
        if not destination.is_storage:  # nobody's waste goes to an organization or through it
            return
        self._ways.add(start, end, metres)
        for organization, known in list(self._distances.items()):
            if known.to(start) + metres < known.to(end):
                del self._distances[organization]

    def nearest_storages(self, organization: Place) -> Iterator[tuple[Place, int]]:
        """The storages in reach with their distance in metres, nearest first, ties by registration."""
        for number, metres in islice(self._distances_from(organization), 1, None):
            yield self.places[number], metres

    def storages_out_of_reach(self, organization: Place) -> Iterator[Place]:
        known = self._distances_from(organization)
        return (place for place in self.places if place.is_storage and isinf(known.to(place.number)))

    def storages_from(self, storage: Place) -> Iterator[Place]:
        """The storage, and those that can be reached from it."""
        return (self.places[number] for number in self._reach(storage))

    def organizations_to(self, place: Place) -> set[UUID]:
        """The organizations from which the place can be reached, and the place if it is one itself."""
        before = (self.places[number] for number in self._reach(place, backwards=True))
        return {each.id for each in before if not each.is_storage}

    def _distances_from(self, organization: Place) -> Distances:
        if organization.number not in self._distances:
            self._distances[organization.number] = self._ways.distances(organization.number, len(self.places))
        return self._distances[organization.number]

    def _reach(self, place: Place, *, backwards: bool = False) -> Iterable[int]:
        return self._ways.distances(place.number, len(self.places), backwards=backwards).order
