"""A PostgreSQL URL as people write it for libpq, in asyncpg's terms, which has no keyword `sslmode`."""

import ssl
from typing import Annotated, Any

import sqlalchemy as sa
from pydantic import AfterValidator

FORM = "write postgresql://user:password@host:port/database, with %40 for an @ in the password"
MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
UNVERIFIED = MODES[:3]
OTHERS = {"host", "port"}
"""Besides TLS: for sockets, and for several hosts."""


def address_and_tls(url: str) -> tuple[sa.URL, dict[str, Any]]:
    """The address without what TLS is to be, and that as arguments of `asyncpg.connect`.

    As libpq has it, but for the authorities: where `sslrootcert` names no file they are the system's.
    ValueError, with nothing of the URL in it, where something is wrong.
    """
    try:
        address = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise ValueError(FORM) from None
    if address.get_backend_name() not in {"postgresql", "postgres"}:
        raise ValueError(FORM)
    query: dict[str, Any] = dict(address.query)
    mode, authorities = query.pop("sslmode", None), query.pop("sslrootcert", None)
    if query.keys() - OTHERS:
        raise ValueError("of parameters, after the ?, only sslmode and sslrootcert, host and port are known")
    address = address.set(drivername="postgresql+asyncpg", query=query)
    if mode not in (None, *MODES):
        raise ValueError(f"sslmode is one of {', '.join(MODES)}")
    if authorities is not None and mode in (None, *UNVERIFIED):
        raise ValueError("sslrootcert goes with sslmode=verify-full, verify-ca or require")
    if mode is None:
        return address, {}
    return address, {"ssl": mode if mode in UNVERIFIED else _context(mode, authorities)}


def _context(mode: str, authorities: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=authorities if authorities != "system" else None)
    except (OSError, TypeError):
        raise ValueError("the file that sslrootcert names cannot be read, or holds no certificate") from None
    context.check_hostname = mode == "verify-full"
    if mode == "require" and authorities is None:
        context.verify_mode = ssl.CERT_NONE
    return context


def _checked(url: str) -> str:
    address_and_tls(url)
    return url


PostgresqlUrl = Annotated[str, AfterValidator(_checked)]
"""A setting; what is wrong with it is a sentence."""
