"""A header goes with a replay as it came, whatever JSON has no form for."""

import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from desk_service.domain.headers import as_sent, kept

SENT: dict[str, Any] = {
    "bytes": b"\xff\x00",
    "array": bytearray(b"\x01"),
    "double": 1e300,
    "whole double": 3.0,
    "decimal": Decimal("1.10"),
    "time": datetime(2026, 1, 31, 12, tzinfo=UTC),
    "zero": "a\x00b",
    "half": "\ud800",
    "text": "plain",
    "number": 2**63 - 1,
    "nothing": None,
    "flag": True,
    "list": [b"\xff", {"inner": b"\xfe"}],
    "table": {"amqp": "bytes", "value": "not ours"},
    "own": {"amqp": [1]},
}


@pytest.mark.parametrize("name", SENT)
def test_a_header_comes_back_from_json_as_it_was_sent(name: str) -> None:
    returned = as_sent(json.loads(json.dumps(kept({name: SENT[name]}))))

    assert returned == {name: SENT[name]}
    assert type(returned[name]) is type(SENT[name])


def test_no_kept_header_holds_what_postgresql_refuses() -> None:
    said = json.dumps(kept(SENT), allow_nan=False)

    assert "\\u0000" not in said
    assert "\\ud8" not in said


def test_what_is_not_a_number_comes_back_too() -> None:
    assert math.isnan(as_sent(kept(float("nan"))))
