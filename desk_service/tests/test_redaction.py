"""No secret is shown, wherever in a message it stands."""

import json
from time import monotonic
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr

from desk_service.domain.headers import kept
from desk_service.domain.redaction import WITHHELD, body_shown, redacted, secret_fields
from desk_service.door.shown import TOO_DEEP, headers_shown
from shared.redaction import REDACTED, redacted_text


def test_members_that_are_named_like_secrets_are_hidden_at_any_depth_and_the_others_stay() -> None:
    body = {
        "title": "Milk",
        "userPassword": "hunter2",
        "a": [{"API-Key": "hunter2", "n": 1, "Authorization": ["hunter2"], "refresh_token": None}],
        "note": "see https://ada:hunter2@example.org/ and password=hunter2",
    }

    shown = redacted(body)

    assert "hunter2" not in json.dumps(shown)
    assert shown["title"] == "Milk"
    assert shown["a"][0] == {"API-Key": REDACTED, "n": 1, "Authorization": REDACTED, "refresh_token": None}


@pytest.mark.parametrize(
    "text",
    [
        "password: hunter2",
        'LookupError: {"token": "hunter2"} is gone',
        '{\\"secret\\": \\"hunter2\\"}',
        "connect(api_key='hunter2')",
        "Authorization: Bearer hunter2hunter2",
        "sent Bearer hunter2hunter2 along",
        "amqp://guest:hunter2@127.0.0.1",
        '{"password": "hunter2',
        '{\\"password\\": \\"a hunter2\\"}',
        "Authorization: Token hunter2",
        "Cookie: theme=dark; sid=hunter2",
        "https://ada:p@hunter2@example.org/",
        "it was eyJhbGciOiJIUzI1NiJ9.hunter2.c2lnbmVk",
    ],
)
def test_text_is_shown_without_what_looks_like_a_secret(text: str) -> None:
    assert "hunter2" not in redacted_text(text)


@pytest.mark.parametrize("part", ["a", "secret", "password ", "token:", "cookie:", "eyJaaaaa-", "://a:", "'"])
def test_a_large_text_is_looked_through_in_no_time(part: str) -> None:
    began = monotonic()

    redacted_text(part * 30_000)

    assert monotonic() - began < 3


def test_fields_that_a_contract_marks_are_hidden_by_their_name() -> None:
    class Inner(BaseModel):
        pin: SecretStr

    class Contract(BaseModel):
        inner: list[Inner]
        answer: str | None = Field(json_schema_extra={"writeOnly": True})
        title: str

    marked = secret_fields(Contract.model_json_schema())

    assert marked == {"pin", "answer"}
    assert redacted({"answer": "blue", "title": "x"}, marked) == {"answer": REDACTED, "title": "x"}


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"a": 1}', {"form": "json", "json": {"a": 1}}),
        (b'{"a": 1', {"form": "text", "text": '{"a": 1'}),
        (b"\xff\x00", {"form": "base64", "base64": "/wA=", "hex": "ff 00"}),
        (b"\xffpassword=hunter2", {"form": "withheld", "text": WITHHELD}),
        (b"[" * 100_000, {"form": "text", "text": "[" * 100_000}),
        (b'{"a": "\\ud800"}', {"form": "text", "text": '{"a": "\\ud800"}'}),
        (b'{"a": "\xed\xa0\x80"}', {"form": "text", "text": '{"a": "\\ud800"}'}),
        (b"[" * 300 + b"]" * 300, {"form": "text", "text": "[" * 300 + "]" * 300}),
        (b"[1e400, 1%s]" % (b"0" * 30), {"form": "json", "json": [float("inf"), 10**30]}),
    ],
)
def test_a_body_is_shown_in_the_form_that_it_can_be_read_in(body: bytes, shown: dict[str, object]) -> None:
    assert body_shown(body, frozenset()) == shown


class Shown(BaseModel):
    body: dict[str, Any]


@pytest.mark.parametrize("depth", [253, 254, 255, 256, 300, 450, 490])
@pytest.mark.parametrize(("opening", "closing"), [(b'{"a":', b"}"), (b"[", b"]")])
def test_however_deep_a_body_is_nested_it_can_be_sent(depth: int, opening: bytes, closing: bytes) -> None:
    shown = Shown(body=body_shown(opening * depth + b"1" + closing * depth, frozenset()))

    assert shown.model_dump_json()


@pytest.mark.parametrize("depth", [256, 300, 450])
def test_headers_that_are_nested_too_deep_to_be_sent_are_not_shown(depth: int) -> None:
    headers = {"deep": json.loads('{"a":' * depth + "1" + "}" * depth)}

    assert headers_shown(kept(headers)) == TOO_DEEP


def test_json_that_is_shown_as_text_tells_no_secret_either() -> None:
    shown = body_shown(b'{"a": "\\ud800", "pin": 1234, "password": "hunter2"}', frozenset({"pin"}))

    assert shown["form"] == "text"
    assert "1234" not in shown["text"] and "hunter2" not in shown["text"]
