"""Who gets gzip."""

import pytest

from gateway.compression import takes_gzip


@pytest.mark.parametrize(
    "header",
    [
        "gzip",
        "GZIP",
        "deflate, gzip",
        "gzip;q=0.001",
        "*",
        "br, *;q=0.5",
        "gzip ; q=1.0",
        "identity;q=0.5, gzip",
    ],
)
def test_clients_that_take_gzip(header: str) -> None:
    assert takes_gzip(header)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "identity",
        "gzip;q=0",
        "gzip;q=0.000",
        "br",
        "gzipped",
        "*;q=0",
        "gzip;q=0, *",
        "identity, gzip;q=0.5",
    ],
)
def test_clients_that_do_not_or_like_plain_answers_better(header: str) -> None:
    assert not takes_gzip(header)
