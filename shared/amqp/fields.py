"""AMQP 0-9-1 field tables and short strings, as RabbitMQ reads and writes them.

Decoding puts up with what people send: a table that makes no sense is empty, text that is not UTF-8 keeps its
bytes (in a table) or has them escaped (a short string), a time that no calendar holds is None. One message
typed by hand must not cut off who receives it. Encoding is exact, so that headers can travel as they came.
Source: the specification's grammar with RabbitMQ's errata (https://www.rabbitmq.com/amqp-0-9-1-errata).
"""

import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

Value = Any
"""None, bool, int, float, Decimal, str, bytes, bytearray, datetime, list or dict of these."""
Table = dict[str, Value]

LONG = struct.Struct(">I")
_MILLISECONDS_FROM = 0xFFFF_FFFF
"""A time above the year 2106 was given in milliseconds."""


def short(text: str) -> bytes:
    """A short string; ValueError above 255 bytes."""
    encoded = text.encode()
    if len(encoded) > 255:
        raise ValueError(f"text of {len(encoded)} bytes where 255 are the most")
    return bytes((len(encoded),)) + encoded


def seconds(time: datetime) -> int:
    """A timestamp; a time without a zone is UTC."""
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())


@lru_cache(1024)
def known_short(text: str) -> bytes:
    """The short string of a name, of which there are not many."""
    return short(text)


def encoded_table(table: Mapping[str, Value]) -> bytes:
    """A field table with its length. ValueError or TypeError for what AMQP cannot hold."""
    fields = encoded_fields(table)
    return LONG.pack(len(fields)) + fields


def encoded_fields(table: Mapping[str, Value]) -> bytes:
    """The fields of a table, without its length."""
    parts = []
    for name, value in table.items():
        parts.append(known_short(name))
        parts.append(long_text(value) if type(value) is str else _encoded(value))
    return b"".join(parts)


def long_text(value: str) -> bytes:
    """The value of a text, as it stands in a table behind its name."""
    encoded = value.encode()
    return b"S" + LONG.pack(len(encoded)) + encoded


def _encoded(value: Value) -> bytes:  # noqa: PLR0911  one line a type
    match value:
        case bool():
            return b"t\x01" if value else b"t\x00"
        case int():
            return _integer(value)
        case str():
            return long_text(value)
        case float():
            return b"d" + struct.pack(">d", value)
        case None:
            return b"V"
        case datetime():
            return b"T" + struct.pack(">Q", seconds(value))
        case dict():
            return b"F" + encoded_table(value)
        case list() | tuple():
            body = b"".join(map(_encoded, value))
            return b"A" + LONG.pack(len(body)) + body
        case bytes():
            return b"S" + LONG.pack(len(value)) + value
        case bytearray():
            return b"x" + LONG.pack(len(value)) + bytes(value)
        case Decimal():
            return b"D" + _decimal(value)
    raise TypeError(f"AMQP has no form for {type(value).__name__}")


def _integer(value: int) -> bytes:
    for kind, form in ((b"b", ">b"), (b"s", ">h"), (b"I", ">i"), (b"l", ">q")):
        bits = struct.calcsize(form) * 8 - 1
        if -(1 << bits) <= value < 1 << bits:
            return kind + struct.pack(form, value)
    raise ValueError(f"the integer {value} does not fit into 64 bits")


def _decimal(value: Decimal) -> bytes:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(f"AMQP has no form for {value}")
    unscaled = int("".join(map(str, digits))) * 10 ** max(exponent, 0)
    if unscaled >= 1 << 31 or exponent < -255:
        raise ValueError(f"the decimal {value} has too many digits")
    return struct.pack(">Bi", max(-exponent, 0), -unscaled if sign else unscaled)


def decoded_table(data: bytes, at: int) -> tuple[Table, int]:
    """The table at an offset, and where it ends."""
    end = at + 4 + LONG.unpack_from(data, at)[0]
    if end == at + 4:
        return {}, end
    try:
        return _table(data, at + 4, end), end
    except (ValueError, KeyError, IndexError, struct.error, OverflowError, RecursionError):
        return {}, end


def decoded_short(data: bytes, at: int) -> tuple[str, int]:
    """The short string at an offset, and where it ends."""
    end = at + 1 + data[at]
    return data[at + 1 : end].decode("utf-8", "backslashreplace"), end


def time_of(stamp: int) -> datetime | None:
    """The time of a timestamp; None where no calendar has it."""
    try:
        return datetime.fromtimestamp(stamp if stamp <= _MILLISECONDS_FROM else stamp / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _table(data: bytes, at: int, end: int) -> Table:
    table: Table = {}
    while at < end:
        start, at = at + 1, at + 1 + data[at]
        name = data[start:at].decode()
        if data[at] == 83:  # S, what nearly every header is
            start, at = at + 5, at + 5 + LONG.unpack_from(data, at + 1)[0]
            table[name] = _decoded_text(data[start:at])
        else:
            table[name], at = _value(data, at)
        if at > end:
            raise ValueError("a value beyond its table's end")
    return table


def _array(data: bytes, at: int, end: int) -> list[Value]:
    array = []
    while at < end:
        value, at = _value(data, at)
        array.append(value)
    return array


def _decoded_text(encoded: bytes) -> str | bytes:
    try:
        return encoded.decode()
    except UnicodeDecodeError:
        return encoded


def _value(data: bytes, at: int) -> tuple[Value, int]:
    kind, at = data[at], at + 1
    if kind in _FIXED:
        form, made = _FIXED[kind]
        return made(*form.unpack_from(data, at)), at + form.size
    start, end = at + 4, at + 4 + LONG.unpack_from(data, at)[0]
    if end > len(data):
        raise ValueError("a value beyond the end")
    return _OF_A_LENGTH[kind](data, start, end), end


def _fixed(form: str, made: Callable[..., Value] = lambda value: value) -> tuple[struct.Struct, Any]:
    return struct.Struct(form), made


_FIXED = {
    ord("t"): _fixed(">?"),
    ord("b"): _fixed(">b"),
    ord("B"): _fixed(">B"),
    ord("s"): _fixed(">h"),
    ord("u"): _fixed(">H"),
    ord("I"): _fixed(">i"),
    ord("i"): _fixed(">I"),
    ord("l"): _fixed(">q"),
    ord("L"): _fixed(">q"),
    ord("f"): _fixed(">f"),
    ord("d"): _fixed(">d"),
    ord("D"): _fixed(">Bi", lambda scale, unscaled: Decimal(unscaled).scaleb(-scale)),
    ord("T"): _fixed(">Q", time_of),
    ord("V"): _fixed(">", lambda: None),
}
_OF_A_LENGTH: dict[int, Callable[[bytes, int, int], Value]] = {
    ord("S"): lambda data, start, end: _decoded_text(data[start:end]),
    ord("x"): lambda data, start, end: bytearray(data[start:end]),
    ord("F"): _table,
    ord("A"): _array,
}
