"""PostgreSQL by TLS, as its URL asks for it: behind a door that ends it, since the embedded one has none."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from infra.local.servers import Servers
from shared.journal import StoreAway
from shared.journal_postgresql import PostgresqlJournal
from shared.journal_postgresql_url import address_and_tls
from tests.kernel.test_amqp import TLS, copied

AUTHORITY = f"&sslrootcert={TLS / 'certificate.pem'}"
MIGRATIONS = Path(__file__).parents[1] / "toy_service" / "migrations"
ASKS_FOR_TLS = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
OTHER_NAME = "127.1"
"""The same address under a name that is not in the certificate."""


@pytest.fixture(scope="module")
def plain(servers: Servers) -> str:
    servers.postgresql.create_database("by_tls", "task_service", "task_service")
    return servers.postgresql.url("by_tls", "task_service", "task_service")


@pytest.fixture
async def secured(plain: str) -> AsyncIterator[str]:
    """The database's address where nobody comes in without TLS; the certificate is no known authority's."""
    inside = urlsplit(plain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):  # a handshake that is broken off is cancelled
            if await reader.readexactly(8) == ASKS_FOR_TLS:
                writer.write(b"S")
                await writer.start_tls(context)
                to_us, to_server = await asyncio.open_connection(inside.hostname, inside.port)
                await asyncio.gather(copied(reader, to_server), copied(to_us, writer))
        writer.close()

    door = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    port = door.sockets[0].getsockname()[1]
    yield plain.replace(f"@127.0.0.1:{inside.port}", f"@127.0.0.1:{port}")
    door.close()


async def use(url: str) -> None:
    journal = PostgresqlJournal(url, MIGRATIONS)
    try:
        await journal.migrate()
        await journal.probe()
    finally:
        await journal.close()


@pytest.mark.parametrize(
    ("host", "query"),
    [
        ("127.0.0.1", f"?sslmode=verify-full{AUTHORITY}"),
        ("localhost", f"?sslmode=verify-full{AUTHORITY}"),
        (OTHER_NAME, f"?sslmode=verify-ca{AUTHORITY}"),
        (OTHER_NAME, f"?sslmode=require{AUTHORITY}"),
        (OTHER_NAME, "?sslmode=require"),
        (OTHER_NAME, "?sslmode=prefer"),
    ],
)
async def test_it_speaks_tls_as_it_is_told_to(secured: str, host: str, query: str) -> None:
    await use(secured.replace("@127.0.0.1:", f"@{host}:") + query)


@pytest.mark.parametrize(
    ("host", "query", "said"),
    [
        (OTHER_NAME, f"?sslmode=verify-full{AUTHORITY}", "CERTIFICATE_VERIFY_FAILED.*mismatch"),
        ("127.0.0.1", "?sslmode=verify-full", "CERTIFICATE_VERIFY_FAILED.*self.signed"),
        ("127.0.0.1", "?sslmode=verify-ca", "CERTIFICATE_VERIFY_FAILED.*self.signed"),
    ],
)
async def test_who_is_not_known_is_refused(secured: str, host: str, query: str, said: str) -> None:
    with pytest.raises(StoreAway, match=said):
        await use(secured.replace("@127.0.0.1:", f"@{host}:") + query)


@pytest.mark.parametrize("mode", ["require", "verify-full"])
async def test_a_server_without_tls_is_refused_where_it_is_asked_for(plain: str, mode: str) -> None:
    with pytest.raises(StoreAway, match="rejected SSL upgrade"):
        await use(f"{plain}?sslmode={mode}")


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
async def test_a_server_without_tls_is_used_where_that_may_be(plain: str, mode: str) -> None:
    await use(f"{plain}?sslmode={mode}")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("secret", "write postgresql://"),
        ("mysql://me:secret@store/tasks", "write postgresql://"),
        ("postgresql://me:secret@store:secret/tasks", "write postgresql://"),
        ("postgresql://store/tasks?sslmode=secret", "sslmode is one of"),
        ("postgresql://store/tasks?sslmode=require&sslmode=disable", "sslmode is one of"),
        ("postgresql://store/tasks?secret=1", "only sslmode and sslrootcert"),
        (f"postgresql://store/tasks?sslmode=prefer{AUTHORITY}", "goes with"),
        ("postgresql://store/tasks?sslmode=verify-full&sslrootcert=/secret", "cannot be read"),
        (f"postgresql://store/tasks?sslmode=verify-full&sslrootcert={__file__}", "holds no certificate"),
    ],
)
def test_what_is_wrong_with_an_address_is_a_sentence(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as wrong:
        address_and_tls(url)
    assert "secret" not in str(wrong.value)
