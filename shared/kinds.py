"""What kind a value is of, where that is asked of every message."""

from functools import cache
from typing import TypeGuard, TypeVar

T = TypeVar("T")


def is_a(value: object, kind: type[T]) -> TypeGuard[T]:
    """`isinstance`, of which models and abstract classes make a search each time."""
    return _derives(type(value), kind)  # type: ignore[arg-type]  # every class can be hashed


@cache
def _derives(one: type, other: type) -> bool:
    return issubclass(one, other)
