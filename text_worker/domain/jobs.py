"""The rules of jobs: pure, synchronous, no I/O."""

from datetime import datetime

from shared.contracts.texts import AlreadyEnded, StillUnderWay, SubmitText, TextJob
from shared.messages import new_id

UNDER_WAY = frozenset(("queued", "running"))
FIRST_LANE = 50
"""So many jobs of one person are under way in the first lane; who hands in more shares the second."""


def submitted(command: SubmitText, now: datetime) -> TextJob:
    """A new job starts at version 1, in its first run."""
    return TextJob(id=new_id(), version=1, title=command.title or "", top=command.top, created_at=now)


def is_wanted(job: TextJob | None, run: int) -> bool:
    """Whether the outcome of a run is still waited for."""
    return job is not None and job.run == run and job.status in UNDER_WAY


def may_be_done(job: TextJob, run: int) -> bool:
    """A run that was given up, and so failed, may be replayed from the desk."""
    return is_wanted(job, run) or (job.run == run and job.status == "failed")


def started(job: TextJob, now: datetime) -> TextJob:
    return _next(job, status="running", started_at=now)


def done(job: TextJob, attempt: int, now: datetime) -> TextJob:
    return _next(job, status="done", reason=None, attempts=attempt, ended_at=now)


def failed(job: TextJob, reason: str, attempt: int, now: datetime) -> TextJob:
    return _next(job, status="failed", reason=reason, attempts=attempt, ended_at=now)


def cancelled(job: TextJob, now: datetime) -> TextJob:
    """Refuses with `AlreadyEnded`."""
    if job.status not in UNDER_WAY:
        raise AlreadyEnded(f"The text is {job.status}: there is nothing to cancel.")
    return _next(job, status="cancelled", ended_at=now)


def run_again(job: TextJob) -> TextJob:
    """Refuses with `StillUnderWay`."""
    if job.status in UNDER_WAY:
        raise StillUnderWay(f"The text is {job.status}: wait for its end, or cancel it first.")
    fresh = {"status": "queued", "reason": None, "attempts": 0, "started_at": None, "ended_at": None}
    return _next(job, run=job.run + 1, **fresh)


def removed(job: TextJob) -> TextJob:
    """A removal is a version too, so that whoever keeps jobs knows it from an older change."""
    return _next(job)


def _next(job: TextJob, **changes: object) -> TextJob:
    return job.model_copy(update={"version": job.version + 1, **changes})
