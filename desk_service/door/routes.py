"""The desk's REST. Each change is one transaction under the service's one lock; who is late is told (409)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request
from pydantic import BeforeValidator
from starlette.types import ASGIApp

from desk_service.domain.choice import Choice, ListGroups, ListLetters, Paged
from desk_service.domain.editing import CannotEdit, consequences, edited_body, edited_headers
from desk_service.door import problems, shown
from desk_service.door.forms import (
    Actions,
    Chosen,
    Discarded,
    DiscardForm,
    EditForm,
    Groups,
    Letter,
    Letters,
    Order,
    ReplayForm,
    StopForm,
)
from desk_service.door.local_only import LocalOnly
from desk_service.door.problems import AlreadyActedOn, TooOld
from desk_service.replaying import changing
from desk_service.store.letters import LetterStore
from desk_service.store.reading import ReadingStore
from desk_service.store.replays import ReplayStore
from shared.journal_postgresql import PostgresqlJournal
from shared.messages import Name

EDIT_RATE = 50.0
"""Of an order of one it does not matter."""

router = APIRouter(prefix="/desk", tags=["desk"])


def journal_of(request: Request) -> PostgresqlJournal:
    journal: PostgresqlJournal = request.app.state.journal
    return journal


def forgotten_since(request: Request) -> datetime:
    remembered: timedelta = request.app.state.remembered
    return _now() - remembered


Store = Annotated[PostgresqlJournal, Depends(journal_of)]
Forgotten = Annotated[datetime, Depends(forgotten_since)]
"""What was done before that no inbox knows any more."""


def as_typed(name: object) -> object:
    """HTTP knows no letters but Latin ones: UTF-8 passes for them on its way."""
    try:
        return name.encode("latin-1").decode() if isinstance(name, str) else name
    except UnicodeError:
        return name


Who = Annotated[
    Name,
    BeforeValidator(as_typed),
    Header(description="Who does it: the record keeps that.", examples=["ada"]),
]


@router.get("/groups", summary="What failed, by queue and cause")
async def list_groups(query: Annotated[ListGroups, Query()], journal: Store) -> Groups:
    async with journal.reading() as transaction:
        items, cursor = await ReadingStore(transaction).groups(query)
    return Groups.model_validate({"items": [shown.group(one) for one in items], "next_cursor": cursor})


@router.get("/letters", summary="What failed, one by one")
async def list_letters(
    query: Annotated[ListLetters, Query()], journal: Store, forgotten: Forgotten
) -> Letters:
    async with journal.reading() as transaction:
        items, cursor = await ReadingStore(transaction).letters(query)
    lines = [shown.line(one, forgotten) for one in items]
    return Letters.model_validate({"items": lines, "next_cursor": cursor})


@router.get("/letters/{letter}", summary="One whole")
async def get_letter(letter: UUID, journal: Store, forgotten: Forgotten) -> Letter:
    async with journal.reading() as transaction:
        row = await LetterStore(transaction).get(letter)
        history = await ReadingStore(transaction).history(letter, row.conversation)
    return Letter.model_validate(shown.whole(dict(row._mapping), history, forgotten))


@router.post("/replays", status_code=202, summary="Have one, a group, what fits a filter, or all sent again")
async def replay(form: ReplayForm, who: Who, journal: Store, forgotten: Forgotten) -> Order:
    choice = _meant(form)
    left = None if form.letter or form.too_old else forgotten
    async with changing(journal) as transaction:
        store = LetterStore(transaction)
        order = await store.order(choice, form.letter, form.rate, who, _now(), left)
        answer = await _order(ReplayStore(transaction), order)
        if answer.left_too_old and not answer.total:
            raise TooOld(
                f"{answer.left_too_old} that fit were sent longer ago than the inbox remembers: nobody knows "
                "whether they were done. Replay them one by one, or say `too_old` (--too-old)."
            )
        if not answer.total:
            raise await _nothing_open(store, form.letter)
    return answer


@router.get("/replays/{order}", summary="How far an order has come")
async def get_order(order: UUID, journal: Store) -> Order:
    async with journal.reading() as transaction:
        return await _order(ReplayStore(transaction), order)


@router.post("/replays/{order}/stop", summary="Send no more of an order")
async def stop(order: UUID, form: StopForm, who: Who, journal: Store) -> Order:
    async with changing(journal) as transaction:
        store = ReplayStore(transaction)
        await store.progress(order)
        ended = ("queued", "sending", "sent") if form.waiting else ("queued",)
        await store.stop(order, ended, who, _now())
        return await _order(store, order)


@router.post("/letters/{letter}/edit", status_code=202, summary="Send it changed, under a new id")
async def edit(letter: UUID, form: EditForm, who: Who, journal: Store, forgotten: Forgotten) -> Letter:
    async with changing(journal) as transaction:
        store = LetterStore(transaction)
        original = await store.get(letter)
        if original.state != "open":
            raise await _nothing_open(store, letter)
        replaced = store.replace(original, *_changed(form, original), EDIT_RATE, who, _now())
        row = await store.get(replaced)
        history = await ReadingStore(transaction).history(replaced, row.conversation)
    return Letter.model_validate(shown.whole(dict(row._mapping), history, forgotten))


@router.post("/discards", summary="Take one, a group, what fits a filter, or all off the desk")
async def discard(form: DiscardForm, who: Who, journal: Store) -> Discarded:
    choice = _meant(form)
    async with changing(journal) as transaction:
        store = LetterStore(transaction)
        discarded = await store.discard(choice, form.letter, form.reason, who, _now())
        if not discarded:
            raise await _nothing_open(store, form.letter)
    return Discarded(discarded=discarded)


@router.get("/actions", summary="Who did what, the latest first")
async def list_actions(query: Annotated[Paged, Query()], journal: Store) -> Actions:
    async with journal.reading() as transaction:
        items, cursor = await ReadingStore(transaction).actions(query)
    return Actions.model_validate({"items": items, "next_cursor": cursor})


def _meant(form: Chosen) -> Choice:
    choice = Choice.model_validate(form.model_dump(include=set(Choice.model_fields), exclude_none=True))
    named = choice.model_dump(exclude_none=True)
    if [bool(form.letter), bool(named), form.all].count(True) != 1:
        raise CannotEdit("Say which: one `letter`, or filters such as `group` or `queue`, or `all`: true.")
    return choice


def _changed(form: EditForm, original: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    if form.body is not None and form.changes is not None:
        raise CannotEdit("Send either `changes` or a whole `body`, not both.")
    changed: dict[str, Any] = {
        "body": edited_body(original.body, form.changes, form.body),
        "headers": edited_headers(original.headers, dict(form.headers)),
        "queue": form.queue or original.queue,
    }
    different = {name: value for name, value in changed.items() if value != original._mapping[name]}
    if not different:
        raise CannotEdit("Nothing would be different: replay it as it is, or say what to change.")
    return different, consequences(changed["queue"], original.cause, changed["body"])


async def _nothing_open(store: LetterStore, letter: UUID | None) -> AlreadyActedOn:
    if letter is None:
        return AlreadyActedOn("Nothing that fits is open. What is on its way or at its end is not touched.")
    row = await store.get(letter)
    return AlreadyActedOn(
        f"Letter {letter} is {row.state}, not open: {row.changed_by} was here at "
        f"{row.changed_at.isoformat(timespec='seconds')}."
    )


async def _order(store: ReplayStore, order: UUID) -> Order:
    progress = await store.progress(order)
    told = {"total": sum(progress.counts.values()), "waiting_since": progress.waiting_since}
    return Order.model_validate({**progress.order._mapping, **progress.counts, **told})


def _now() -> datetime:
    return datetime.now(UTC)


def desk_door(journal: PostgresqlJournal, remembered: timedelta) -> Callable[[ASGIApp], ASGIApp]:
    """The desk's REST around the pages that every service has. `remembered`: for how long inboxes know."""

    def build(pages: ASGIApp) -> ASGIApp:
        app = FastAPI(title="The desk", docs_url=None, redoc_url=None, redirect_slashes=False)
        app.state.journal = journal
        app.state.remembered = remembered
        app.add_middleware(LocalOnly)
        problems.install(app)
        app.include_router(router)
        app.mount("/", pages)
        return app

    return build
