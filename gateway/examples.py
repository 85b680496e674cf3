"""Whole examples of contracts, made from the examples of their fields: the source of every page and file.

What people send is shown with the fields that are required or have an example; what they are answered, with
all. Nothing is made up but ids, times and versions: a field that needs an example and has none is an error.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from shared.messages import Request

Schema = Mapping[str, Any]

MADE_UP: dict[str, Any] = {
    "uuid": "0199d6c2-7b40-7d15-9e3c-4a1f0c8d2e57",
    "date-time": "2026-11-01T09:00:00Z",
    "integer": 1,
    "boolean": False,
    "null": None,
}
"""By format, else by type."""


def example_of(contract: type[BaseModel]) -> Any:
    """What to type into a contract's queue; of an answer or event, what comes."""
    sent = issubclass(contract, Request)
    schema = contract.model_json_schema(mode="validation" if sent else "serialization")
    return example(schema, schema.get("$defs", {}), whole=not sent)


def example(schema: Schema, schemas: Mapping[str, Schema], *, whole: bool = False) -> Any:
    """What fits a JSON schema; `whole`: with the fields that could be left out."""
    found: Any
    match schema:
        case {"examples": [found, *_]} | {"const": found} | {"default": found} | {"enum": [found, *_]}:
            return found
        case {"$ref": name}:
            return example(schemas[name.rpartition("/")[2]], schemas, whole=whole)
        case {"anyOf": [first, *_]}:
            return example(first, schemas, whole=whole)
        case {"type": "array", "items": item}:
            return [example(item, schemas, whole=whole)]
        case {"properties": fields}:
            shown = (name for name, field in fields.items() if whole or _shown(name, field, schema))
            return {name: example(fields[name], schemas, whole=whole) for name in shown}
        case {"format": kind} | {"type": kind} if kind in MADE_UP:
            return MADE_UP[kind]
    raise LookupError(f"give this field an example: {schema}")


def _shown(name: str, field: Schema, schema: Schema) -> bool:
    return name in schema.get("required", ()) or "examples" in field


def install(app: FastAPI) -> None:
    """Show them in OpenAPI: with every body, and with every parameter that must be sent or has one."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        schemas = document["components"]["schemas"]
        for operation in (one for path in document["paths"].values() for one in path.values()):
            for parameter in operation.get("parameters", ()):
                if parameter["required"] or "examples" in parameter["schema"]:
                    parameter["example"] = example(parameter["schema"], schemas)
            for media in operation.get("requestBody", {}).get("content", {}).values():
                media["example"] = example(media["schema"], schemas)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend it
