"""What the person gave and cannot work is refused by the variable's name, before anything starts."""

from pathlib import Path

import pytest

from infra.local import background
from infra.local.clone import Clone
from infra.local.given_servers import given_mongodb, given_port, given_servers, host_and_port, with_store
from infra.local.health import why_silent
from infra.local.problems import Problem
from infra.local.system import Service, System

SERVICE = Service("stub_service", "STUB", port=20_100, database="stub", cache=True)
SYSTEM = System((SERVICE,))
DOCUMENTS = System((Service("stub_service", "STUB", port=20_100, mongodb="stub"),))
SMALL = System((Service("stub_service", "STUB", port=20_100, database="stub", sqlite=True),))
HOME = Path("/clone/.conveyor")


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("RABBITMQ_URL", "garbage"),
        ("RABBITMQ_URL", "http://me:secret@broker"),
        ("RABBITMQ_URL", "amqp://"),
        ("RABBITMQ_URL", "amqp://me:secret@broker:port"),
        ("RABBITMQ_URL", "amqp://[me:secret@broker"),
        ("STUB_DATABASE_URL", "mysql://me:secret@store/stub"),
        ("STUB_DATABASE_URL", "nonsense"),
        ("STUB_DATABASE_URL", "sqlite+aiosqlite:///secret.db"),
        ("STUB_DATABASE_URL", "postgresql://me:secret@store:99999/stub"),
        ("VALKEY_URL", "garbage"),
        ("VALKEY_URL", "http://:secret@cache"),
        ("STUB_VALKEY_URL", "valkey://:secret@"),
        ("STUB_VALKEY_URL", "valkey://:secret@one.example,two.example"),
    ],
)
def test_a_url_that_cannot_work_is_refused_by_name_without_its_password(name: str, url: str) -> None:
    with pytest.raises(Problem, match=name) as refused:
        given_servers(SYSTEM, {name: url})

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("RABBITMQ_URL", "amqps://me:secret@broker/vhost"),
        ("RABBITMQ_URL", "amqp://one.example,amqp://two.example"),
        ("STUB_DATABASE_URL", "postgres://store/stub"),
        ("STUB_DATABASE_URL", "postgresql+asyncpg://me@[::1]:5433/stub"),
        ("STUB_DATABASE_URL", "postgresql:///stub?host=/run/postgresql"),
        ("VALKEY_URL", "valkey://:with,comma@cache/1"),
        ("VALKEY_URL", "rediss://me:secret@cache:6380"),
        ("STUB_VALKEY_URL", "redis://cache"),
        ("STUB_VALKEY_URL", "valkeys://[::1]"),
    ],
)
def test_a_url_that_can_work_is_taken(name: str, url: str) -> None:
    assert given_servers(SYSTEM, {name: url}) == {name: url}


@pytest.mark.parametrize("url", ["sqlite+aiosqlite://", "sqlite:///stub.db", "postgresql://store/stub"])
def test_a_service_that_can_do_with_a_file_may_be_given_one(url: str) -> None:
    given = {"STUB_DATABASE_URL": url}

    assert given_servers(SMALL, given) == given


@pytest.mark.parametrize("name", ["MONGODB_URL", "STUB_DATABASE_URL"])
@pytest.mark.parametrize(
    "url", ["mongodb://me:secret@one:27017,two:27018/stub?replicaSet=rs0", "mongodb+srv://me@cluster/stub"]
)
def test_a_mongodb_that_can_work_is_taken(name: str, url: str) -> None:
    assert given_servers(DOCUMENTS, {name: url}) == {name: url}


