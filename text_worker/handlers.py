"""What text_worker does, a function a message."""

import asyncio
from collections.abc import Sequence

from shared.blobs import BlobLost
from shared.contracts.blobs import Blob
from shared.contracts.texts import (
    CancelText,
    GetReport,
    GetText,
    ListTexts,
    NotTrusted,
    ProcessText,
    ProcessTextBulk,
    RemoveBlob,
    RemoveText,
    Report,
    RunTextAgain,
    StartText,
    SubmitText,
    TextCancelled,
    TextFailed,
    TextJob,
    TextJobs,
    TextProcessed,
    TextRemoved,
    TextStarted,
    TextSubmitted,
)
from shared.handling import DIRECT, Work, handles
from text_worker.domain import jobs
from text_worker.domain.counting import report_on
from text_worker.store import TextStore

OURSELVES = "text_worker"
SLOW_SECONDS = 1.0
Process = ProcessText | ProcessTextBulk


@handles(SubmitText, large=True)
async def submit_text(command: SubmitText, work: Work) -> TextJob:
    """Keep the text, and send the work."""
    if command.blob and work.actor == DIRECT:
        raise NotTrusted(
            "Only the gateway names a blob: send the text itself, or POST a large one to /texts."
        )
    store = TextStore(work)
    job = jobs.submitted(command, work.now)
    lane = await store.lane_of(work.actor, jobs.FIRST_LANE)

    content = command.blob or command.text
    assert content
    store.add(job, content, work.actor, lane)
    work.say(TextSubmitted(job=job))
    work.send(_work_in(lane, job))
    return job


def _work_in(lane: str, job: TextJob) -> Process:
    return (ProcessText if lane == "first" else ProcessTextBulk)(text=job.id, run=job.run)


async def count_words(command: Process, work: Work) -> str | BlobLost | None:
    """Count, in another process; None where nobody wants it any more. Says when it takes long."""
    assert work.turn and work.blobs
    wanted = await TextStore(work).find_wanted(command.text, command.run)
    if wanted is None:
        return None

    content, top = wanted
    if isinstance(content, str):
        return await _counted(content, command, top, work)
    async with work.turn:
        try:
            text = (await work.blobs.get(content)).decode()
        except BlobLost as lost:
            return lost  # no later attempt would find it
        return await _counted(text, command, top, work)


async def _counted(text: str, command: Process, top: int, work: Work) -> str:
    assert work.compute and work.send_now
    start = StartText(text=command.text, run=command.run)
    later = asyncio.get_running_loop().call_later(SLOW_SECONDS, work.send_now, start)
    try:
        return str(await work.compute(report_on, text, top))
    finally:
        later.cancel()


async def read_jobs(commands: Sequence[Process], work: Work) -> None:
    """Read the jobs of a batch at once."""
    await TextStore(work).read_ahead([command.text for command in commands])


async def give_text_up(command: Process, reason: str, work: Work) -> None:
    """Say that it failed, if somebody still wants it."""
    job = await TextStore(work).find(command.text)
    if job and jobs.is_wanted(job, command.run):
        _fail(job, reason, work)


def _fail(job: TextJob, reason: str, work: Work) -> TextJob:
    failed = jobs.failed(job, reason, work.attempt, work.now)
    TextStore(work).save(job, failed)
    work.say(TextFailed(job=failed))
    return failed


@handles(ProcessText, prepare=count_words, given_up=give_text_up, ahead=read_jobs)
async def process_text(command: ProcessText, work: Work) -> TextJob | None:
    """Keep what was counted, if somebody still wants it, or had it replayed."""
    return await _processed(command, work)


@handles(ProcessTextBulk, prepare=count_words, given_up=give_text_up, bulk=True, ahead=read_jobs)
async def process_text_bulk(command: ProcessTextBulk, work: Work) -> TextJob | None:
    """The same in the second lane, which leaves half of the places to the first."""
    return await _processed(command, work)


async def _processed(command: Process, work: Work) -> TextJob | None:
    store = TextStore(work)
    job = await store.find(command.text)
    if job is None or work.prepared is None or not jobs.may_be_done(job, command.run):
        return job
    if isinstance(work.prepared, BlobLost):
        return _fail(job, f"The text cannot be read: {work.prepared}; hand it in again.", work)

    done = jobs.done(job, work.attempt, work.now)
    store.save(job, done)
    store.save_report(done, work.prepared)
    work.say(TextProcessed(job=done))
    return done


@handles(StartText)
async def start_text(command: StartText, work: Work) -> TextJob:
    """Show that it runs, if it still waits."""
    store = TextStore(work)
    job = await store.get(command.text)
    if job.run != command.run or job.status != "queued":
        return job

    started = jobs.started(job, work.now)
    store.save(job, started)
    work.say(TextStarted(job=started))
    return started


@handles(CancelText)
async def cancel_text(command: CancelText, work: Work) -> TextJob:
    """Want it no more."""
    store = TextStore(work)
    job = await store.get(command.text)
    cancelled = jobs.cancelled(job, work.now)

    store.save(job, cancelled)
    store.want(cancelled.id, None, cancelled.top)
    work.say(TextCancelled(job=cancelled))
    return cancelled


@handles(RunTextAgain)
async def run_text_again(command: RunTextAgain, work: Work) -> TextJob:
    """Send the work once more."""
    store = TextStore(work)
    job = await store.get(command.text)
    again = jobs.run_again(job)
    person = await store.get_person(again.id)
    lane = await store.lane_of(person, jobs.FIRST_LANE)

    store.save_again(job, again, person, lane)
    store.want(again.id, again.run, again.top)
    work.say(TextSubmitted(job=again))
    work.send(_work_in(lane, again))
    return again


@handles(RemoveText)
async def remove_text(command: RemoveText, work: Work) -> TextJob:
    """Remove a text."""
    store = TextStore(work)
    job = jobs.removed(await store.get(command.text))
    content = await store.get_content(job.id)

    store.remove(job.id)
    work.say(TextRemoved(job=job))
    if isinstance(content, Blob):
        work.send(RemoveBlob(blob=content))
    return job


async def remove_unreferenced(command: RemoveBlob, work: Work) -> None:
    """Another text has the same blob if its command came under the same key, days later."""
    assert work.blobs
    if work.actor != OURSELVES:
        raise NotTrusted("Only text_worker removes blobs, with their texts: send texts.remove_text.")
    if not await TextStore(work).referred_to([command.blob.key]):
        await work.blobs.remove(command.blob.key)


@handles(RemoveBlob, prepare=remove_unreferenced)
async def remove_blob(command: RemoveBlob, work: Work) -> Blob:
    """Remove the blob of a text that is gone."""
    return command.blob


@handles(GetText)
async def get_text(query: GetText, work: Work) -> TextJob:
    """Say how far a text has come."""
    return await TextStore(work).get(query.text)


@handles(GetReport)
async def get_report(query: GetReport, work: Work) -> Report:
    """Read what was counted."""
    return await TextStore(work).get_report(query.text)


@handles(ListTexts)
async def list_texts(query: ListTexts, work: Work) -> TextJobs:
    """List the texts, a page at a time."""
    return await TextStore(work).list(query)
