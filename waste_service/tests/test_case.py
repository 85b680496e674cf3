"""What the published case tells of rules in conflict: placing nearest first strands waste, and how much."""

import json
from decimal import Decimal
from pathlib import Path

import infra
from waste_service.domain.network import Network
from waste_service.domain.placement import Stock, place
from waste_service.tests.builders import add_place, put_all

CASE = json.loads((Path(infra.__path__[0]) / "cases" / "atom_eco.json").read_text(encoding="utf-8"))


def left_over(conflict: str) -> int:
    """What finds no place, the organizations generating one after the other."""
    [told] = [one for one in CASE["expected"]["rule_conflicts"] if one["name"] == conflict]
    network, stock = network_of_the_case(), Stock()
    left = Decimal(0)
    for organization in told["order"]:
        amounts = {told["kind"]: Decimal(told["amounts"][organization])}
        plan = place(network, stock, network.get(organization), amounts)
        put_all(stock, plan)
        left += sum(plan.unplaced.values())
    return int(left)


def network_of_the_case() -> Network:
    network = Network()
    for organization in CASE["organizations"]:
        add_place(network, organization["name"])
    for storage in CASE["storages"]:
        add_place(network, storage["name"], storage["capacity"])
    for road in CASE["roads"]:
        origin, destination = network.get(road["from"]), network.get(road["to"])
        network.add_road(origin, destination, road["metres"], two_way=road["two_way"])
    return network


def test_a_tie_goes_to_the_storage_registered_first_even_where_that_strands_waste() -> None:
    assert left_over("tie-break strands waste") == 10


def test_nearest_first_strands_waste_that_a_joint_plan_would_place() -> None:
    """The case names what is left for either way to break the tie at 600 m: 20 for МНО 8, 72 for МНО 3."""
    assert left_over("strict nearest strands waste although room exists") == 72
