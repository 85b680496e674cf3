"""Kinds, places and roads in PostgreSQL."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import text

from shared.contracts.waste.amounts import KindCode
from shared.contracts.waste.network import (
    Kind,
    Kinds,
    ListKinds,
    ListOrganizations,
    ListRoads,
    ListStorages,
    Organization,
    OrganizationNotFound,
    Organizations,
    Road,
    Roads,
    Storage,
    StorageNotFound,
    Storages,
)
from shared.handling import Work
from shared.journal_sql import Prepared, sql
from shared.messages import new_id
from waste_service.domain.network import Place, id_in
from waste_service.store.pages import Listing, RowNumber
from waste_service.store.present import Present, present

INSERT_KIND = text("INSERT INTO kinds (code, title) VALUES (:code, :title)")
INSERT_PLACE = text("""
    INSERT INTO places (id, name, is_storage, created_at) VALUES (:id, :name, :is_storage, :created_at)""")
INSERT_CAPACITY = text("""
    INSERT INTO capacities (storage, kind, capacity) VALUES (:storage, :kind, :capacity)""")
INSERT_ROAD = text("""
    INSERT INTO roads (id, origin, destination, metres, two_way, created_at)
    VALUES (:id, :origin_id, :destination_id, :metres, :two_way, :created_at)""")
GET_ORGANIZATION = Prepared(
    "SELECT id, name, created_at FROM places WHERE NOT is_storage AND (id = :id OR name = :name)"
)
GET_STORAGE = Prepared("""
    SELECT id, name, created_at, kind, capacity, stored, placements
    FROM places JOIN capacities ON storage = id WHERE id = :id OR name = :name ORDER BY kind""")


class NetworkStore:
    """What is added here is in the present network at once.

    Rows that others refer to are sent at once as well: what a later command of the batch writes about them
    may belong to a group of writes that leaves earlier.
    """

    def __init__(self, work: Work):
        self.transaction = sql(work)
        self.now = work.now

    async def present(self) -> Present:
        return await present(self.transaction)

    async def add_kind(self, code: str, title: str) -> Kind:
        (await self.present()).change_network().kinds.add(code)
        self.transaction.write(INSERT_KIND, {"code": code, "title": title})
        await self.transaction.flush()
        return Kind(code=code, title=title)

    async def list_kinds(self, query: ListKinds) -> Kinds:
        return await KINDS.page(self.transaction, query)

    async def add_organization(self, name: str) -> Organization:
        organization = Organization(id=new_id(), name=name, created_at=self.now)
        await self._add_place(organization.id, name, {})
        return organization

    async def get_organization(self, reference: str) -> Organization:
        for row in await self.transaction.rows(GET_ORGANIZATION, _pointing(reference)):
            return Organization.model_validate(row)
        raise OrganizationNotFound(f'There is no organization "{reference}".')

    async def list_organizations(self, query: ListOrganizations) -> Organizations:
        return await ORGANIZATIONS.page(self.transaction, query)

    async def add_storage(self, name: str, capacity: dict[str, Decimal]) -> Storage:
        storage = Storage(
            id=new_id(), name=name, capacity=capacity, room=capacity, created_at=self.now, version=1
        )
        await self._add_place(storage.id, name, capacity)
        return storage

    async def _add_place(self, identity: UUID, name: str, capacity: Mapping[str, Decimal]) -> None:
        (await self.present()).change_network().add_place(identity, name, capacity)
        self.transaction.write(
            INSERT_PLACE,
            {"id": identity, "name": name, "is_storage": bool(capacity), "created_at": self.now},
        )
        for kind, amount in capacity.items():
            self.transaction.write(INSERT_CAPACITY, {"storage": identity, "kind": kind, "capacity": amount})
        await self.transaction.flush()

    async def get_storage(self, reference: str) -> Storage:
        rows = await self.transaction.rows(GET_STORAGE, _pointing(reference))
        if not rows:
            raise StorageNotFound(f'There is no storage "{reference}".')
        return _storage(rows)

    async def list_storages(self, query: ListStorages) -> Storages:
        return await STORAGES.page(self.transaction, query)

    async def add_road(self, origin: Place, destination: Place, metres: int, *, two_way: bool) -> Road:
        (await self.present()).change_network().add_road(origin, destination, metres, two_way=two_way)
        road = Road(
            id=new_id(),
            origin=origin.name,
            origin_id=origin.id,
            destination=destination.name,
            destination_id=destination.id,
            metres=metres,
            two_way=two_way,
            created_at=self.now,
        )
        self.transaction.write(INSERT_ROAD, road.model_dump(by_alias=False))
        return road

    async def list_roads(self, query: ListRoads) -> Roads:
        return await ROADS.page(self.transaction, query)


def _pointing(reference: str) -> dict[str, Any]:
    return {"id": id_in(reference), "name": reference}


def _storage(rows: Sequence[dict[str, Any]]) -> Storage:
    """A storage from its rows, one for each kind; its version grows with each placement."""
    return Storage(
        id=rows[0]["id"],
        name=rows[0]["name"],
        capacity={row["kind"]: row["capacity"] for row in rows},
        room={row["kind"]: row["capacity"] - row["stored"] for row in rows},
        created_at=rows[0]["created_at"],
        version=1 + sum(row["placements"] for row in rows),
    )


KINDS = Listing(
    Prepared("SELECT code AS position, code, title FROM kinds WHERE code > :last ORDER BY code LIMIT :limit"),
    TypeAdapter(tuple[KindCode]),
    "",
    lambda rows: Kind.model_validate(rows[0]),
)
ORGANIZATIONS = Listing(
    Prepared("""
        SELECT number AS position, id, name, created_at FROM places
        WHERE NOT is_storage AND number > :last ORDER BY number LIMIT :limit"""),
    TypeAdapter(tuple[RowNumber]),
    0,
    lambda rows: Organization.model_validate(rows[0]),
)
STORAGES = Listing(
    Prepared("""
        SELECT number AS position, id, name, created_at, kind, capacity, stored, placements
        FROM (SELECT * FROM places WHERE is_storage AND number > :last ORDER BY number LIMIT :limit) AS those
        JOIN capacities ON storage = id ORDER BY number, kind"""),
    TypeAdapter(tuple[RowNumber]),
    0,
    _storage,
)
ROADS = Listing(
    Prepared("""
        SELECT those.number AS position, those.id, a.name AS origin, a.id AS origin_id,
            b.name AS destination, b.id AS destination_id, metres, two_way, those.created_at
        FROM (SELECT * FROM roads WHERE number > :last ORDER BY number LIMIT :limit) AS those
        JOIN places a ON a.id = origin JOIN places b ON b.id = destination ORDER BY those.number"""),
    TypeAdapter(tuple[RowNumber]),
    0,
    lambda rows: Road.model_validate(rows[0]),
)
