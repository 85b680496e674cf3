"""Secrets are shown to nobody. What is stored stays whole, since it may be replayed.

A secret is what stands under a name that says so, in JSON or in text, a login in a URL, a JSON Web
Token, and a contract's field whose schema is `writeOnly` (pydantic's `SecretStr` is).
"""

import base64
import json
from typing import Any

from pydantic_core import to_json

from shared.redaction import REDACTED, SECRET_NAME, redacted_text

WITHHELD = "[withheld: it is not text, and looks as if it held a secret]"


def redacted(value: Any, marked: frozenset[str] = frozenset()) -> Any:
    """A JSON value without its secrets. `marked`: names of fields that a contract calls secret."""
    if isinstance(value, dict):
        return {name: _member(name, one, marked) for name, one in value.items()}
    if isinstance(value, list):
        return [redacted(one, marked) for one in value]
    return redacted_text(value) if isinstance(value, str) else value


def _member(name: str, value: Any, marked: frozenset[str]) -> Any:
    if value is not None and (name in marked or SECRET_NAME.search(name)):
        return REDACTED
    return redacted(value, marked)


def secret_fields(schema: dict[str, Any]) -> frozenset[str]:
    """The names of the fields that a contract's JSON schema marks, at any depth."""
    names: set[str] = set()
    waiting: list[Any] = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            properties = one.get("properties")
            if isinstance(properties, dict):
                names |= {name for name, field in properties.items() if _is_marked(field)}
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return frozenset(names)


def _is_marked(field: Any) -> bool:
    if not isinstance(field, dict):
        return False
    forms = [field, *(one for name in ("anyOf", "oneOf", "allOf") for one in field.get(name, []))]
    return any(form.get("writeOnly") for form in forms if isinstance(form, dict))


def body_shown(body: bytes, marked: frozenset[str]) -> dict[str, Any]:
    """A body as people can read it: JSON, else text, else base64 with the first bytes in hex.

    JSON that cannot be sent on (half of a surrogate pair, or nested too deep) is shown as text.
    """
    try:
        value = redacted(json.loads(body), marked)
    except (ValueError, RecursionError):
        return _other_than_json(body)
    try:
        to_json({"json": value})
    except ValueError:
        return {"form": "text", "text": json.dumps(value)}
    return {"form": "json", "json": value}


def _other_than_json(body: bytes) -> dict[str, Any]:
    try:
        return {"form": "text", "text": redacted_text(body.decode())}
    except UnicodeDecodeError:
        pass
    if SECRET_NAME.search(body.decode("latin-1")):
        return {"form": "withheld", "text": WITHHELD}
    return {"form": "base64", "base64": base64.b64encode(body).decode(), "hex": body[:256].hex(" ")}
