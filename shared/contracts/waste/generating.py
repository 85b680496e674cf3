"""Generating waste: where it goes, what waits, and what an organization sees of the storages."""

from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from shared.contracts.waste.amounts import Amounts, KindCode
from shared.contracts.waste.network import OrganizationIdOrName, OrganizationNotFound, Storage, UnknownKind
from shared.contracts.waste.pages import PageQuery
from shared.messages import Answer, BadCursor, Command, Event, NotFound, Number, Page, Query, Resource

GeneratedAmounts = Annotated[Amounts, Field(examples=[{"glass": 50, "bio": 5}])]
GenerationId = Annotated[UUID, Field(examples=["0199d6c1-11d3-7c0e-8a4f-2b9e5d7c6a01"])]


class GenerationNotFound(NotFound):
    """There is no generation of waste with that id."""


class Placement(Answer):
    """An amount of one kind that went to one storage, by the way that was shortest at that time."""

    storage: str = Field(examples=["МНО 1"])
    storage_id: UUID
    kind: KindCode
    amount: Number = Field(examples=[50])
    distance_metres: int = Field(examples=[100])


class Generation(Resource, path="/waste/generations/{id}"):
    """What an organization generated at once: amounts = placements + unplaced, for each kind, at any time.

    What is unplaced waits for room; the version grows when some of it is placed later.
    """

    id: GenerationId
    organization: str = Field(examples=["ОО 1"])
    organization_id: UUID
    amounts: dict[KindCode, Number] = Field(examples=[{"bio": 5, "glass": 50}])
    placements: list[Placement]
    unplaced: dict[KindCode, Number] = Field(examples=[{"bio": 5}])
    created_at: AwareDatetime


class StorageInView(Answer):
    """A storage as an organization sees it: how far, how much room. No distance: no road leads there."""

    id: UUID
    name: str = Field(examples=["МНО 1"])
    distance_metres: int | None = Field(examples=[100])
    room: dict[KindCode, Number] = Field(examples=[{"glass": 250, "plastic": 100}])
    capacity: dict[KindCode, Number] = Field(examples=[{"glass": 300, "plastic": 100}])


class Generations(Page):
    """What an organization generated, the latest first."""

    items: list[Generation]


class StoragesInView(Page):
    """Storages, the nearest first, those out of reach last."""

    items: list[StorageInView]


class GenerateWaste(
    Command[Generation],
    queue="waste.generate_waste",
    refusals=(OrganizationNotFound, UnknownKind),
):
    """Generate waste: it goes to the nearest storages with room, what fits nowhere waits."""

    organization: OrganizationIdOrName
    amounts: GeneratedAmounts


class GetGeneration(Query[Generation], queue="waste.get_generation", refusals=(GenerationNotFound,)):
    """Look up where the waste of one generation went."""

    generation: GenerationId


class ListGenerations(
    PageQuery[Generations],
    queue="waste.list_generations",
    refusals=(OrganizationNotFound, BadCursor),
):
    """List what an organization generated, the latest first."""

    organization: OrganizationIdOrName


class FindStorages(
    PageQuery[StoragesInView],
    queue="waste.find_storages",
    refusals=(OrganizationNotFound, BadCursor),
):
    """Find what an organization sees of all storages: how far each one is, how much room it has.

    A road that is added between two pages may bring a storage nearer, and so before the page.
    """

    organization: OrganizationIdOrName


class WasteGenerated(Event, routing_key="waste.waste_generated"):
    """An organization generated waste; the first placements are in it."""

    generation: Generation


class WasteStored(Event, routing_key="waste.waste_stored"):
    """An amount of waste went to a storage: one event for each placement.

    The versions are those of the generation and of the storage after this placement.
    """

    generation_id: GenerationId
    generation_version: int
    organization: str = Field(examples=["ОО 1"])
    organization_id: UUID
    storage: str = Field(examples=["МНО 1"])
    storage_id: UUID
    storage_version: int = Field(examples=[2])
    kind: KindCode
    amount: Number = Field(examples=[50])
    distance_metres: int = Field(examples=[100])

    def versions(self) -> dict[str, int]:
        return {
            Generation.address_of(self.generation_id): self.generation_version,
            Storage.address_of(self.storage_id): self.storage_version,
        }
