"""Generations, their placements, and what waits, in PostgreSQL."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import Executable, Row, text

from shared.contracts.waste.generating import (
    Generation,
    GenerationNotFound,
    Generations,
    ListGenerations,
    Placement,
    WasteStored,
)
from shared.handling import Work
from shared.journal_sql import sql
from shared.messages import new_id
from waste_service.domain.network import Place
from waste_service.domain.placement import Plan, Waiting
from waste_service.store.pages import LAST_NUMBER, Listing, RowNumber
from waste_service.store.present import Present, present

INSERT_GENERATION = text("""
    INSERT INTO generations (id, organization, created_at) VALUES (:id, :organization, :created_at)""")
INSERT_AMOUNT = text("""
    INSERT INTO amounts (generation, kind, amount) VALUES (:generation, :kind, :amount)""")
INSERT_PLACEMENT = text("""
    INSERT INTO placements (generation, storage, kind, amount, distance_metres, stored_at)
    VALUES (:generation, :storage, :kind, :amount, :distance_metres, :stored_at)""")
FILL_STORAGE = text("""
    UPDATE capacities SET stored = stored + :amount, placements = placements + :count
    WHERE storage = :storage AND kind = :kind""")
INSERT_WAITING = text("""
    INSERT INTO waiting (generation, organization, kind, amount)
    VALUES (:generation, :organization, :kind, :amount)""")
OLDEST_WAITING = text("""
    SELECT w.number, w.generation, w.organization, w.kind, w.amount, g.version
    FROM waiting w JOIN generations g ON g.id = w.generation
    WHERE (w.organization, w.kind) IN (
        SELECT * FROM unnest(CAST(:organizations AS uuid[]), CAST(:kinds AS text[])))
    ORDER BY w.number LIMIT 500""")
SHRINK_WAITING = text("UPDATE waiting SET amount = :amount WHERE number = :number")
REMOVE_WAITING = text("DELETE FROM waiting WHERE number = :number")
RENEW_GENERATION = text("UPDATE generations SET version = :version WHERE id = :id")

GENERATIONS = """
    SELECT g.number AS position, g.id, g.created_at, g.version,
        o.name AS organization, o.id AS organization_id,
        a.kind, a.amount AS generated, w.amount AS waiting,
        s.name AS storage, s.id AS storage_id, p.amount, p.distance_metres
    FROM ({those}) AS g
    JOIN places o ON o.id = g.organization
    JOIN amounts a ON a.generation = g.id
    LEFT JOIN waiting w ON w.generation = g.id AND w.kind = a.kind
    LEFT JOIN placements p ON p.generation = g.id AND p.kind = a.kind
    LEFT JOIN places s ON s.id = p.storage
    ORDER BY g.number DESC, p.number"""
# One statement, so that what a query shows is of one moment: generated = stored + waiting.
GET_GENERATION = text(GENERATIONS.format(those="SELECT * FROM generations WHERE id = :id"))
LIST_GENERATIONS = text(
    GENERATIONS.format(
        those="""
        SELECT * FROM generations WHERE organization = :organization AND number < :last
        ORDER BY number DESC LIMIT :limit"""
    )
)


class WasteStore:
    """What is added or placed here is in the present stock at once."""

    def __init__(self, work: Work):
        self.transaction = sql(work)
        self.now = work.now
        self._versions: dict[UUID, int] = {}

    async def present(self) -> Present:
        return await present(self.transaction)

    async def add_generation(
        self, organization: Place, amounts: dict[str, Decimal], plan: Plan
    ) -> tuple[Generation, list[WasteStored]]:
        """The generation, and an event for each placement."""
        generation = Generation(
            id=new_id(),
            organization=organization.name,
            organization_id=organization.id,
            amounts=amounts,
            placements=plan.placements,
            unplaced=plan.unplaced,
            created_at=self.now,
            version=1,
        )
        self.transaction.write(
            INSERT_GENERATION,
            {"id": generation.id, "organization": organization.id, "created_at": self.now},
        )
        for kind, amount in amounts.items():
            self.transaction.write(
                INSERT_AMOUNT, {"generation": generation.id, "kind": kind, "amount": amount}
            )
        stored = await self._put([(organization, generation.id, 1, plan)])
        stock = (await self.present()).change_stock()
        for kind, amount in plan.unplaced.items():
            stock.keep_waiting(organization.id, kind, amount)
            self.transaction.write(
                INSERT_WAITING,
                {
                    "generation": generation.id,
                    "organization": organization.id,
                    "kind": kind,
                    "amount": amount,
                },
            )
        return generation, stored

    async def oldest_waiting(self, whose: Collection[tuple[UUID, str]]) -> list[Waiting]:
        """At most 500 of what waits of the given organizations and kinds, the oldest first."""
        organizations, kinds = zip(*whose, strict=True)
        rows = await self.transaction.read(
            OLDEST_WAITING, {"organizations": list(organizations), "kinds": list(kinds)}
        )
        return [Waiting(**row._mapping) for row in rows]

    async def place_waiting(self, plans: Sequence[tuple[Waiting, Plan]]) -> list[WasteStored]:
        """Place what waited, or parts of it: each a new version of its generation."""
        present = await self.present()
        stock = present.change_stock()
        shrunk, removed, renewed, put = [], [], {}, []
        for waiting, plan in plans:
            left = plan.unplaced.get(waiting.kind, Decimal(0))
            stock.stop_waiting(waiting.organization, waiting.kind, waiting.amount - left)
            if left:
                shrunk.append({"number": waiting.number, "amount": left})
            else:
                removed.append({"number": waiting.number})
            version = self._versions.get(waiting.generation, waiting.version) + 1
            self._versions[waiting.generation] = renewed[waiting.generation] = version
            put.append((present.network.by_id[waiting.organization], waiting.generation, version, plan))
        self._write_all(SHRINK_WAITING, shrunk)
        self._write_all(REMOVE_WAITING, removed)
        self._write_all(
            RENEW_GENERATION, [{"id": id_, "version": version} for id_, version in renewed.items()]
        )
        return await self._put(put)

    async def _put(self, plans: Sequence[tuple[Place, UUID, int, Plan]]) -> list[WasteStored]:
        """Store what is planned for generations in these versions; a storage's row is written once."""
        stock = (await self.present()).change_stock()
        rows, stored = [], []
        filled: dict[tuple[UUID, str], list[Decimal]] = defaultdict(list)
        for organization, generation, version, plan in plans:
            for placement in plan.placements:
                filled[placement.storage_id, placement.kind].append(placement.amount)
                rows.append(
                    {
                        "generation": generation,
                        "storage": placement.storage_id,
                        "kind": placement.kind,
                        "amount": placement.amount,
                        "distance_metres": placement.distance_metres,
                        "stored_at": self.now,
                    }
                )
                stored.append(
                    WasteStored(
                        generation_id=generation,
                        generation_version=version,
                        organization=organization.name,
                        organization_id=organization.id,
                        storage_version=stock.put(placement),
                        **placement.model_dump(),
                    )
                )
        self._write_all(
            FILL_STORAGE,
            [
                {"storage": storage, "kind": kind, "amount": sum(amounts), "count": len(amounts)}
                for (storage, kind), amounts in filled.items()
            ],
        )
        self._write_all(INSERT_PLACEMENT, rows)
        return stored

    def _write_all(self, statement: Executable, rows: Iterable[Mapping[str, Any]]) -> None:
        """Rows of one statement in a row leave together."""
        for row in rows:
            self.transaction.write(statement, row)

    async def get_generation(self, identity: UUID) -> Generation:
        rows = (await self.transaction.read(GET_GENERATION, {"id": identity})).all()
        if not rows:
            raise GenerationNotFound(f"There is no generation {identity}.")
        return _generation(rows)

    async def list_generations(self, query: ListGenerations, organization: UUID) -> Generations:
        return await OF_ORGANIZATION.page(self.transaction, query, organization=organization)


def _generation(rows: Sequence[Row[Any]]) -> Generation:
    """A generation from its rows, one for each placement and for each kind that has none."""
    return Generation(
        id=rows[0].id,
        organization=rows[0].organization,
        organization_id=rows[0].organization_id,
        amounts={row.kind: row.generated for row in rows},
        placements=[Placement.model_validate(row._mapping) for row in rows if row.storage],
        unplaced={row.kind: row.waiting for row in rows if row.waiting},
        created_at=rows[0].created_at,
        version=rows[0].version,
    )


OF_ORGANIZATION = Listing(LIST_GENERATIONS, TypeAdapter(tuple[RowNumber]), LAST_NUMBER, _generation)
