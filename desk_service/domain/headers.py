"""Headers as they are kept: JSON, in which what JSON has no form for keeps its AMQP type, for a replay.

Such a value becomes `{"amqp": type, "value": text}`; people are shown the text alone.
"""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

TYPE, VALUE = "amqp", "value"
_READ: dict[str, Callable[[str], Any]] = {
    "bytes": base64.b64decode,
    "array": lambda value: bytearray(base64.b64decode(value)),
    "double": float,
    "decimal": Decimal,
    "time": datetime.fromisoformat,
    "text": lambda value: base64.b64decode(value).decode(errors="surrogatepass"),
}


def kept(value: Any) -> Any:
    """JSON that PostgreSQL takes, for any AMQP value."""
    if isinstance(value, dict):
        table = {_name(name): kept(one) for name, one in value.items()}
        return {TYPE: "table", VALUE: table} if TYPE in table else table
    if isinstance(value, list):
        return [kept(one) for one in value]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str) and _is_plain(value):
        return value
    kind, said = _typed(value)
    return {TYPE: kind, VALUE: said}


def as_sent(value: Any) -> Any:
    """The AMQP value that was kept."""
    if isinstance(value, list):
        return [as_sent(one) for one in value]
    if not isinstance(value, dict):
        return value
    kind = value[TYPE] if value.keys() == {TYPE, VALUE} else None
    if isinstance(kind, str) and kind in _READ:
        return _READ[kind](value[VALUE])
    table = value[VALUE] if kind == "table" else value
    return {name: as_sent(one) for name, one in table.items()}


def _typed(value: Any) -> tuple[str, str]:
    if isinstance(value, float):  # a large one would come back from PostgreSQL as an integer
        return "double", repr(value)
    if isinstance(value, Decimal):
        return "decimal", str(value)
    if isinstance(value, datetime):
        return "time", (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, str):
        return "text", _encoded(value.encode(errors="surrogatepass"))
    return "array" if isinstance(value, bytearray) else "bytes", _encoded(bytes(value))


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _is_plain(text: str) -> bool:
    """PostgreSQL's JSON holds neither NUL nor half of a pair."""
    return "\x00" not in text and not any("\ud800" <= one <= "\udfff" for one in text)


def _name(name: str) -> str:
    return name.encode(errors="replace").decode().replace("\x00", "\ufffd")
