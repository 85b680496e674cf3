"""The structure of a JSON body, counted on its bytes."""

import json

import pytest

from gateway.limits import Limits, OverLimit
from gateway.settings import GatewaySettings

LIMITS = Limits(None, GatewaySettings(json_depth=4, list_items=3), {})  # type: ignore[arg-type]  # no app behind


@pytest.mark.parametrize(
    "body",
    [
        {"a": [[{}]]},
        {"a": [1, 2, 3], "b": [1, 2, [3, 4, 5]]},
        {str(number): number for number in range(50)},
        {"a": {str(number): [1, 2, 3] for number in range(50)}},
        {"text": "[[[[[[[[", "and": "},,,,,,,,]"},
        {'quoted "[[[[[': ['\\"[[[[,,,,', "\\", ",,,,"]},
    ],
)
def test_what_is_within_the_limits_passes_whatever_its_strings_hold(body: object) -> None:
    LIMITS.check_json(json.dumps(body).encode())
    LIMITS.check_json(json.dumps(body, indent=1, ensure_ascii=False).encode())


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"a": [[[[]]]]}', "too_deep"),
        (b'{"a": {"a": {"a": {"a": {}}}}}', "too_deep"),
        (b'["\\\\", [[[[', "too_deep"),
        (b"[" * 1_000_000, "too_deep"),
        (b'["a]]]]", [[["]", []]]]]', "too_deep"),
        (b"[1, 2, 3, 4]", "too_many_items"),
        (b'{"a": [{"b": [1, 2, 3, 4]}]}', "too_many_items"),
        (b'[[1, 2], [1, 2], [1, "2,"], []]', "too_many_items"),
    ],
)
def test_what_is_deeper_or_longer_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(OverLimit) as refused:
        LIMITS.check_json(body)
    assert refused.value.code == code


@pytest.mark.parametrize("body", [b'"[[[[[', b"}}}}}[[[[[", b",,,,,", b"[]" * 50, b'"' * 101 + b"[" * 9])
def test_what_is_no_json_is_left_to_the_parser(body: bytes) -> None:
    LIMITS.check_json(body)
