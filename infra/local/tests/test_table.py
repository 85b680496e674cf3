"""What a person sees once everything answers."""

import pytest

from infra.local.system import Service, System
from infra.local.table import table

SYSTEM = System((Service("stub_service", "STUB", port=20_100, database="stub"),))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@store:5432/stub", "postgresql://me@store:5432/stub"),
        ("postgresql://store/stub", "postgresql://store/stub"),
        ("mongodb://me:secret@store/stub?replicaSet=rs0", "mongodb://me@store/stub?replicaSet=rs0"),
        ("sqlite+aiosqlite:////clone/stub.db", "sqlite+aiosqlite:////clone/stub.db"),
    ],
)
def test_a_store_is_shown_without_its_password(url: str, shown: str) -> None:
    addresses = {
        "RABBITMQ_URL": "amqp://me:secret@broker",
        "STUB_SERVICE_URL": "http://127.0.0.1:1",
        "STUB_DATABASE_URL": url,
    }

    said = table(SYSTEM, addresses)

    assert [line.split()[-1] for line in said.splitlines() if "its store" in line] == [shown]
    assert "secret" not in said