@pytest.mark.parametrize("name", ["MONGODB_URL", "STUB_DATABASE_URL"])
@pytest.mark.parametrize(
    "url",
    ["postgresql://me:secret@store/stub", "mongodb://", "sqlite://", "mongodb://me:secret@store:x/stub"],
)
def test_a_mongodb_that_cannot_work_is_refused_by_name_without_its_password(name: str, url: str) -> None:
    with pytest.raises(Problem, match=rf"{name} is no mongodb:// or mongodb\+srv://") as refused:
        given_servers(DOCUMENTS, {name: url})

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mongodb://store", "mongodb://store/stub"),
        ("mongodb://me:secret@store", "mongodb://me:secret@store/stub?authSource=admin"),
        (
            "mongodb://me:secret@store/users?tls=true",
            "mongodb://me:secret@store/stub?tls=true&authSource=users",
        ),
        ("mongodb://me:secret@store/?authsource=other", "mongodb://me:secret@store/stub?authsource=other"),
        (
            "mongodb://CN%3Dme@store/?authMechanism=MONGODB-X509",
            "mongodb://CN%3Dme@store/stub?authMechanism=MONGODB-X509",
        ),
        ("mongodb+srv://me:secret@cluster", "mongodb+srv://me:secret@cluster/stub?authSource=admin"),
    ],
)
def test_of_one_mongodb_for_all_a_service_gets_its_own_database_and_the_user_stays_where_it_was(
    url: str, told: str
) -> None:
    assert given_mongodb(DOCUMENTS.services[0], {"MONGODB_URL": url}) == told


def test_a_service_s_own_mongodb_comes_first_as_it_is() -> None:
    given = {"MONGODB_URL": "mongodb://store", "STUB_DATABASE_URL": "mongodb://own/notes"}

    assert given_mongodb(DOCUMENTS.services[0], given) == "mongodb://own/notes"


def test_store_sqlite_means_a_file_for_each_service_that_can_do_with_one() -> None:
    assert with_store(SMALL, {"STORE": "sqlite"}, HOME)["STUB_DATABASE_URL"] == (
        "sqlite+aiosqlite:////clone/.conveyor/stub_service.db"
    )
    assert "STUB_DATABASE_URL" not in with_store(SYSTEM, {"STORE": "sqlite"}, HOME)
    assert "STUB_DATABASE_URL" not in with_store(SMALL, {"STORE": "postgresql"}, HOME)


def test_a_file_that_was_given_is_the_one_that_store_sqlite_means() -> None:
    given = {"STORE": "sqlite", "STUB_DATABASE_URL": "sqlite+aiosqlite://"}

    assert with_store(SMALL, given, HOME) == given


@pytest.mark.parametrize(
    "given",
    [
        {"STORE": "mysql"},
        {"STORE": "SQLite"},
        {"STORE": "sqlite", "STUB_DATABASE_URL": "postgresql://me:secret@store/stub"},
    ],
)
def test_a_store_that_there_is_not_or_that_contradicts_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(Problem, match="STORE") as refused:
        with_store(SMALL, given, HOME)

    assert "secret" not in str(refused.value)


def test_a_service_s_own_broker_alone_is_refused_since_queues_are_declared_elsewhere() -> None:
    with pytest.raises(Problem, match=r"STUB_RABBITMQ_URL.*give RABBITMQ_URL too"):
        given_servers(SYSTEM, {"STUB_RABBITMQ_URL": "amqp://stub@broker"})


def test_what_cannot_work_is_refused_before_anything_starts_in_the_background(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RABBITMQ_URL", "garbage")

    with pytest.raises(Problem, match="RABBITMQ_URL"):
        background.up(Clone(tmp_path), SYSTEM)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["web", "0", "65536", "-1"])
def test_a_port_that_is_none_is_refused_by_name(value: str) -> None:
    with pytest.raises(Problem, match="STUB_HTTP_PORT"):
        given_port(SERVICE, {"STUB_HTTP_PORT": value})


def test_a_given_url_without_a_port_means_the_usual_one() -> None:
    assert host_and_port("amqps://broker") == ("broker", 5671)
    assert host_and_port("postgresql+asyncpg://store/stub") == ("store", 5432)
    assert host_and_port("rediss://cache") == ("cache", 6379)
    assert host_and_port("mongodb://store/stub") == ("store", 27017)


def test_a_given_url_that_names_no_single_address_is_not_waited_for() -> None:
    assert host_and_port("mongodb://one:27017,two:27018/stub") is None
    assert host_and_port("mongodb+srv://cluster/stub") is None


def test_why_nobody_answers_is_told() -> None:
    assert why_silent(("127.0.0.1", 1)) == "nobody listens there"
    assert why_silent(("no-such-host.invalid", 1)) == why_silent(("a..b", 1)) == "its name is unknown"
