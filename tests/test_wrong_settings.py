"""A wrong setting ends a process with a sentence that names its variable: no traceback, no password."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local.servers import Servers
from tests.system import ROOT


async def refusal(module: str, *arguments: str, **environment: str) -> str:
    """What the process says while it ends with 1."""
    command = [sys.executable, "-m", module, *arguments]
    ended = await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1, ended
    assert "Traceback" not in ended.stderr
    return ended.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("module", "variable", "value"),
    [
        ("waste_service.main", "WASTE_INBOX_HOURS", "abc"),
        ("waste_service.main", "WASTE_RETRY_SECONDS", '["abc"]'),
        ("task_service.main", "LOG_FORMAT", "pretty"),
        ("task_service.main", "TASK_LOG_LEVEL", "loud"),
        ("desk_service.main", "DESK_HTTP_HOST", "0.0.0.0"),
        ("gateway.main", "GATEWAY_HTTP_PORT", "web"),
        ("gateway.main", "GATEWAY_HTTP_PORT", "70000"),
        ("gateway.main", "GATEWAY_REQUEST_SECONDS", "30"),
        ("gateway.main", "GATEWAY_REQUEST_SECONDS", "nan"),
        ("gateway.main", "GATEWAY_BODY_BYTES", "0"),
        ("gateway.main", "GATEWAY_WAITING_REQUESTS", "0"),
        ("gateway.main", "GATEWAY_WAIT_SECONDS", "inf"),
        ("text_worker.main", "TEXT_DATABASE_URL", "mongodb://me:secret@127.0.0.1:27017"),
        ("text_worker.main", "TEXT_DATABASE_URL", "mongodb://me:secret@127.0.0.1:27017/?replicaSet=rs0"),
        ("text_worker.main", "TEXT_DATABASE_URL", "mongodb://me:sec@ret@127.0.0.1/texts?replicaSet=secret"),
        ("text_worker.main", "TEXT_DATABASE_URL", "postgresql://me:secret@store/texts"),
        ("text_worker.main", "TEXT_BLOBS_URL", "s3://me:secret@bucket/texts"),
        ("text_worker.main", "BLOBS_URL", "folder"),
        ("gateway.main", "BLOBS_URL", "http://bucket"),
        ("gateway.main", "GATEWAY_BLOBS_URL", "az://container/texts"),
        (
            "text_worker.main",
            "TEXT_DATABASE_URL",
            "mongodb://me:secret@store/texts?tls=true&tlsCAFile=/secret",
        ),
        ("gateway.main", "GATEWAY_VALKEY_URL", "valkeys://:secret@store:6380/0?secret=1"),
        ("gateway.main", "VALKEY_URL", "valkeys://:secret@store:secret/0"),
        ("waste_service.main", "WASTE_DATABASE_URL", "mysql://me:secret@store/waste"),
        ("desk_service.main", "DESK_DATABASE_URL", "postgresql://me:secret@store/desk?ssl=secret"),
        ("task_service.main", "TASK_DATABASE_URL", "postgresql://me:secret@store/tasks?sslmode=secret"),
        ("task_service.main", "TASK_DATABASE_URL", "mysql://me:secret@store/tasks"),
        ("task_service.main", "TASK_DATABASE_URL", "sqlite+aiosqlite:///tasks.db?mode=ro&secret"),
    ],
)
async def test_a_setting_of_the_wrong_form_is_named(module: str, variable: str, value: str) -> None:
    said = await refusal(module, **{variable: value})

    assert variable in said
    assert "secret" not in said


async def test_a_database_that_lets_nobody_in_is_named_without_the_password(servers: Servers) -> None:
    url = servers.postgresql.url("waste_service", "nobody", "secret")

    said = await refusal("waste_service.main", "migrate", WASTE_DATABASE_URL=url)

    assert said.startswith(
        "The database at WASTE_DATABASE_URL cannot be used: password authentication failed"
    )
    assert "secret" not in said


async def test_a_database_that_does_not_answer_is_named() -> None:
    url = "postgresql://waste:secret@127.0.0.1:1/waste"

    said = await refusal("waste_service.main", "migrate", WASTE_DATABASE_URL=url)

    assert said.startswith("The database at WASTE_DATABASE_URL cannot be used: ")
    assert "secret" not in said


async def test_a_mongodb_that_lets_nobody_in_is_named(servers: Servers) -> None:
    servers.mongodb.create_database("let_in", "text_worker", "text_worker")
    url = servers.mongodb.url("let_in", "text_worker", "secret")

    for step in (["migrate"], []):
        said = await refusal("text_worker.main", *step, TEXT_DATABASE_URL=url)
        assert said.startswith("The database at TEXT_DATABASE_URL cannot be used: ")
        assert "authentication" in said.lower() and "secret" not in said


async def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/nowhere/tasks.db"

    for step in (["migrate"], []):
        assert await refusal("task_service.main", *step, TASK_DATABASE_URL=url) == (
            f"The database at TASK_DATABASE_URL cannot be used: {tmp_path}/nowhere/tasks.db: "
            "No such file or directory."
        )


@pytest.mark.parametrize(
    "url", ["garbage", "amqp://me:secret@127.0.0.1:1", "amqp://me:secret@no-host.invalid"]
)
async def test_a_broker_that_cannot_be_used_is_named(url: str) -> None:
    said = await refusal("shared.topology", RABBITMQ_URL=url)

    assert said.startswith("The broker at RABBITMQ_URL cannot be used: ")
    assert ".." not in said and "secret" not in said


async def test_a_broker_that_refuses_the_password_is_named(servers: Servers) -> None:
    url = servers.rabbitmq.url("operator").replace("operator:operator", "operator:secret")

    said = await refusal("shared.topology", RABBITMQ_URL=url)

    assert said.startswith("The broker at RABBITMQ_URL cannot be used: ")
    assert ".." not in said and ". ." not in said and "secret" not in said


async def test_events_say_within_seconds_that_a_frozen_broker_does_not_answer(servers: Servers) -> None:
    servers.rabbitmq.freeze()
    try:
        said = await refusal("infra.events", RABBITMQ_URL=servers.rabbitmq.url("operator"))
    finally:
        servers.rabbitmq.thaw()

    assert said.startswith("The broker cannot be reached: no answer in 5 s.")
