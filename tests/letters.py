"""What tests ask the desk for."""

import asyncio
import os
import sys
from typing import Any

import httpx2

from tests.system import ROOT, Replica, eventually

ADA = {"who": "ada"}


async def listed(http: httpx2.AsyncClient, count: int = 1, **query: Any) -> list[dict[str, Any]]:
    """The letters that fit, once there are so many."""

    async def found() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (
            (await http.get("/desk/letters", params={"limit": 1000, **query}))
            .raise_for_status()
            .json()["items"]
        )
        return items if len(items) >= count else []

    items: list[dict[str, Any]] = await eventually(found, f"{count} letters with {query}")
    return items


async def whole(http: httpx2.AsyncClient, letter: str) -> dict[str, Any]:
    answer: dict[str, Any] = (await http.get(f"/desk/letters/{letter}")).raise_for_status().json()
    return answer


async def until(http: httpx2.AsyncClient, letter: str, state: str) -> dict[str, Any]:
    """A letter once it is in that state."""

    async def found() -> dict[str, Any] | None:
        one = await whole(http, letter)
        return one if one["state"] == state else None

    one: dict[str, Any] = await eventually(found, f"letter {letter} is {state}")
    return one


async def told(desk: Replica, *arguments: str) -> tuple[int | None, str, str]:
    """Exit code, output and errors of the program."""
    environment = {**os.environ, "DESK_URL": desk.url, "COLUMNS": "200"}
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "desk_service",
        *arguments,
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await program.communicate()
    return program.returncode, output.decode(), errors.decode()
