"""What a person may change in a message before it is sent again, under a new id."""

import hashlib
import json
from typing import Any

from desk_service.domain.causes import group_of
from desk_service.domain.deaths import may_travel, message_in
from desk_service.domain.headers import kept
from desk_service.domain.redaction import WITHHELD
from shared.messages import MOST_BYTES, Refusal
from shared.redaction import REDACTED


class CannotEdit(Refusal):
    """The message cannot be changed like this."""

    code = "invalid"


def edited_body(original: bytes, changes: Any, text: str | None) -> bytes:
    """The new body: a whole one, or the original with changes (JSON Merge Patch, RFC 7396). `CannotEdit`."""
    body = _edited_body(original, changes, text)
    if len(body) > MOST_BYTES:
        raise CannotEdit(f"The body would be {len(body)} bytes and may be {MOST_BYTES}: make it smaller.")
    return body


def _edited_body(original: bytes, changes: Any, text: str | None) -> bytes:
    if text is not None:
        if REDACTED in text or WITHHELD in text:
            raise CannotEdit(
                f"The body holds {REDACTED!r}, which stands for a secret: send `changes`, "
                "which leave alone what they do not name, or the real value."
            )
        return _encoded(text)
    if changes is None:
        return original
    try:
        value = json.loads(original)
    except (ValueError, RecursionError):
        raise CannotEdit(
            "The original is not JSON, so there is nothing to merge: send a whole `body`."
        ) from None
    if REDACTED in json.dumps(changes):
        raise CannotEdit(f"{REDACTED!r} stands for a secret: leave the field out, or send its real value.")
    return _encoded(json.dumps(merged(value, changes), ensure_ascii=False))


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise CannotEdit("It holds half of a surrogate pair, which no text can.") from None


def merged(value: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for name, change in patch.items():
        if change is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), change)
    return result


def edited_headers(original: dict[str, Any], changes: dict[str, str | None]) -> dict[str, Any]:
    """The headers with these set, or removed where null. `CannotEdit` for what only the system may say."""
    if forbidden := [name for name in changes if not may_travel(name)]:
        raise CannotEdit(f"Only the system itself sets the header {forbidden[0]!r}.")
    if any(REDACTED in value for value in changes.values() if value):
        raise CannotEdit(f"{REDACTED!r} stands for a secret: leave the header out, or send its real value.")
    left = {name: value for name, value in original.items() if name not in changes}
    return left | {name: kept(value) for name, value in changes.items() if value is not None}


def consequences(queue: str, cause: str, body: bytes) -> dict[str, Any]:
    """What follows from where an edited message goes and what it says."""
    return {
        "service": queue.partition(".")[0],
        "message": message_in(queue),
        "cause_group": group_of(queue, cause),
        "fingerprint": hashlib.blake2b(body, digest_size=16).hexdigest(),
    }
