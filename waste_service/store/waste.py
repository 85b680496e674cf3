"""Generations, their placements, and what waits, in PostgreSQL."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import BigInteger, Executable, Numeric, TableClause, Text, Uuid, column, table, text

from shared.contracts.waste.generating import (
    Generation,
    GenerationNotFound,
    Generations,
    ListGenerations,
    Placement,
    WasteStored,
)
from shared.handling import Work
from shared.journal_sql import TIME, Prepared, sql
from shared.messages import new_id
from waste_service.domain.network import Place
from waste_service.domain.placement import Plan, Waiting
from waste_service.store.pages import LAST_NUMBER, Listing, RowNumber
from waste_service.store.present import Present, present

GENERATIONS = table(
    "generations", column("id", Uuid), column("organization", Uuid), column("created_at", TIME)
)
AMOUNTS = table("amounts", column("generation", Uuid), column("kind", Text), column("amount", Numeric))
WAITING = table(
    "waiting",
    *(
        column("generation", Uuid),
        column("organization", Uuid),
        column("kind", Text),
        column("amount", Numeric),
    ),
)
PLACEMENTS = table(
    "placements",
    *(column("generation", Uuid), column("storage", Uuid), column("kind", Text), column("amount", Numeric)),
    *(column("distance_metres", BigInteger), column("stored_at", TIME)),
)
# As a rule once a batch, with a list for each column: a storage that many fill is written once.
FILL = text("""
    UPDATE capacities SET stored = stored + filled.amount, placements = placements + filled.count
    FROM (
        SELECT storage, kind, sum(amount) AS amount, count(*) AS count
        FROM unnest(CAST(:storage AS uuid[]), CAST(:kind AS text[]), CAST(:amount AS numeric[]))
        AS put (storage, kind, amount) GROUP BY storage, kind
    ) AS filled
    WHERE capacities.storage = filled.storage AND capacities.kind = filled.kind""")
OLDEST_WAITING = Prepared("""
    SELECT w.number, w.generation, w.organization, w.kind, w.amount, g.version
    FROM waiting w JOIN generations g ON g.id = w.generation
    WHERE (w.organization, w.kind) IN (
        SELECT * FROM unnest(CAST(:organizations AS uuid[]), CAST(:kinds AS text[])))
    ORDER BY w.number LIMIT 500""")
SHRINK_WAITING = text("UPDATE waiting SET amount = :amount WHERE number = :number")
REMOVE_WAITING = text("DELETE FROM waiting WHERE number = :number")
RENEW_GENERATION = text("UPDATE generations SET version = :version WHERE id = :id")

SHOWN = """
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
GET_GENERATION = Prepared(SHOWN.format(those="SELECT * FROM generations WHERE id = :id"))
LIST_GENERATIONS = Prepared(
    SHOWN.format(
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
        stock = (await self.present()).change_stock()
        row = {"id": generation.id, "organization": organization.id, "created_at": self.now}
        self.transaction.write(GENERATIONS, row)
        for kind, amount in amounts.items():
            of_kind = {"generation": generation.id, "kind": kind, "amount": amount}
            self.transaction.write(AMOUNTS, of_kind)
        stored = await self._put([(organization, generation.id, 1, plan)])
        for kind, amount in plan.unplaced.items():
            stock.keep_waiting(organization.id, kind, amount)
            of_kind = {"generation": generation.id, "kind": kind, "amount": amount}
            self.transaction.write(WAITING, of_kind | {"organization": organization.id})
        return generation, stored

    async def oldest_waiting(self, whose: Collection[tuple[UUID, str]]) -> list[Waiting]:
        """At most 500 of what waits of the given organizations and kinds, the oldest first."""
        organizations, kinds = zip(*whose, strict=True)
        rows = await self.transaction.rows(
            OLDEST_WAITING, {"organizations": list(organizations), "kinds": list(kinds)}
        )
        return [Waiting(**row) for row in rows]

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
        """Store what is planned for generations in these versions."""
        stock = (await self.present()).change_stock()
        stored = [
            WasteStored(
                generation_id=generation,
                generation_version=version,
                organization=organization.name,
                organization_id=organization.id,
                storage_version=stock.put(placement),
                **placement.model_dump(),
            )
            for organization, generation, version, plan in plans
            for placement in plan.placements
        ]
        self._write_all(PLACEMENTS, map(self._row_of, stored))
        if stored:
            filled = self.transaction.grow(FILL, lambda: {"storage": [], "kind": [], "amount": []})
            for one in stored:
                filled["storage"].append(one.storage_id)
                filled["kind"].append(one.kind)
                filled["amount"].append(one.amount)
        return stored

    def _row_of(self, stored: WasteStored) -> dict[str, Any]:
        return {
            "generation": stored.generation_id,
            "storage": stored.storage_id,
            "kind": stored.kind,
            "amount": stored.amount,
            "distance_metres": stored.distance_metres,
            "stored_at": self.now,
        }

    def _write_all(self, target: Executable | TableClause, rows: Iterable[Mapping[str, Any]]) -> None:
        """Writes of one kind in a row leave together."""
        for row in rows:
            self.transaction.write(target, row)

    async def get_generation(self, identity: UUID) -> Generation:
        rows = await self.transaction.rows(GET_GENERATION, {"id": identity})
        if not rows:
            raise GenerationNotFound(f"There is no generation {identity}.")
        return _generation(rows)

    async def list_generations(self, query: ListGenerations, organization: UUID) -> Generations:
        return await OF_ORGANIZATION.page(self.transaction, query, organization=organization)


def _generation(rows: Sequence[dict[str, Any]]) -> Generation:
    """A generation from its rows, one for each placement and for each kind that has none."""
    return Generation(
        id=rows[0]["id"],
        organization=rows[0]["organization"],
        organization_id=rows[0]["organization_id"],
        amounts={row["kind"]: row["generated"] for row in rows},
        placements=[Placement.model_validate(row) for row in rows if row["storage"]],
        unplaced={row["kind"]: row["waiting"] for row in rows if row["waiting"]},
        created_at=rows[0]["created_at"],
        version=rows[0]["version"],
    )


OF_ORGANIZATION = Listing(LIST_GENERATIONS, TypeAdapter(tuple[RowNumber]), LAST_NUMBER, _generation)
