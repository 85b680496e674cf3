"""The network: kinds of waste, organizations, storages and roads, as waste_service knows them.

Wherever a message takes the id of an organization or a storage it takes its name as well. Answers and
events show a place by its name, with its id beside it. Of a key that an object
has twice the last counts.
"""

from typing import Annotated
from unicodedata import normalize
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
)
from pydantic_core import PydanticCustomError

from shared.contracts.waste.amounts import Amounts, KindCode
from shared.contracts.waste.pages import PageQuery
from shared.messages import (
    Answer,
    BadCursor,
    Command,
    Event,
    Format,
    Name,
    NotFound,
    Number,
    Page,
    Query,
    Refusal,
    Resource,
)


def _composed(value: object) -> object:
    return normalize("NFC", value) if isinstance(value, str) else value


def _addressable(name: str) -> str:
    if name in {".", ".."} or "/" in name or "\\" in name:
        raise PydanticCustomError("place_name", 'A name is not "." or ".." and has no "/" or "\\" in it')
    return name


PlaceName = Annotated[
    Name,
    BeforeValidator(_composed),
    AfterValidator(_addressable),
    Format("place-name"),
]
"""The name of an organization or a storage, in Unicode's composed form: canonically equivalent is equal.

Not "." or "..", no "/" and no "\\": an address would mean something else (RFC 3986, 3.3 and 5.2.4).
"""

IdOrName = Annotated[PlaceName, Field(description="An id, or a name typed by hand.")]
OrganizationIdOrName = Annotated[IdOrName, Field(examples=["ОО 1"])]
StorageIdOrName = Annotated[IdOrName, Field(examples=["МНО 1"])]


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Metres = Annotated[int, Field(ge=1, le=1_000_000_000, strict=True), BeforeValidator(_whole)]
"""Whole metres; 100.0 is a whole number too, as in JSON Schema."""


class OrganizationNotFound(NotFound):
    """There is no organization with that id or name."""


class StorageNotFound(NotFound):
    """There is no storage with that id or name."""


class PlaceNotFound(NotFound):
    """There is neither an organization nor a storage with that id or name."""


class UnknownKind(Refusal):
    """The kind of waste is not registered."""

    code = "unknown_kind"


class KindExists(Refusal):
    """A kind with that code is registered already."""

    code = "kind_exists"


class NameTaken(Refusal):
    """An organization or a storage has that name already."""

    code = "name_taken"


class NameLooksLikeId(Refusal):
    """A name must not be readable as an id, since messages take either."""

    code = "name_looks_like_id"


class RoadToItself(Refusal):
    """A road leads from one place to another."""

    code = "road_to_itself"


class RoadExists(Refusal):
    """A road leads that way already; a two-way road leads both ways."""

    code = "road_exists"


class Kind(Answer):
    """A kind of waste."""

    code: KindCode
    title: str = Field(examples=["стекло"])
    version: int = 1


class Organization(Resource, path="/waste/organizations/{id}"):
    """Generates waste."""

    name: str = Field(examples=["ОО 1"])
    created_at: AwareDatetime
    version: int = 1


class Storage(Resource, path="/waste/storages/{id}"):
    """Takes the kinds of waste that its capacity lists. Its version grows with each placement in it."""

    name: str = Field(examples=["МНО 1"])
    capacity: dict[KindCode, Number] = Field(examples=[{"glass": 300, "plastic": 100}])
    room: dict[KindCode, Number] = Field(examples=[{"glass": 250, "plastic": 90}])
    created_at: AwareDatetime


class Road(Answer):
    """Joins two places, one way or both ways."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    id: UUID
    origin: str = Field(alias="from", examples=["ОО 1"])
    origin_id: UUID = Field(alias="from_id")
    destination: str = Field(alias="to", examples=["МНО 1"])
    destination_id: UUID = Field(alias="to_id")
    metres: int = Field(examples=[100])
    two_way: bool = Field(examples=[False])
    created_at: AwareDatetime
    version: int = 1


class Kinds(Page):
    """Kinds of waste, in the order of their codes."""

    items: list[Kind]


class Organizations(Page):
    """Organizations, in the order of registration."""

    items: list[Organization]


class Storages(Page):
    """Storages, in the order of registration."""

    items: list[Storage]


class Roads(Page):
    """Roads, in the order they were added."""

    items: list[Road]


class RegisterKind(Command[Kind], queue="waste.register_kind", refusals=(KindExists,)):
    """Register a kind of waste."""

    code: KindCode = Field(examples=["metal"])
    title: Name = Field(examples=["металл"])


class RegisterOrganization(
    Command[Organization],
    queue="waste.register_organization",
    refusals=(NameTaken, NameLooksLikeId),
):
    """Register an organization."""

    name: PlaceName = Field(examples=["ОО 1"])


class RegisterStorage(
    Command[Storage],
    queue="waste.register_storage",
    refusals=(NameTaken, NameLooksLikeId, UnknownKind),
):
    """Register a storage; a kind that its capacity does not list is not taken."""

    name: PlaceName = Field(examples=["МНО 1"])
    capacity: Amounts = Field(examples=[{"glass": 300, "plastic": 100}])


class AddRoad(Command[Road], queue="waste.add_road", refusals=(PlaceNotFound, RoadToItself, RoadExists)):
    """Add a road; waste that waited for one is placed at once."""

    model_config = ConfigDict(serialize_by_alias=True)

    origin: IdOrName = Field(alias="from", examples=["ОО 1"])
    destination: IdOrName = Field(alias="to", examples=["МНО 1"])
    metres: Metres = Field(examples=[100])
    two_way: StrictBool = False


class GetOrganization(Query[Organization], queue="waste.get_organization", refusals=(OrganizationNotFound,)):
    """Look an organization up."""

    organization: OrganizationIdOrName


class GetStorage(Query[Storage], queue="waste.get_storage", refusals=(StorageNotFound,)):
    """Look a storage up, with its room by kind."""

    storage: StorageIdOrName


class ListKinds(PageQuery[Kinds], queue="waste.list_kinds", refusals=(BadCursor,)):
    """List the kinds of waste."""


class ListOrganizations(PageQuery[Organizations], queue="waste.list_organizations", refusals=(BadCursor,)):
    """List the organizations."""


class ListStorages(PageQuery[Storages], queue="waste.list_storages", refusals=(BadCursor,)):
    """List the storages with their room by kind."""


class ListRoads(PageQuery[Roads], queue="waste.list_roads", refusals=(BadCursor,)):
    """List the roads."""


class KindRegistered(Event, routing_key="waste.kind_registered"):
    """A kind of waste was registered."""

    kind: Kind


class OrganizationRegistered(Event, routing_key="waste.organization_registered"):
    """An organization was registered."""

    organization: Organization


class StorageRegistered(Event, routing_key="waste.storage_registered"):
    """A storage was registered."""

    storage: Storage


class RoadAdded(Event, routing_key="waste.road_added"):
    """A road was added."""

    road: Road
