"""What the cache learns from questions and answers, and where resources are."""

from typing import Any, cast

import orjson

from gateway.cache import Cache, Entry
from shared.asking import Answered
from shared.messages import REQUESTS, Command, Request, Resource


def learn(cache: Cache, command: Command[Any], answered: Answered, asked_at: float) -> tuple[str, int] | None:
    """Tell the cache all that a command brought about, before anybody hears of it.

    Address and version of the resource that it was answered with, unless that is gone.
    """
    tell(cache, answered.versions)
    if not issubclass(command.answer, Resource):
        return None
    fields = orjson.loads(answered.body)
    address, version = command.answer.address_of(fields["id"]), fields["version"]
    cache.told(address, version)
    if command.removes:
        return None
    if not answered.repeated:
        cache.fill(address, Entry(version, answered.visible_to, answered.body, asked_at))
    return address, version


def tell(cache: Cache, versions: dict[str, int] | None) -> None:
    """What else a command brought to a new version; None for more than could be told."""
    if versions is None:
        cache.forget()
    for address, version in (versions or {}).items():
        cache.told(address, version)


def address_of(query: Request[Any]) -> str:
    """Where the resource is that is asked for by its id. By its name it is never kept."""
    [asked] = vars(query).values()
    return cast(type[Resource], query.answer).address_of(asked)


def address_in(queue: str, answer: dict[str, Any]) -> str:
    """Where the resource is that a command of this queue was answered with; empty where it is none."""
    command = REQUESTS.get(queue)
    if command is None or not issubclass(command.answer, Resource):
        return ""
    return command.answer.address_of(answer["id"])
