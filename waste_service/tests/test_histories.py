"""Histories that nobody thought of, through handlers and database, against the model that lives in memory."""

from decimal import Decimal
from random import Random
from typing import Any

import pytest

from shared.contracts.waste.generating import Generation, GetGeneration
from shared.contracts.waste.network import ListStorages
from shared.messages import Refusal
from tests.running import Running
from waste_service.tests.builders import Model, add_place
from waste_service.tests.messages import a_road, a_storage, an_organization, waste
from waste_service.tests.running import forget

KINDS = ("bio", "glass")


def amounts(random: Random) -> dict[str, int]:
    return {kind: random.randint(1, 20) for kind in random.sample(KINDS, random.randint(1, 2))}


def next_command(random: Random, model: Model, number: int) -> Any:
    """A command that the rules allow, after the model has done it; None if chance chose another one."""
    places = model.network.places
    organizations = [place for place in places if not place.is_storage]
    match random.choice(["organization", "storage", "storage", "road", "road", "road", "waste", "waste"]):
        case "organization":
            return an_organization(add_place(model.network, f"o{number}").name)
        case "storage":
            capacity = amounts(random)
            return a_storage(add_place(model.network, f"s{number}", capacity).name, **capacity)
        case "waste" if organizations:
            organization, generated = random.choice(organizations), amounts(random)
            model.generate(organization, {kind: Decimal(amount) for kind, amount in generated.items()})
            return waste(organization.name, **generated)
        case "road" if len(places) > 1:
            origin, destination = random.sample(places, 2)
            metres, two_way = random.randint(1, 9), random.random() < 0.5
            try:
                model.network.require_new_road(origin, destination, two_way=two_way)
            except Refusal:
                return None
            model.add_road(origin, destination, metres, two_way=two_way)
            return a_road(origin.name, destination.name, metres, two_way=two_way)
    return None


@pytest.mark.parametrize("seed", range(6))
async def test_any_history_in_batches_of_any_size_comes_out_as_in_memory(running: Running, seed: int) -> None:
    random, model = Random(seed), Model()
    commands = [one for number in range(120) if (one := next_command(random, model, number))]

    answers: list[Any] = []
    while commands:
        size = random.choice([1, 2, 5, 20])
        answers += await running.batch(*commands[:size])
        del commands[:size]
        if random.random() < 0.3:
            forget()

    generations = [answer for answer in answers if isinstance(answer, Generation)]
    assert any(generated.unplaced for generated in model.generations)
    for generation, generated in zip(generations, model.generations, strict=True):
        now = await running.ask(GetGeneration(generation=generation.id))
        assert now.unplaced == generated.unplaced
        assert [(one.storage, one.kind, one.amount, one.distance_metres) for one in now.placements] == [
            (one.storage, one.kind, one.amount, one.distance_metres) for one in generated.placements
        ]
    for storage in (await running.ask(ListStorages())).items:
        place = model.network.get(storage.name)
        assert storage.room == {kind: model.stock.room(place, kind) for kind in place.capacity}
