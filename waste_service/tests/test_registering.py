"""What is registered, under which names, and what is refused, on a real database."""

from typing import Any

import pytest

from shared.contracts.waste.generating import (
    FindStorages,
    GenerationNotFound,
    GetGeneration,
    ListGenerations,
)
from shared.contracts.waste.network import (
    GetOrganization,
    GetStorage,
    KindExists,
    KindRegistered,
    ListKinds,
    ListOrganizations,
    ListRoads,
    ListStorages,
    NameLooksLikeId,
    NameTaken,
    OrganizationNotFound,
    OrganizationRegistered,
    PlaceNotFound,
    RegisterKind,
    RoadAdded,
    RoadExists,
    RoadToItself,
    StorageNotFound,
    StorageRegistered,
    UnknownKind,
)
from shared.messages import Refusal, Request, new_id
from tests.running import Running
from waste_service.tests.messages import a_road, a_storage, an_organization, waste


async def test_an_id_does_wherever_a_name_does(office: Running) -> None:
    organization = await office.ask(GetOrganization(organization="office"))
    storage = await office.ask(GetStorage(storage="near"))

    generation = await office.ask(waste(str(organization.id), glass=1))
    await office.ask(a_road(str(storage.id).upper(), organization.id.hex))

    assert generation.organization == "office"
    assert await office.ask(GetOrganization(organization=organization.id.urn)) == organization
    assert await office.ask(GetStorage(storage=str(storage.id))) != storage
    assert (await office.ask(FindStorages(organization=str(organization.id)))).items[0].id == storage.id


async def test_names_are_equal_when_they_are_canonically_equivalent(office: Running) -> None:
    await office.ask(an_organization("Йод"))

    with pytest.raises(NameTaken):
        await office.ask(an_organization("  И\u0306од "))
    assert (await office.ask(GetOrganization(organization="И\u0306од"))).name == "Йод"


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        (an_organization("near"), NameTaken),
        (a_storage("office", bio=1), NameTaken),
        (an_organization("0198a3f0-1111-7222-8333-444455556666"), NameLooksLikeId),
        (a_storage("0198A3F0111172228333444455556666", bio=1), NameLooksLikeId),
        (a_storage("new", paper=1), UnknownKind),
        (waste(paper=1), UnknownKind),
        (waste("nobody", bio=1), OrganizationNotFound),
        (waste("near", bio=1), OrganizationNotFound),
        (a_road("office", "nowhere"), PlaceNotFound),
        (a_road("near", "near"), RoadToItself),
        (a_road("office", "near"), RoadExists),
        (a_road("near", "office", two_way=True), RoadExists),
        (RegisterKind(code="bio", title="био"), KindExists),
        (GetOrganization(organization="near"), OrganizationNotFound),
        (GetStorage(storage="office"), StorageNotFound),
        (GetGeneration(generation=new_id()), GenerationNotFound),
        (ListGenerations(organization="nobody"), OrganizationNotFound),
        (FindStorages(organization="near"), OrganizationNotFound),
    ],
)
async def test_what_breaks_a_rule_is_refused_and_changes_nothing(
    office: Running, command: Request[Any], refusal: type[Refusal]
) -> None:
    before = await office.fetch("SELECT * FROM present")

    with pytest.raises(refusal):
        await office.ask(command)

    assert not office.said
    assert await office.fetch("SELECT * FROM present") == before
    assert refusal in type(command).refusals


async def test_registrations_are_told_listed_and_in_order(running: Running) -> None:
    metal, office, storage, road = await running.batch(
        RegisterKind(code="metal", title="металл"),
        an_organization(),
        a_storage("A", metal=1),
        a_road("A", "office", 7, two_way=True),
    )

    assert running.said == [
        KindRegistered(kind=metal),
        OrganizationRegistered(organization=office),
        StorageRegistered(storage=storage),
        RoadAdded(road=road),
    ]
    assert [kind.code for kind in (await running.ask(ListKinds())).items] == [
        "bio",
        "glass",
        "metal",
        "plastic",
    ]
    assert (await running.ask(ListOrganizations())).items == [office]
    assert (await running.ask(ListStorages())).items == [storage]
    assert (await running.ask(ListRoads())).items == [road]
