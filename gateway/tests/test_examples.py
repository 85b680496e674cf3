"""Every contract can be shown by a whole example, and the example fits the contract."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from gateway.examples import example_of
from shared import topology
from shared.contracts.operations import GetOperation
from shared.contracts.tasks import CreateTask
from shared.messages import EVENTS, REQUESTS, CommandRefused

topology.load_contracts()
CONTRACTS: dict[str, type[BaseModel]] = {
    contract.__name__: contract
    for contract in (
        *REQUESTS.values(),
        *(request.answer for request in REQUESTS.values()),
        *EVENTS.values(),
    )
    if contract.__module__.startswith("shared.")
}


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_contract_has_an_example_that_fits_it(name: str) -> None:
    text = json.dumps(example_of(CONTRACTS[name]))

    CONTRACTS[name].model_validate_json(text)


def test_what_people_send_is_shown_without_fields_that_have_no_example() -> None:
    assert example_of(CreateTask).keys() == {"title", "description", "priority", "due_at", "tags"}


def test_what_people_are_answered_is_shown_with_all_fields() -> None:
    assert example_of(CreateTask.answer).keys() == CreateTask.answer.model_fields.keys()


def test_the_queues_in_examples_are_there() -> None:
    assert {example_of(GetOperation)["command_queue"], example_of(CommandRefused)["queue"]} <= REQUESTS.keys()


def test_a_text_without_an_example_is_an_error() -> None:
    class Silent(BaseModel):
        name: str
        size: Any = None

    with pytest.raises(LookupError, match=r"give this field an example.*Name"):
        example_of(Silent)
