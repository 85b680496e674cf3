"""What a request takes along to the services."""

from types import SimpleNamespace

import pytest
from fastapi import Request, Response

from gateway.asking import Asker

TRACE = f"00-{'a' * 32}-{'b' * 16}-01"


def taken_along(traceparent: str) -> str:
    app = SimpleNamespace(state=SimpleNamespace(gateway=None))
    headers = [(b"traceparent", traceparent.encode())]
    return Asker(Request({"type": "http", "app": app, "headers": headers}), Response()).traceparent


def test_a_trace_goes_along() -> None:
    assert taken_along(TRACE) == TRACE


@pytest.mark.parametrize("none", ["", "nonsense", f"{TRACE}-more", TRACE.upper(), f"ff{TRACE[2:]}"])
def test_what_is_no_trace_does_not(none: str) -> None:
    assert taken_along(none) == ""
