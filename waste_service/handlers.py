"""What waste_service hears: one function a message, each in five beats: load, decide, save, say, answer."""

from itertools import islice

from shared.contracts.waste.generating import (
    FindStorages,
    GenerateWaste,
    Generation,
    Generations,
    GetGeneration,
    ListGenerations,
    StoragesInView,
    WasteGenerated,
    WasteStored,
)
from shared.contracts.waste.network import (
    AddRoad,
    GetOrganization,
    GetStorage,
    Kind,
    KindRegistered,
    Kinds,
    ListKinds,
    ListOrganizations,
    ListRoads,
    ListStorages,
    Organization,
    OrganizationRegistered,
    Organizations,
    RegisterKind,
    RegisterOrganization,
    RegisterStorage,
    Road,
    RoadAdded,
    Roads,
    Storage,
    StorageRegistered,
    Storages,
)
from shared.handling import Work, handles
from waste_service.domain.network import Place, ways
from waste_service.domain.placement import NEAREST, place, place_in_turn, placeable, storages_in_view
from waste_service.store.network import NetworkStore
from waste_service.store.pages import IN_VIEW, last_position, page_of
from waste_service.store.waste import WasteStore


@handles(GenerateWaste, contended=True)
async def generate_waste(command: GenerateWaste, work: Work) -> Generation:
    """Place what the organization generated: nearest storage first, the rest waits."""
    store = WasteStore(work)
    now = await store.present()
    organization = now.network.get_organization(command.organization)
    now.network.require_kinds(command.amounts)

    plan = place(now.network, now.stock, organization, command.amounts)

    generation, stored = await store.add_generation(organization, command.amounts, plan)
    work.say(WasteGenerated(generation=generation), *stored)
    return generation


@handles(AddRoad, contended=True)
async def add_road(command: AddRoad, work: Work) -> Road:
    """Join two places; waste that waited for this road is placed, the oldest first."""
    store = NetworkStore(work)
    network = (await store.present()).network
    origin, destination = network.get(command.origin, "from"), network.get(command.destination, "to")
    network.require_new_road(origin, destination, two_way=command.two_way)

    road = await store.add_road(origin, destination, command.metres, two_way=command.two_way)
    opened = ways(origin, destination, two_way=command.two_way)
    work.say(RoadAdded(road=road), *await _place_waiting(WasteStore(work), opened))
    return road


async def _place_waiting(store: WasteStore, opened: list[tuple[Place, Place]]) -> list[WasteStored]:
    """Place what has room in reach by now, the oldest first. Only a road can bring room into reach."""
    stored: list[WasteStored] = []
    now = await store.present()
    while whose := placeable(now.network, now.stock, opened):
        oldest = await store.oldest_waiting(whose)
        stored += await store.place_waiting(place_in_turn(now.network, now.stock, oldest))
    return stored


@handles(RegisterOrganization, contended=True)
async def register_organization(command: RegisterOrganization, work: Work) -> Organization:
    """Register an organization under a name that no other place has."""
    store = NetworkStore(work)
    (await store.present()).network.require_free_name(command.name)

    organization = await store.add_organization(command.name)
    work.say(OrganizationRegistered(organization=organization))
    return organization


@handles(RegisterStorage, contended=True)
async def register_storage(command: RegisterStorage, work: Work) -> Storage:
    """Register a storage, empty and without roads, under a name that no other place has."""
    store = NetworkStore(work)
    network = (await store.present()).network
    network.require_free_name(command.name)
    network.require_kinds(command.capacity)

    storage = await store.add_storage(command.name, command.capacity)
    work.say(StorageRegistered(storage=storage))
    return storage


@handles(RegisterKind, contended=True)
async def register_kind(command: RegisterKind, work: Work) -> Kind:
    """Register a kind of waste under a new code."""
    store = NetworkStore(work)
    (await store.present()).network.require_new_kind(command.code)

    kind = await store.add_kind(command.code, command.title)
    work.say(KindRegistered(kind=kind))
    return kind


@handles(FindStorages)
async def find_storages(query: FindStorages, work: Work) -> StoragesInView:
    """Show an organization the distance and the room of any storage."""
    now = await WasteStore(work).present()
    organization = now.network.get_organization(query.organization)
    last = last_position(query, IN_VIEW, NEAREST)

    seen = storages_in_view(now.network, now.stock, organization, last)
    return page_of(query, list(islice(seen, query.limit + 1)))


@handles(GetGeneration)
async def get_generation(query: GetGeneration, work: Work) -> Generation:
    """Look up where the waste of one generation went."""
    return await WasteStore(work).get_generation(query.generation)


@handles(ListGenerations)
async def list_generations(query: ListGenerations, work: Work) -> Generations:
    """List what an organization generated, the latest first."""
    organization = await NetworkStore(work).get_organization(query.organization)
    return await WasteStore(work).list_generations(query, organization.id)


@handles(GetOrganization)
async def get_organization(query: GetOrganization, work: Work) -> Organization:
    """Look an organization up."""
    return await NetworkStore(work).get_organization(query.organization)


@handles(ListOrganizations)
async def list_organizations(query: ListOrganizations, work: Work) -> Organizations:
    """List the organizations."""
    return await NetworkStore(work).list_organizations(query)


@handles(GetStorage)
async def get_storage(query: GetStorage, work: Work) -> Storage:
    """Look a storage up, with its room by kind."""
    return await NetworkStore(work).get_storage(query.storage)


@handles(ListStorages)
async def list_storages(query: ListStorages, work: Work) -> Storages:
    """List the storages with their room by kind."""
    return await NetworkStore(work).list_storages(query)


@handles(ListRoads)
async def list_roads(query: ListRoads, work: Work) -> Roads:
    """List the roads."""
    return await NetworkStore(work).list_roads(query)


@handles(ListKinds)
async def list_kinds(query: ListKinds, work: Work) -> Kinds:
    """List the kinds of waste."""
    return await NetworkStore(work).list_kinds(query)
