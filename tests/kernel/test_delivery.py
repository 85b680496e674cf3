"""What a message was about, and what its answer tells of new versions."""

from types import SimpleNamespace
from typing import Any

import orjson

from shared.contracts.tasks import Task, TaskChanged, TaskCreated
from shared.delivery import MOST_VERSIONS, this_moment, touched_by
from shared.messages import new_id


def task(version: int = 1) -> Task:
    return Task(id=new_id(), version=version, title="Buy milk", created_at=this_moment())


def touched(answer: Any, *events: Any) -> tuple[list[str], Any]:
    work: Any = SimpleNamespace(said=events)
    addresses, versions = touched_by(work, answer)
    return addresses, orjson.loads(versions)


def test_the_answer_comes_first_and_the_versions_are_those_of_the_others() -> None:
    own, other = task(), task(version=7)

    assert touched(own, TaskCreated(task=own)) == ([f"/tasks/{own.id}"], {})
    assert touched(None) == ([], {})
    assert touched(own, TaskChanged(task=other), TaskCreated(task=own)) == (
        [f"/tasks/{own.id}", f"/tasks/{other.id}"],
        {f"/tasks/{other.id}": 7},
    )
    assert touched(None, TaskCreated(task=other)) == ([f"/tasks/{other.id}"], {f"/tasks/{other.id}": 7})


def test_more_than_a_header_can_hold_is_not_told_one_by_one() -> None:
    own, others = task(), [task() for _ in range(MOST_VERSIONS)]

    addresses, versions = touched(own, *(TaskCreated(task=one) for one in others))
    assert len(addresses) == MOST_VERSIONS
    assert addresses[0] == f"/tasks/{own.id}"
    assert len(versions) == MOST_VERSIONS

    addresses, versions = touched(own, *(TaskCreated(task=one) for one in [*others, task()]))
    assert len(addresses) == MOST_VERSIONS
    assert versions is None
