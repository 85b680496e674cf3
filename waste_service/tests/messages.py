"""Commands in few words."""

from typing import Any

from shared.contracts.waste.generating import GenerateWaste
from shared.contracts.waste.network import AddRoad, RegisterOrganization, RegisterStorage


def an_organization(name: str = "office") -> RegisterOrganization:
    return RegisterOrganization(name=name)


def a_storage(name: str, **capacity: int) -> RegisterStorage:
    return RegisterStorage.model_validate({"name": name, "capacity": capacity})


def a_road(origin: str, destination: str, metres: int = 10, *, two_way: bool = False) -> AddRoad:
    return AddRoad.model_validate({"from": origin, "to": destination, "metres": metres, "two_way": two_way})


def waste(organization: str = "office", **amounts: Any) -> GenerateWaste:
    return GenerateWaste(organization=organization, amounts=amounts)
