"""docker-compose.yml and what goes with it, held against the rules of this house without an engine."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from infra.containers import compose_check, settings_table
from infra.local.system import CONVEYOR
from tests.compose.test_use import LEFT_OUT, STORIES
from tests.system import ROOT

SERVICES = compose_check.read()["services"]
OURS = {name for name, one in SERVICES.items() if one["image"].startswith("conveyor/")}


def found(change: Callable[[dict[str, Any]], object]) -> list[str]:
    compose = copy.deepcopy(compose_check.read())
    change(compose["services"])
    return compose_check.findings(compose, compose_check.settings_of_all())


def test_the_compose_file_is_as_it_should_be() -> None:
    assert found(lambda services: None) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s["rabbitmq"].update(prots=[]), "prots"),
        (lambda s: s["rabbitmq"]["ports"].append("5672:5672"), "more than 127.0.0.1"),
        (lambda s: s["gateway"].pop("restart"), "not started again"),
        (lambda s: s["valkey"].pop("healthcheck"), "no health check"),
        (lambda s: s["valkey"].pop("deploy"), "limits"),
        (lambda s: s["valkey"].pop("logging"), "log for ever"),
        (lambda s: s["valkey"].update(image="valkey/valkey:7"), "valkey/valkey:7"),
        (lambda s: s["gateway"].update(container_name="gateway"), "only one"),
        (lambda s: s["gateway"].pop("read_only"), "may write"),
        (lambda s: s["gateway"].update(environment={"GATEWAY_WAIT": "1"}), "GATEWAY_WAIT"),
        (lambda s: s["task_service"].update(stop_grace_period="11s"), "grace time of 7 s"),
        (lambda s: s["task_service"].update(environment={"TASK_GRACE_SECONDS": "55"}), "grace time of 55 s"),
        (lambda s: s["task_service"]["secrets"].append("other"), "other"),
        (lambda s: s["task_service"]["build"]["args"].update(SERVICE="gateway"), "something else"),
        (lambda s: s["nginx"]["volumes"].append("./nowhere:/x"), "nowhere"),
        (lambda s: s["nginx"]["volumes"].append("unnamed:/x"), "unnamed"),
        (lambda s: s["nginx"]["depends_on"].update(topology={"condition": "service_healthy"}), "never is"),
        (lambda s: s.pop("desk_service"), "not there"),
    ],
)
def test_what_is_wrong_with_a_compose_file_is_said(change: Callable[[Any], object], said: str) -> None:
    assert [one for one in found(change) if said in one] != []


@pytest.mark.parametrize("name", sorted(OURS))
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: one.pop("read_only"), "may write"),
        (lambda one: one.pop("cap_drop"), "has capabilities"),
        (lambda one: one.update(cap_drop=["NET_RAW"]), "has capabilities"),
        (lambda one: one.update(cap_add=["SYS_ADMIN"]), "has capabilities"),
        (lambda one: one.pop("security_opt"), "may get privileges"),
        (lambda one: one.update(privileged=True), "somebody else"),
        (lambda one: one.update(user="0"), "somebody else"),
    ],
)
def test_no_container_of_ours_may_more_than_it_needs(
    name: str, change: Callable[[Any], object], said: str
) -> None:
    [wrong] = found(lambda services: change(services[name]))

    assert wrong.startswith(f"{name} ") and said in wrong


def test_all_services_and_their_jobs_are_looked_at() -> None:
    migrations = {f"{service.name}_migration" for service in CONVEYOR.services if service.has_store}
    assert {service.name for service in CONVEYOR.services} | migrations | {"topology"} == OURS


def test_a_longer_grace_time_may_have_a_longer_end() -> None:
    longer = {"environment": {"TASK_GRACE_SECONDS": "85"}, "stop_grace_period": "1m30s"}

    assert found(lambda services: services["task_service"].update(longer)) == []


def without_servers(change: Callable[[Any, Any], object]) -> list[str]:
    compose = copy.deepcopy(compose_check.read())
    hosted = copy.deepcopy(compose_check.read(compose_check.HOSTED))
    change(compose["services"], hosted["services"])
    return compose_check.findings_without_servers(compose, hosted)


def test_the_servers_can_be_left_out() -> None:
    assert without_servers(lambda services, hosted: None) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s, h: s["gateway"]["depends_on"]["rabbitmq"].pop("required"), "which gateway requires"),
        (lambda s, h: h.update(topology={"profiles": ["hosted"]}), "leaves out topology"),
        (lambda s, h: h.update(redis={"profiles": ["hosted"]}), "leaves out redis, which is not there"),
        (lambda s, h: h["rabbitmq"].update(profile="hosted"), "profile"),
    ],
)
def test_what_is_wrong_with_leaving_servers_out_is_said(
    change: Callable[[Any, Any], object], said: str
) -> None:
    assert [one for one in without_servers(change) if said in one] != []


def test_the_example_of_an_override_is_one_of_what_there_is() -> None:
    override = compose_check.read(compose_check.OVERRIDE)

    assert compose_check.findings_without_servers(compose_check.read(), override) == []
    assert override["services"].keys() == OURS, "each of them speaks to a server of somebody else"
    told = override["services"]["gateway"]["environment"]
    assert all(f"`{name}`" in settings_table.table() for name in told)


def test_of_every_module_of_tests_it_is_known_whether_containers_pass_it() -> None:
    modules = {file.stem.removeprefix("test_") for file in (ROOT / "tests").glob("test_*.py")}

    assert not set(STORIES) & LEFT_OUT.keys()
    assert modules == set(STORIES) | LEFT_OUT.keys(), "tests/compose/test_use.py"


def test_prometheus_asks_whom_there_is() -> None:
    jobs = yaml.safe_load((ROOT / "infra" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    named = [one for job in jobs for one in job.get("dns_sd_configs", [])]
    fixed = [one for job in jobs for one in job.get("static_configs", [])]

    asked = {name for one in named for name in one["names"]}
    asked |= {target.partition(":")[0] for one in fixed for target in one["targets"]}

    not_asked = {"desk_service"}  # it answers on 127.0.0.1 of its container alone
    assert asked == {service.name for service in CONVEYOR.services} - not_asked | {"rabbitmq"}
