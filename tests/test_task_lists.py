"""Lists of tasks: pages that stay right, and cursors that fit only where they are from."""

from typing import Any

import httpx2
import pytest

from tests.system import Replica, System


async def add(http: httpx2.AsyncClient, **fields: Any) -> str:
    answer = await http.post("/tasks", json={"title": "listed"} | fields)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def test_links_lead_through_a_list_while_rows_come_and_go(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    async with system.http(gateway) as http:
        lasting = [await add(http, tags=["walk & run", "дом"], priority="high") for _ in range(7)]
        passing = [await add(http, tags=["walk & run", "дом"], priority="high") for _ in range(3)]
        seen: list[str] = []
        params: dict[str, Any] = {
            "tags": ["дом", "walk & run"],
            "limit": 2,
            "sort": "-priority",
            "count": True,
        }
        page = await http.get("/tasks", params=params)
        assert page.json()["total"] == 10
        while True:
            seen += [task["id"] for task in page.json()["items"]]
            if passing:
                await http.delete(f"/tasks/{passing.pop()}")
            await add(http, tags=["walk & run", "дом"], priority="urgent")
            if "next" not in page.links:
                break
            page = await http.get(page.links["next"]["url"])
            assert page.status_code == 200, page.text

    assert len(seen) == len(set(seen))
    assert set(lasting) <= set(seen)
    assert page.json()["next_cursor"] is None


async def test_a_foreign_or_broken_cursor_is_refused(
    system: System, gateway: Replica, task_service: Replica
) -> None:
    async with system.http(gateway) as http:
        for _ in range(2):
            await add(http)
        cursor = (await http.get("/tasks", params={"limit": 1})).json()["next_cursor"]
        fitting = await http.get("/tasks", params={"limit": 2, "count": True, "cursor": cursor})
        foreign = [
            await http.get("/tasks", params=other | {"cursor": cursor})
            for other in ({"sort": "-created"}, {"sort": "due"}, {"status": "open"}, {"words": "milk"})
        ]
        flipped = cursor[:-3] + ("A" if cursor[-3] != "A" else "B") + cursor[-2:]
        broken = [
            await http.get("/tasks", params={"cursor": one})
            for one in (
                flipped,
                cursor[:-4],
                cursor + "AAAA",
                cursor + "!",
                "",
                "nonsense",
                "ключ",
                "!",
                "AAAAAAAAAAA",
            )
        ]

    assert fitting.status_code == 200
    assert {(one.status_code, one.json()["code"]) for one in foreign + broken} == {(400, "bad_cursor")}


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"sort": "title"}, "sort"),
        ({"status": "finished"}, "status"),
        ({"due_before": "tomorrow"}, "due_before"),
        ({"due_before": "2026-07-01T12:00:00"}, "due_before"),
        ({"words": ""}, "words"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_query_that_does_not_fit_is_refused_by_name(
    system: System, gateway: Replica, params: dict[str, Any], field: str
) -> None:
    async with system.http(gateway) as http:
        answer = await http.get("/tasks", params=params)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith(field)
