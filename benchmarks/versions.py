"""On what was measured: the machine and the servers, with their versions."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2

from infra.local.postgresql import binary
from infra.local.servers import Servers
from infra.local.valkey import binary as valkey_binary


def versions(servers: Servers) -> dict[str, str]:
    """By what they are of."""
    page = httpx2.get(
        f"{servers.rabbitmq.management_url}/api/overview", auth=("operator", "operator"), trust_env=False
    )
    broker: dict[str, Any] = page.json()
    found = {
        "Conveyor": _commit(),
        "machine": f"{os.cpu_count()} cores, {_processor()}, {platform.system()} {platform.release()}",
        "Python": sys.version.split()[0],
        "RabbitMQ": f"{broker['rabbitmq_version']} on Erlang {broker['erlang_version']}",
        "PostgreSQL": _said_by(str(binary("postgres")), "--version"),
        "MongoDB's protocol": servers.mongodb.kind,
        "Valkey": _said_by(str(valkey_binary()), "--version"),
        "wrk": _said_by("wrk", "--version") if shutil.which("wrk") else "not here",
    }
    return {name: " ".join(value.split()) for name, value in found.items()}


def _commit() -> str:
    command = ("git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD")
    return _said_by(*command).replace("?", "not known") if shutil.which("git") else "not known"


def _said_by(*command: str) -> str:
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return said.splitlines()[0][:80] if said else "?"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    return names[0].strip() if names else platform.machine()
