"""How a client wants a command done.

`Prefer` is RFC 7240, `Idempotency-Key` is draft-ietf-httpapi-idempotency-key-header-07.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

from uuid_utils import uuid4

from shared.messages import Refusal

KEY = re.compile(r'"([\x20-\x21\x23-\x5b\x5d-\x7e]{1,200})"')
"""A structured field string (RFC 8941) without escapes: printable ASCII in quotes."""


class MalformedKey(Refusal):
    """The Idempotency-Key is not a quoted string of 1 to 200 printable ASCII characters."""

    code = "malformed_key"


@dataclass(frozen=True, slots=True)
class Preference:
    """How long to wait for the answer, in seconds, 0 for not at all; and what of `Prefer` was heeded."""

    wait: float
    applied: str


@lru_cache(64)
def preference_in(header: str, default: float, longest: int) -> Preference:
    """Unknown preferences are ignored, as RFC 7240 asks; so is a wait that is no number."""
    wanted = [_name_and_value(part) for part in header.lower().split(",")]
    waits = [value for name, value in wanted if name == "wait"]
    seconds = next((min(int(wait), longest) for wait in waits if re.fullmatch("[0-9]{1,9}", wait)), None)
    applied = ["respond-async"] if ("respond-async", "") in wanted else []
    if seconds is not None:
        applied.append(f"wait={seconds}")
    patience = seconds if seconds is not None else 0 if applied else default
    return Preference(patience, ", ".join(applied))


def _name_and_value(preference: str) -> tuple[str, str]:
    """Without the parameters that may follow it."""
    name, _, value = preference.partition(";")[0].partition("=")
    return name.strip(), value.strip().strip('"')


def key_in(header: str | None) -> str:
    """The client's key, or a new one; refuses with `MalformedKey`."""
    if header is None:
        return str(uuid4())
    if match := KEY.fullmatch(header.strip()):
        return match[1]
    raise MalformedKey('Send the Idempotency-Key as a quoted string of 1 to 200 characters, e.g. "order-7".')


def message_id_for(actor: str, queue: str, key: str) -> str:
    """The same for the same caller, command and key; callers cannot meet."""
    parts = "\x00".join((actor, queue, key)).encode()
    return hashlib.blake2b(parts, digest_size=16).hexdigest()
