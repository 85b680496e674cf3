"""Amounts of waste, by kind.

Amounts have the unit their users agreed on. A JSON number is read as a double (RFC 8259, section 6); an
amount sent as a string is read digit by digit.
"""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from shared.messages import Number

AMOUNT_TEXT = r"[0-9]{1,9}(\.[0-9]{1,3})?|1000000000(\.0{1,3})?"


def _plain(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(AMOUNT_TEXT, value):
        raise PydanticCustomError("amount_text", "An amount as a string is written like 12 or 12.345")
    return value


KindCode = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,49}$"), Field(examples=["glass"])]
"""The short name of a kind of waste, e.g. `bio`."""

Amount = Annotated[
    Number,
    Field(gt=0, le=1_000_000_000, decimal_places=3),
    BeforeValidator(_plain),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000_000, "multipleOf": 0.001},
                {"type": "string", "pattern": rf"^(?=.*[1-9])({AMOUNT_TEXT})$"},
            ]
        },
        mode="validation",
    ),
]
"""More than 0, at most 10⁹, at most three places; a JSON number, or a string of plain digits: "12.345"."""

Amounts = Annotated[
    dict[KindCode, Amount],
    Field(min_length=1, max_length=100, json_schema_extra={"additionalProperties": False}),
]
"""Amounts by kind."""
