"""Letters as they are shown: without secrets, and with a body that can be read."""

from datetime import datetime
from typing import Any

from pydantic_core import to_json

from desk_service.domain.deaths import plain
from desk_service.domain.headers import as_sent
from desk_service.domain.redaction import body_shown, redacted, secret_fields
from shared.messages import EVENTS, REQUESTS
from shared.redaction import redacted_text

TEXTS = ("reason", "cause")
TOO_DEEP = {"[withheld]": "they are nested too deep to be shown"}


def group(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"cause": redacted_text(row["cause"])}


def line(row: dict[str, Any], forgotten: datetime) -> dict[str, Any]:
    """`forgotten`: what was done before that no inbox knows any more."""
    too_old = (row["sent_at"] or row["first_died_at"]) < forgotten
    return row | {name: redacted_text(row[name]) for name in TEXTS} | {"too_old": too_old}


def whole(
    row: dict[str, Any], history: dict[str, list[dict[str, Any]]], forgotten: datetime
) -> dict[str, Any]:
    """A letter with all that belongs to it."""
    return line(row, forgotten) | {
        "size_bytes": len(row["body"]),
        "body": body_shown(row["body"], marked_in(row["queue"])),
        "headers": headers_shown(row["headers"]),
        "died": [_without_secrets(one, {"letter"}) for one in history["deaths"]],
        "replays": [_without_secrets(one, {"letter", "looked_at"}) for one in history["replays"]],
        "actions": history["actions"],
        "edited_to": [one["id"] for one in history["edited_to"]],
        "same_conversation": [one["id"] for one in history["same_conversation"]],
    }


def headers_shown(kept: dict[str, Any]) -> dict[str, Any]:
    """Headers without their secrets; none where they are nested too deep to be sent as JSON."""
    try:
        shown: dict[str, Any] = redacted(plain(as_sent(kept)))
        to_json({"headers": shown})
    except (ValueError, RecursionError):
        return TOO_DEEP
    return shown


def _without_secrets(row: dict[str, Any], left_out: set[str]) -> dict[str, Any]:
    return {name: redacted(value) for name, value in row.items() if name not in left_out}


def marked_in(queue: str) -> frozenset[str]:
    """The fields that the contract of a queue calls secret."""
    contract = REQUESTS.get(queue) or EVENTS.get(queue.partition(".on.")[2])
    return secret_fields(contract.model_json_schema()) if contract else frozenset()
