"""Texts by REST; what they mean stands in shared/contracts/texts.py."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from starlette.responses import StreamingResponse

from gateway.asking import Ask
from gateway.openapi import ALWAYS, problems
from shared.contracts.texts import (
    CancelText,
    GetReport,
    GetText,
    ListTexts,
    RemoveText,
    Report,
    RunTextAgain,
    SubmitText,
    TextId,
    TextJob,
    TextJobs,
)

router = APIRouter(prefix="/texts", tags=["texts"])

EVENT_STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}


@router.post("", status_code=202, summary="Hand a text in")
async def submit_text(command: SubmitText, ask: Ask) -> TextJob:
    """Its address is in `Location`: look there how far the counting has come."""
    return await ask(command)


@router.get("", summary="List texts")
async def list_texts(query: Annotated[ListTexts, Query()], ask: Ask) -> TextJobs:
    """A `Link` with `rel="next"` leads to the next page."""
    return await ask(query)


@router.get("/{text}", summary="Ask how far a text has come")
async def get_text(text: TextId, ask: Ask) -> TextJob:
    return await ask(GetText(text=text))


@router.get(
    "/{text}/events",
    summary="Follow how far a text has come",
    response_class=StreamingResponse,
    responses={**EVENT_STREAM, **problems(*ALWAYS, "not_found")},
)
async def follow_text(text: TextId, ask: Ask) -> Response:
    """Server-sent events: the text, and each new version of it, until it has ended."""
    return await ask.changes(GetText(text=text), lambda job: job["status"] not in {"queued", "running"})


@router.get("/{text}/report", summary="Read what was counted")
async def get_report(text: TextId, ask: Ask) -> Report:
    """409 while the text is not done."""
    return await ask(GetReport(text=text))


@router.post("/{text}/cancel", summary="Cancel what has not ended", openapi_extra={"x-example-status": 409})
async def cancel_text(text: TextId, ask: Ask) -> TextJob:
    return await ask(CancelText(text=text))


@router.post("/{text}/again", summary="Count a text once more")
async def run_text_again(text: TextId, ask: Ask) -> TextJob:
    return await ask(RunTextAgain(text=text))


@router.delete("/{text}", status_code=204, summary="Remove a text")
async def remove_text(text: TextId, ask: Ask) -> None:
    await ask(RemoveText(text=text))
