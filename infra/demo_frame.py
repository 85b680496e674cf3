"""What every demo needs: REST, a table, a sentence for the person at the keyboard."""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import httpx2

from shared.messages import Answer

A = TypeVar("A", bound=Answer)


class Problem(Exception):
    """One sentence for the person at the keyboard."""


class Gateway:
    """REST, as the demo needs it: the answer, or a Problem."""

    def __init__(self, url: str):
        self.url = url
        self.client = httpx2.Client(base_url=url, timeout=40)

    def get(self, path: str, answer: type[A]) -> A:
        return answer.model_validate_json(self._send("GET", path).content)

    def post(self, path: str, body: Any) -> httpx2.Response:
        return self._send("POST", path, body)

    def _send(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        try:
            response = self.client.request(method, path, json=body)
        except httpx2.TransportError:
            raise Problem(f"The gateway at {self.url} cannot be reached; is 'make run' running?") from None
        if response.is_error:
            raise Problem(f"{method} {path} was answered with {response.status_code}: {response.text}")
        return response


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    lines.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join([title, *(f"  {line.rstrip()}" for line in lines), ""])


def run(show: Callable[[Gateway], int]) -> None:
    """Show it on the system that `GATEWAY_URL` names; ends the program."""
    gateway = Gateway(os.environ.get("GATEWAY_URL", "http://127.0.0.1:8000"))
    try:
        sys.exit(show(gateway))
    except Problem as problem:
        sys.exit(str(problem))
