"""Waste by REST; what it means stands in shared/contracts/waste/."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from gateway.asking import Ask
from shared.contracts.waste.generating import (
    FindStorages,
    GeneratedAmounts,
    GenerateWaste,
    Generation,
    GenerationId,
    Generations,
    GetGeneration,
    ListGenerations,
    StoragesInView,
)
from shared.contracts.waste.network import (
    AddRoad,
    GetOrganization,
    GetStorage,
    Kind,
    Kinds,
    ListKinds,
    ListOrganizations,
    ListRoads,
    ListStorages,
    Organization,
    OrganizationIdOrName,
    Organizations,
    RegisterKind,
    RegisterOrganization,
    RegisterStorage,
    Road,
    Roads,
    Storage,
    StorageIdOrName,
    Storages,
)
from shared.contracts.waste.pages import WhichPage

router = APIRouter(prefix="/waste", tags=["waste"])

Which = Annotated[WhichPage, Query()]


class Waste(BaseModel):
    """What an organization generates at once."""

    model_config = ConfigDict(extra="forbid")

    amounts: GeneratedAmounts


@router.post("/kinds", status_code=201, summary="Register a kind of waste")
async def register_kind(command: RegisterKind, ask: Ask) -> Kind:
    return await ask(command)


@router.get("/kinds", summary="List the kinds of waste")
async def list_kinds(query: Annotated[ListKinds, Query()], ask: Ask) -> Kinds:
    """By code. A `Link` with `rel="next"` leads to the next page."""
    return await ask(query)


@router.post("/organizations", status_code=201, summary="Register an organization")
async def register_organization(command: RegisterOrganization, ask: Ask) -> Organization:
    return await ask(command)


@router.get("/organizations", summary="List the organizations")
async def list_organizations(query: Annotated[ListOrganizations, Query()], ask: Ask) -> Organizations:
    """In the order of registration. A `Link` with `rel="next"` leads to the next page."""
    return await ask(query)


@router.get("/organizations/{organization}", summary="Look an organization up by its id or name")
async def get_organization(organization: OrganizationIdOrName, ask: Ask) -> Organization:
    return await ask(GetOrganization(organization=organization))


@router.post("/storages", status_code=201, summary="Register a storage")
async def register_storage(command: RegisterStorage, ask: Ask) -> Storage:
    return await ask(command)


@router.get("/storages", summary="List the storages with their room by kind")
async def list_storages(query: Annotated[ListStorages, Query()], ask: Ask) -> Storages:
    """In the order of registration. A `Link` with `rel="next"` leads to the next page."""
    return await ask(query)


@router.get("/storages/{storage}", summary="Look a storage up by its id or name")
async def get_storage(storage: StorageIdOrName, ask: Ask) -> Storage:
    return await ask(GetStorage(storage=storage))


@router.post("/roads", status_code=201, summary="Add a road")
async def add_road(command: AddRoad, ask: Ask) -> Road:
    """Waste that waited for this road is placed at once, the oldest first."""
    return await ask(command)


@router.get("/roads", summary="List the roads")
async def list_roads(query: Annotated[ListRoads, Query()], ask: Ask) -> Roads:
    """In the order they were added. A `Link` with `rel="next"` leads to the next page."""
    return await ask(query)


@router.post("/organizations/{organization}/waste", status_code=201, summary="Generate waste")
async def generate_waste(organization: OrganizationIdOrName, waste: Waste, ask: Ask) -> Generation:
    """Each kind goes to the nearest storage with room, then to the next; what fits nowhere waits."""
    return await ask(GenerateWaste(organization=organization, amounts=waste.amounts))


@router.get("/organizations/{organization}/waste", summary="List what an organization generated")
async def list_generations(organization: OrganizationIdOrName, which: Which, ask: Ask) -> Generations:
    """The latest first. A `Link` with `rel="next"` leads to the next page."""
    return await ask(ListGenerations(organization=organization, **which.model_dump()))


@router.get("/organizations/{organization}/storages", summary="See the distance and room of any storage")
async def find_storages(organization: OrganizationIdOrName, which: Which, ask: Ask) -> StoragesInView:
    """All storages, the nearest first; those that no road leads to are last and have no distance.

    A `Link` with `rel="next"` leads to the next page.
    """
    return await ask(FindStorages(organization=organization, **which.model_dump()))


@router.get("/generations/{generation}", summary="Look up where the waste of one generation went")
async def get_generation(generation: GenerationId, ask: Ask) -> Generation:
    return await ask(GetGeneration(generation=generation))
