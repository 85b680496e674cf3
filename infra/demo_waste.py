"""The waste case through REST: load what is missing, let the organizations generate, print what came of it.

Each step looks first, so a second run, or one after an interruption, changes nothing that is there already.
Ends with 1 when distances or placements are not those that the case expects.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

from infra.demo_frame import Gateway, Problem, run, table
from shared.contracts.waste.generating import Generation, Generations, StorageInView, StoragesInView
from shared.contracts.waste.network import Kinds, Organizations, Roads, Storages
from shared.messages import Page

CASE = Path(__file__).parent / "cases" / "atom_eco.json"
PAGE = 1000

Case = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What an organization generated in the case, where it went, and what it sees of the case's storages."""

    organization: str
    generation: Generation
    view: dict[str, StorageInView]


def load(gateway: Gateway, case: Case) -> None:
    """Register what the case has and the system has not."""
    kinds = {kind.code for kind in all_of(gateway, "/waste/kinds", Kinds)}
    organizations = {one.name for one in all_of(gateway, "/waste/organizations", Organizations)}
    storages = {one.name for one in all_of(gateway, "/waste/storages", Storages)}
    roads = {(one.origin, one.destination) for one in all_of(gateway, "/waste/roads", Roads)}
    for code, title in case["kinds"].items():
        if code not in kinds:
            gateway.post("/waste/kinds", {"code": code, "title": title})
    for organization in case["organizations"]:
        if organization["name"] not in organizations:
            gateway.post("/waste/organizations", {"name": organization["name"]})
    for storage in case["storages"]:
        if storage["name"] not in storages:
            gateway.post("/waste/storages", storage)
    for road in case["roads"]:
        if (road["from"], road["to"]) not in roads:
            gateway.post("/waste/roads", road)


def generate(gateway: Gateway, case: Case) -> None:
    """Let each organization generate, one after the other, unless it has."""
    for organization in case["organizations"]:
        path = f"/waste/organizations/{quote(organization['name'])}/waste"
        if not gateway.get(f"{path}?limit=1", Generations).items:
            gateway.post(path, {"amounts": organization["generates"]})


def look(gateway: Gateway, case: Case) -> list[Result]:
    """What is there now. Of several generations the case's is the first with its amounts."""
    storages = {storage["name"] for storage in case["storages"]}
    results = []
    for organization in case["organizations"]:
        path = f"/waste/organizations/{quote(organization['name'])}"
        generations = all_of(gateway, f"{path}/waste", Generations)
        like_the_case = [one for one in generations if one.amounts == organization["generates"]]
        if not like_the_case:
            raise Problem(
                f"{organization['name']} has generated other waste than the case's, which would come out "
                "differently now; run the demo on an empty system (make clean-data)."
            )
        seen = all_of(gateway, f"{path}/storages", StoragesInView)
        view = {storage.name: storage for storage in seen if storage.name in storages}
        results.append(Result(organization["name"], like_the_case[-1], view))
    return results


def all_of(gateway: Gateway, path: str, answer: type[Page]) -> Iterator[Any]:
    """The items of a list, however many they are."""
    page: Any = gateway.get(f"{path}?limit={PAGE}", answer)
    yield from page.items
    while page.next_cursor:
        page = gateway.get(f"{path}?limit={PAGE}&cursor={page.next_cursor}", answer)
        yield from page.items


def show(case: Case, results: Sequence[Result]) -> None:
    """Three tables: placements, room, distances."""
    placements: list[Sequence[object]] = [
        (result.organization, one.kind, exact(one.amount), one.storage, one.distance_metres)
        for result in results
        for one in result.generation.placements
    ]
    waiting: list[Sequence[object]] = [
        (result.organization, kind, exact(amount), "waits", "–")
        for result in results
        for kind, amount in result.generation.unplaced.items()
    ]
    print(table("Placed", ("organization", "kind", "amount", "storage", "metres"), placements + waiting))
    kinds = list(case["kinds"])
    room = [(name, *(left(storage, kind) for kind in kinds)) for name, storage in results[0].view.items()]
    print(table("Room left, of capacity", ("storage", *kinds), sorted(room)))
    distances = [
        (
            name,
            *(
                metres if (metres := result.view[name].distance_metres) is not None else "–"
                for result in results
            ),
        )
        for name in sorted(results[0].view)
    ]
    print(table("Distances in metres", ("storage", *(result.organization for result in results)), distances))


def left(storage: StorageInView, kind: str) -> str:
    if kind not in storage.capacity:
        return "–"
    return f"{exact(storage.room[kind])} of {exact(storage.capacity[kind])}"


def exact(amount: Decimal) -> str:
    return f"{amount:.3f}".rstrip("0").rstrip(".")


def expected(case: Case) -> set[str]:
    """The case's distances and placements, a line each."""
    distances = case["expected"]["distances_metres"]
    placements = case["expected"]["placements_one_organization_after_the_other"]
    return {
        *(f"{name} – {to}: {metres} m" for name, each in distances.items() for to, metres in each.items()),
        *(
            f"{one['from']}: {one['amount']} {one['kind']} → {one['to']}, {one['distance_m']} m"
            for one in placements
        ),
    }


def found(results: Sequence[Result]) -> set[str]:
    """The system's distances and placements, written in the same way."""
    return {
        *(
            f"{result.organization} – {storage.name}: {storage.distance_metres} m"
            for result in results
            for storage in result.view.values()
            if storage.distance_metres is not None
        ),
        *(
            f"{result.organization}: {exact(one.amount)} {one.kind} → {one.storage}, {one.distance_metres} m"
            for result in results
            for one in result.generation.placements
        ),
    }


def demo(gateway: Gateway) -> int:
    case: Case = json.loads(CASE.read_text(encoding="utf-8"))
    load(gateway, case)
    generate(gateway, case)
    results = look(gateway, case)
    show(case, results)
    wanted, had = expected(case), found(results)
    if wanted == had:
        print("distances and placements as expected")
        return 0
    for line in sorted(wanted - had):
        print(f"expected, but not so:  {line}")
    for line in sorted(had - wanted):
        print(f"so, but not expected:  {line}")
    return 1


if __name__ == "__main__":
    run(demo)
