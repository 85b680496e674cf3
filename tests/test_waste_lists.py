"""Lists of waste through REST: links to the end, and cursors that fit only where they are from."""

from typing import Any

import httpx2
import pytest

from tests.system import Replica, System

OFFICE = "/waste/organizations/офис 1"
LISTS = [
    "/waste/kinds",
    "/waste/organizations",
    "/waste/storages",
    "/waste/roads",
    f"{OFFICE}/waste",
    f"{OFFICE}/storages",
]


async def more(http: httpx2.AsyncClient, number: int) -> None:
    """One more of all that is listed."""
    for path, body in (
        ("/waste/kinds", {"code": f"kind{number}", "title": "more"}),
        ("/waste/organizations", {"name": f"офис {number}"}),
        ("/waste/storages", {"name": f"storage {number}", "capacity": {"bio": 1}}),
        ("/waste/roads", {"from": "офис 1", "to": f"storage {number}", "metres": 100 - number}),
        (f"{OFFICE}/waste", {"amounts": {"bio": 1}}),
    ):
        answer = await http.post(path, json=body)
        assert answer.status_code == 201, answer.text


@pytest.fixture(scope="module")
async def waste(system: System, gateway: Replica) -> Replica:
    service = await system.start("waste_service")
    async with system.http(gateway) as http:
        for number in range(1, 6):
            await more(http, number)
    return service


def identities(page: httpx2.Response) -> list[Any]:
    return [one.get("id") or one["code"] for one in page.json()["items"]]


async def test_links_lead_through_every_list_to_its_end_while_rows_come(
    system: System, gateway: Replica, waste: Replica
) -> None:
    numbers = iter(range(10, 99))
    async with system.http(gateway) as http:
        for path in LISTS:
            whole = await http.get(path)
            page = await http.get(path, params={"limit": 3})
            seen = identities(page)
            await more(http, next(numbers))
            while "next" in page.links:
                page = await http.get(page.links["next"]["url"])
                assert page.status_code == 200, page.text
                seen += identities(page)

            assert whole.links == {}
            assert whole.json()["next_cursor"] is None
            assert page.json()["next_cursor"] is None
            assert len(seen) == len(set(seen))
            assert [one for one in seen if one in identities(whole)] == identities(whole)


async def test_a_foreign_or_broken_cursor_is_refused(
    system: System, gateway: Replica, waste: Replica
) -> None:
    async with system.http(gateway) as http:
        cursors = {path: (await http.get(path, params={"limit": 1})).json()["next_cursor"] for path in LISTS}
        fitting = [await http.get(path, params={"cursor": cursors[path]}) for path in LISTS]
        foreign = [
            await http.get(path, params={"cursor": cursor})
            for path in [*LISTS, "/waste/organizations/офис 2/waste"]
            for whose, cursor in cursors.items()
            if whose != path
        ]
        broken = [await http.get(path, params={"cursor": "nonsense"}) for path in LISTS]

    assert [one.status_code for one in fitting] == [200] * len(LISTS)
    assert {(one.status_code, one.json()["code"]) for one in foreign + broken} == {(400, "bad_cursor")}


@pytest.mark.parametrize("path", LISTS)
async def test_a_page_of_a_wrong_size_and_an_unknown_parameter_are_refused_by_name(
    system: System, gateway: Replica, path: str
) -> None:
    async with system.http(gateway) as http:
        for name, value in (("limit", 0), ("limit", 1001), ("before", "x"), ("offset", 1)):
            answer = await http.get(path, params={name: value})

            assert answer.status_code == 422, answer.text
            assert [error["field"] for error in answer.json()["errors"]] == [name]
