"""Whether docker-compose.yml is right, as far as can be told without an engine: `make check` asks.

By the Compose Specification's own schema, and by the rules of this house: who may be reached from outside,
what everybody has to have, that what is referred to is there, that settings are known to their process.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

from infra.containers.secrets import example
from infra.local.system import CONVEYOR
from shared.process import ProcessSettings

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
HOSTED = Path(__file__).parent / "hosted.yml"
OVERRIDE = HOSTED.with_name("override.example.yml")
SCHEMA = Path(__file__).parent / "compose-spec" / "schema.json"
IMAGES = {
    "rabbitmq:4-management", "postgres:17", "mongo:8", "valkey/valkey:8", "nginx:alpine", "prom/prometheus",
}  # fmt: skip
OURS = "conveyor/"
VARIABLE = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}")
ELSEWHERE = {"DESK_URL"}
"""Settings of programs that run beside a process in its container."""
DURATION = re.compile(r"(\d+)(h|m|s)")
SECONDS = {"h": 3600, "m": 60, "s": 1}
LAST_WORDS_SECONDS = 5
"""What a process may need beyond its grace time, for its last answers and to be gone."""
Compose = dict[str, Any]


def findings(compose: Compose, settings: dict[str, type[ProcessSettings]]) -> list[str]:
    """What is wrong, a sentence each."""
    if found := _unlike_the_schema(compose):
        return found
    services = compose["services"]
    for name, service in services.items():
        found += [f"{name} {wrong}" for wrong in _wrong(name, service, compose)]
    for service in CONVEYOR.services:
        found += [f"{service.name} {wrong}" for wrong in _wrong_process(services, service.name, settings)]
    if missing := {"definitions", *example()} ^ compose["secrets"].keys():
        found.append(f"secrets: what 'make secrets' makes and what is declared differ in {sorted(missing)}")
    return found


def findings_without_servers(compose: Compose, hosted: Compose) -> list[str]:
    """What is wrong with the file that leaves servers out, a sentence each."""
    if found := _unlike_the_schema(hosted):
        return found
    services = compose["services"]
    absent = {name for name, service in hosted["services"].items() if service.get("profiles")}
    found = [f"leaves out {name}, which is not there" for name in sorted(absent - services.keys())]
    for name in sorted(services.keys() - absent):
        for needed, how in services[name].get("depends_on", {}).items():
            if needed in absent and how.get("required", True):
                found.append(f"leaves out {needed}, which {name} requires")
    return found


def _unlike_the_schema(compose: Compose) -> list[str]:
    schema = jsonschema_rs.validator_for(json.loads(SCHEMA.read_text()))
    return [f"{_place(error.instance_path)}: {error.message}" for error in schema.iter_errors(compose)]


def _place(path: Iterable[str | int]) -> str:
    return ".".join(map(str, path)) or "docker-compose.yml"


def is_job(service: Compose) -> bool:
    """Whether it runs to its end."""
    return str(service.get("restart", "")).startswith("on-failure")


def _wrong(name: str, service: Compose, compose: Compose) -> Iterator[str]:
    yield from _wrong_everywhere(service)
    if not service["image"].startswith(OURS) and service["image"] not in IMAGES:
        yield f"runs {service['image']}, which is none of {sorted(IMAGES)}"
    for port in service.get("ports", ()):
        if not str(port).startswith("127.0.0.1:"):
            yield f"publishes {port} on more than 127.0.0.1"
    for secret in service.get("secrets", ()):
        source = secret["source"] if isinstance(secret, dict) else secret
        if source not in compose["secrets"]:
            yield f"has a secret {source} that is not declared"
    for volume in service.get("volumes", ()):
        source = volume.partition(":")[0]
        if source.startswith("./") and not (ROOT / source).exists():
            yield f"mounts {source}, which is not there"
        if not source.startswith("./") and source not in compose["volumes"]:
            yield f"has a volume {source} that is not declared"
    for needed, how in service.get("depends_on", {}).items():
        other = compose["services"].get(needed)
        if other is None:
            yield f"depends on {needed}, which is not there"
        elif is_job(other) != (how["condition"] == "service_completed_successfully"):
            yield f"waits until {needed} is {how['condition']}, which that never is"
        elif how["condition"] == "service_healthy" and "healthcheck" not in other and "build" not in other:
            yield f"waits until {needed} is healthy, and nobody checks that"


def _wrong_everywhere(service: Compose) -> Iterator[str]:
    if service["image"].startswith(OURS):
        yield from _too_free(service)
    if not is_job(service) and service.get("restart") != "unless-stopped":
        yield "is not started again when it ends"
    if not is_job(service) and "healthcheck" not in service and "build" not in service:
        yield "has no health check"
    if not is_job(service) and "stop_grace_period" not in service:
        yield "does not say how long its end may take"
    if not {"cpus", "memory"} <= service.get("deploy", {}).get("resources", {}).get("limits", {}).keys():
        yield "has no limits of memory and processors"
    if "max-size" not in service.get("logging", {}).get("options", {}):
        yield "keeps its log for ever"
    if "container_name" in service:
        yield "has a fixed name, so there can be only one"


def _too_free(service: Compose) -> Iterator[str]:
    """Of a container of ours, jobs too: what it may do beyond what its program does."""
    if not service.get("read_only"):
        yield "may write into its file system"
    if "ALL" not in service.get("cap_drop", ()) or service.get("cap_add"):
        yield "has capabilities, and needs none"
    if "no-new-privileges:true" not in service.get("security_opt", ()):
        yield "may get privileges from what it runs"
    if service.get("privileged") or "user" in service:
        yield "is run by somebody else than its image says"


def _wrong_process(services: Compose, name: str, settings: dict[str, type[ProcessSettings]]) -> Iterator[str]:
    """Of a service of ours: its image, and that what it is told is a setting of its own."""
    for part in (one for one in (name, f"{name}_migration") if one in services):
        if services[part].get("build", {}).get("args", {}).get("SERVICE") != name:
            yield f"({part}) is built from something else"
    if name not in services:
        yield "is not there"
        return
    form = settings[name]
    known = {form.variable(field) for field in form.model_fields}
    prefix = form.model_config["env_prefix"]
    known |= {f"{prefix}{field}".upper() for field in form.model_fields} | ELSEWHERE
    told = services[name].get("environment", {})
    given = [*told, *map(str.upper, services[name]["secrets"])]
    if unknown := set(given) - known:
        yield f"is told {sorted(unknown)}, which it does not know"
    grace = float(told.get(f"{prefix}GRACE_SECONDS", form.model_fields["grace_seconds"].default))
    if _seconds(services[name]["stop_grace_period"]) < grace + LAST_WORDS_SECONDS:
        yield f"is killed within {LAST_WORDS_SECONDS} s after its grace time of {grace:g} s"


def _seconds(duration: str) -> int:
    return sum(int(number) * SECONDS[unit] for number, unit in DURATION.findall(duration))


def read(file: Path = FILE) -> Compose:
    """The file with its anchors followed and its variables at their defaults."""
    found: Compose = yaml.safe_load(VARIABLE.sub(r"\1", file.read_text()))
    return found


def settings_of_all() -> dict[str, type[ProcessSettings]]:
    """The settings class of each process, by the process's name."""
    found = {}
    for service in CONVEYOR.services:
        module = import_module(f"{service.name}.settings")
        [found[service.name]] = [
            one
            for one in vars(module).values()
            if isinstance(one, type)
            and one.__module__ == module.__name__
            and issubclass(one, ProcessSettings)
        ]
    return found


if __name__ == "__main__":
    compose = read()
    wrong = [f"docker-compose.yml: {one}" for one in findings(compose, settings_of_all())]
    wrong += [f"{HOSTED.name}: {one}" for one in findings_without_servers(compose, read(HOSTED))]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    sys.exit(1 if wrong else 0)
