"""Servers that somebody else runs: what is left of the compose file needs nothing but their URLs."""

import json
import os
import subprocess

from infra.containers.compose_check import FILE, HOSTED
from infra.containers.secrets import EXAMPLE
from infra.local.system import CONVEYOR
from tests.system import ROOT


def test_without_servers_what_is_left_is_ours_and_nginx() -> None:
    command = ["docker", "compose", f"--file={FILE}", f"--file={HOSTED}", "config", "--format=json"]
    secrets = {"CONVEYOR_SECRETS": str(EXAMPLE)}

    told = subprocess.run(
        command, cwd=ROOT, env=os.environ | secrets, stdout=subprocess.PIPE, text=True, check=True
    )

    services = json.loads(told.stdout)["services"]
    ours = {service.name for service in CONVEYOR.services}
    migrations = {f"{service.name}_migration" for service in CONVEYOR.services if service.has_store}
    assert services.keys() == ours | migrations | {"topology", "nginx"}
    assert services["gateway"]["environment"] == {"GATEWAY_MANAGEMENT_URL": ""}
    given = {secret["source"] for service in services.values() for secret in service.get("secrets", ())}
    assert {f"{one.prefix.lower()}_rabbitmq_url" for one in CONVEYOR.services} <= given
    assert given <= {file.name for file in EXAMPLE.iterdir()}
