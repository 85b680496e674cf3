"""Texts by REST; what they mean stands in shared/contracts/texts.py."""

import logging
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict
from starlette.responses import StreamingResponse

from gateway.asking import Ask
from gateway.openapi import ALWAYS, problems
from shared.blobs import BlobsAway
from shared.contracts.texts import (
    INLINE_BYTES,
    CancelText,
    Content,
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
    Title,
    Top,
)
from shared.messages import Unavailable

log = logging.getLogger(__name__)

router = APIRouter(prefix="/texts", tags=["texts"])

EVENT_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}},
    204: {"description": "`Last-Event-ID` was the last: there is nothing to come again for."},
}


class NewText(BaseModel):
    """A text of at most 5,000,000 bytes of UTF-8, with something in it and without NUL."""

    model_config = ConfigDict(extra="forbid")

    text: Content
    title: Title = None
    top: Top = 20


@router.post("", status_code=202, summary="Hand a text in")
async def submit_text(text: NewText, ask: Ask) -> TextJob:
    """Its address is in `Location`: look there how far the counting has come."""
    return await ask(await _command(text, ask))


async def _command(new: NewText, ask: Ask) -> SubmitText:
    """A large text goes to the blob store first, unless nothing can be sent just now.

    It stays there whatever becomes of the command: a repeat that is not sent must not take away what the
    first one refers to. Its owner removes what nobody needs.
    """
    content = new.text.encode()
    if len(content) <= INLINE_BYTES:
        return SubmitText(text=new.text, title=new.title, top=new.top)
    message_id = ask.message_id(SubmitText)
    ask.gateway.refuse_what_cannot_be_sent()
    try:
        blob = await ask.gateway.blobs.put(SubmitText.owner(), message_id, content)
    except BlobsAway as away:
        log.warning("a text cannot be kept", extra={"fields": {"reason": str(away)}})
        raise Unavailable("The store for large texts cannot be reached; try again shortly.") from away
    return SubmitText(blob=blob, title=new.title, top=new.top)


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
