"""What an operation's id is good for: one actor, one secret, one time."""

import pytest

from gateway.operations import OperationExpired, OperationKey, OperationNotFound, Operations

KEY = OperationKey("tasks.create_task", "0123", "anna")


def made(secret: str = "ours", *, keep_seconds: float = 3600) -> tuple[Operations, str]:
    operations = Operations(secret, keep_seconds)
    return operations, operations.path(KEY).removeprefix("/operations/")


def test_an_operation_holds_which_command_of_whom_it_is_about() -> None:
    operations, operation = made()

    assert operations.read(operation, "anna") == KEY
    assert KEY.owner == "tasks"


def test_an_operation_of_somebody_else_is_not_found() -> None:
    operations, operation = made()

    with pytest.raises(OperationNotFound):
        operations.read(operation, "boris")


def test_an_operation_that_another_secret_signed_is_not_found() -> None:
    _, operation = made("theirs")

    with pytest.raises(OperationNotFound):
        made("ours")[0].read(operation, "anna")


def test_an_operation_that_is_too_old_is_said_to_be_so() -> None:
    operations, operation = made(keep_seconds=-1)

    with pytest.raises(OperationExpired):
        operations.read(operation, "anna")
