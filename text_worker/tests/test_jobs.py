"""What may become of a job."""

from datetime import UTC, datetime

import pytest

from shared.contracts.texts import AlreadyEnded, StillUnderWay, SubmitText, TextJob
from text_worker.domain import jobs

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def a_job() -> TextJob:
    return jobs.submitted(SubmitText(text="One.", title="first"), NOW)


ENDED = [
    jobs.done(a_job(), 1, NOW),
    jobs.failed(a_job(), "broke", 3, NOW),
    jobs.cancelled(a_job(), NOW),
]


def test_a_new_job_is_queued_in_its_first_run() -> None:
    job = a_job()

    assert (job.status, job.run, job.version, job.attempts) == ("queued", 1, 1, 0)


@pytest.mark.parametrize("job", [a_job(), jobs.started(a_job(), NOW)])
def test_what_is_under_way_is_wanted_in_its_own_run_only(job: TextJob) -> None:
    assert jobs.is_wanted(job, 1)
    assert not jobs.is_wanted(job, 2)


@pytest.mark.parametrize("job", [*ENDED, None])
def test_what_has_ended_or_is_gone_is_not_wanted(job: TextJob | None) -> None:
    assert not jobs.is_wanted(job, 1)


def test_what_was_given_up_may_still_be_done_in_its_own_run() -> None:
    failed = jobs.failed(a_job(), "given up", 3, NOW)
    done = jobs.done(failed, 1, NOW)

    assert [jobs.may_be_done(failed, run) for run in (1, 2)] == [True, False]
    assert (done.status, done.reason) == ("done", None)
    assert not any(jobs.may_be_done(job, 1) for job in (done, jobs.cancelled(a_job(), NOW)))


@pytest.mark.parametrize("job", ENDED)
def test_what_has_ended_cannot_be_cancelled(job: TextJob) -> None:
    with pytest.raises(AlreadyEnded):
        jobs.cancelled(job, NOW)


@pytest.mark.parametrize("job", ENDED)
def test_what_has_ended_can_be_run_again_as_if_nothing_had_been(job: TextJob) -> None:
    again = jobs.run_again(job)

    assert (again.status, again.run, again.version) == ("queued", 2, job.version + 1)
    assert (again.reason, again.attempts, again.started_at, again.ended_at) == (None, 0, None, None)


def test_what_is_under_way_cannot_be_run_again() -> None:
    with pytest.raises(StillUnderWay):
        jobs.run_again(a_job())


def test_every_change_is_a_new_version() -> None:
    job = a_job()
    changes = [jobs.started(job, NOW), *ENDED, jobs.removed(job)]

    assert {change.version for change in changes} == {2}
