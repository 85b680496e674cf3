"""Servers that somebody else runs: what is left of the compose file needs nothing but their URLs."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from infra.containers.compose_check import FILE, HOSTED, OVERRIDE
from infra.containers.secrets import EXAMPLE
from infra.local.system import CONVEYOR
from tests.system import ROOT


def composed_of(*files: Path, **environment: str) -> dict[str, Any]:
    """The services that Compose makes of these files."""
    command = ["docker", "compose", *(f"--file={file}" for file in files), "config", "--format=json"]
    known = os.environ | {"CONVEYOR_SECRETS": str(EXAMPLE)} | environment
    told = subprocess.run(command, cwd=ROOT, env=known, stdout=subprocess.PIPE, text=True, check=True)
    services: dict[str, Any] = json.loads(told.stdout)["services"]
    return services


def test_without_servers_what_is_left_is_ours_and_nginx() -> None:
    services = composed_of(FILE, HOSTED)

    ours = {service.name for service in CONVEYOR.services}
    migrations = {f"{service.name}_migration" for service in CONVEYOR.services if service.has_store}
    assert services.keys() == ours | migrations | {"topology", "nginx"}
    assert services["gateway"]["environment"]["GATEWAY_MANAGEMENT_URL"] == ""
    given = {secret["source"] for service in services.values() for secret in service.get("secrets", ())}
    assert {f"{one.prefix.lower()}_rabbitmq_url" for one in CONVEYOR.services} <= given
    assert given <= {file.name for file in EXAMPLE.iterdir()}


def test_a_bucket_and_its_credentials_reach_who_keeps_texts_there() -> None:
    bucket = {"BLOBS_URL": "s3://bucket/texts", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}

    services = composed_of(FILE, HOSTED, **bucket)

    has = {name for name, one in services.items() if bucket.items() <= one.get("environment", {}).items()}
    assert has == {"gateway", "text_worker"}


def test_an_override_brings_settings_and_an_authority() -> None:
    services = composed_of(FILE, HOSTED, OVERRIDE, LOG_LEVEL="debug")

    told = services["gateway"]["environment"]
    assert (told["GATEWAY_WAIT_SECONDS"], told["LOG_LEVEL"]) == ("10", "debug")
    for name in services.keys() - {"nginx"}:
        assert "/etc/conveyor/ca.pem" in [one["target"] for one in services[name].get("volumes", ())], name
