"""Load over HTTP from a process of its own: `wrk` where it is installed, else this file as a program.

Each connection sends its next request when the last is answered. Any answer that is no 2xx fails the round.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from benchmarks.programs import outcome_of, program

SCRIPT = str(Path(__file__).with_name("load.lua"))
GRACE_SECONDS = 30.0


async def load(
    url: str, connections: int, seconds: float, settings: Mapping[str, str], folder: Path
) -> dict[str, float]:
    """Requests, seconds, median latency in ms. `settings`: BODY to POST one, PREFER if it is wanted."""
    if wrk := shutil.which("wrk"):
        threads = ["--threads", "1", "--connections", str(connections), "--timeout", "30s"]
        command = [wrk, *threads, "--duration", f"{max(1, round(seconds))}s", "--script", SCRIPT, url]
    else:
        command = [sys.executable, "-m", "benchmarks.load", url, str(connections), str(seconds)]
    found = await outcome_of(program("load", command, settings, folder), seconds + GRACE_SECONDS)
    assert not found["failed"], f"{found['failed']:.0f} of {found['requests']:.0f} requests to {url} failed"
    return found


async def main(url: str, connections: int, seconds: float) -> dict[str, Any]:
    request = _request(url)
    started = perf_counter()
    until = started + seconds
    each = await asyncio.gather(*(_connection(url, request, until) for _ in range(connections)))
    latencies = [latency for of_one, _ in each for latency in of_one]
    return {
        "requests": len(latencies),
        "seconds": perf_counter() - started,
        "median_ms": median(latencies) * 1000,
        "failed": sum(failed for _, failed in each),
    }


def _request(url: str) -> bytes:
    place = f"{urlsplit(url).path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n"
    if "BODY" not in os.environ:
        return f"GET {place}\r\n".encode()
    body = os.environ["BODY"]
    prefer = f"Prefer: {os.environ['PREFER']}\r\n" if "PREFER" in os.environ else ""
    length = f"Content-Length: {len(body.encode())}"
    return f"POST {place}{prefer}Content-Type: application/json\r\n{length}\r\n\r\n{body}".encode()


async def _connection(url: str, request: bytes, until: float) -> tuple[list[float], int]:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    latencies, failed = [], 0
    while (sent := perf_counter()) < until:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        latencies.append(perf_counter() - sent)
        failed += head.split(b" ", 2)[1][:1] != b"2"
    writer.close()
    return latencies, failed


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))))
