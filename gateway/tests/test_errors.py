"""What every error tells, whatever went wrong."""

from starlette.requests import Request

from gateway.errors import defect


async def test_a_defect_still_tells_the_key_to_repeat_with_and_the_operation_to_ask() -> None:
    sent = {"idempotency-key": '"k"', "link": '</operations/x>; rel="monitor"'}
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/tasks",
        "headers": [],
        "state": {"answer_headers": sent},
    }

    answer = await defect(Request(scope), ValueError("after the command was sent"))

    assert answer.status_code == 500
    assert sent.items() <= dict(answer.headers).items()
