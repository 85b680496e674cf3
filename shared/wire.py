"""Makes the AMQP codec put up with what people send, and send it on as it came.

pamqp refuses a timestamp out of range or a text that is not UTF-8 by an exception in the connection's reader:
one message typed by hand would cut off a whole service, again with each redelivery. Here such a field becomes
empty, or text with its bytes escaped, and the message is judged like any other.
"""

from collections.abc import Callable
from typing import Any

from pamqp import decode, encode

Decoder = Callable[[bytes], tuple[int, Any]]
_usual = encode.encode_table_value


def install() -> None:
    """Replace what decodes and encodes; done once, before a process connects."""
    encode.encode_table_value = _exact
    decode.METHODS["timestamp"] = _tolerant(decode.timestamp, lambda value: (8, None))
    decode.TABLE_MAPPING[b"T"] = decode.METHODS["timestamp"]
    decode.METHODS["shortstr"] = _tolerant(decode.short_str, _escaped)
    decode.METHODS["table"] = _tolerant(decode.field_table, _empty_table)


def _exact(value: Any) -> bytes:
    """Headers go as they came: pamqp halves the precision of numbers, and refuses bytes."""
    if isinstance(value, float):
        return b"d" + encode.double(value)
    if isinstance(value, bytes):
        return b"S" + len(value).to_bytes(4, "big") + value
    return _usual(value)


def _tolerant(decoder: Decoder, otherwise: Decoder) -> Decoder:
    def tolerant(value: bytes) -> tuple[int, Any]:
        try:
            return decoder(value)
        except (ValueError, OverflowError, OSError):
            return otherwise(value)

    return tolerant


def _escaped(value: bytes) -> tuple[int, str]:
    end = 1 + value[0]
    return end, value[1:end].decode("utf-8", "backslashreplace")


def _empty_table(value: bytes) -> tuple[int, dict[str, Any]]:
    return 4 + int.from_bytes(value[:4], "big"), {}
