"""What README shows, the stories of `tests/` and the demos, against the system in containers."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections import Counter
from contextlib import suppress

import aio_pika
import httpx2
import pytest
from aiormq.exceptions import ChannelAccessRefused

from tests.compose.composed import NAMED_BY, Composed, ComposedStage
from tests.system import ROOT, eventually
from tests.test_pages import LOADED, PAGES

JSON = {"content-type": "application/json"}
TAKES_SECONDS = " ".join(map(str, range(700_000)))
"""A text of many words, which are counted in some seconds."""
STORIES = (
    *("tasks", "task_lists", "waste_case", "waste_lists", "texts", "large_texts", "command_door"),
    *("direct_use", "bad_requests", "methods", "limits", "openapi"),
)
"""Those that know the system by its doors; what needs a process of its own is skipped."""
OWN_PROCESSES = "processes with settings of their own, several of one kind, or that it ends"
OWN_SERVERS = "servers of its own, which it stops, fills or spoils"
NO_SYSTEM = "nothing that runs, or what runs containers"
LEFT_OUT = {
    "architecture": NO_SYSTEM,
    "backup": f"{NO_SYSTEM}; test_keeping.py has real ones",
    "benchmarks": NO_SYSTEM,
    "cache": OWN_PROCESSES,
    "compose_file": NO_SYSTEM,
    "contained": NO_SYSTEM,
    "containers": NO_SYSTEM,
    "demo_texts": "the demo is run below; whether it counts right does not depend on what runs it",
    "documents": OWN_SERVERS,
    "examples": "a system in which nothing is yet",
    "found_in_containers": NO_SYSTEM,
    "last_free_units": OWN_PROCESSES,
    "outages": f"{OWN_SERVERS}; test_kills.py kills those that are here",
    "pages": "a management page of another name; the pages are looked at below",
    "permissions": "users of its own; those that are here are tried below",
    "story": "logs in files of its own; `make story` is run below",
    "text_faults": f"{OWN_PROCESSES}; test_kills.py kills those that are here",
    "topology": OWN_SERVERS,
    "topology_migration": OWN_SERVERS,
    "wrong_settings": OWN_PROCESSES,
}
"""The other modules of `tests/`, and what they need that is not here.

`tests/kernel/` has a toy service of its own, and `tests/desk/` asks the desk, which answers nobody outside.
"""
OTHERWISE = {
    "test_tasks.py::test_a_change_may_be_meant_for_any_of_several_versions": "NGINX takes it once",
    "test_tasks.py::test_a_version_that_is_still_there_is_not_sent_again": "another gateway hears it later",
    "test_openapi.py::test_no_request_that_schemathesis_thinks_of_is_answered_otherwise_than_"
    "the_document_says": "to NGINX an empty Idempotency-Key is none, and it gives one",
    "test_methods.py::test_head_answers_as_get_without_the_body": "an X-Request-ID each",
    "test_methods.py::test_options_and_a_wrong_method_tell_all_methods_of_a_path": "/metrics is no path here",
    "test_methods.py::test_whatever_is_large_is_compressed": "/metrics is no path here",
    "test_bad_requests.py::test_requests_are_counted_by_route_template_and_never_by_id": "/metrics, too",
    "test_bad_requests.py::test_a_command_that_nobody_has_a_queue_for_is_unavailable": "it comes back",
    "test_large_texts.py::test_a_message_holds_a_small_text_or_a_blob": "the desk takes dead letters at once",
    "test_large_texts.py::test_nobody_but_the_gateway_names_a_blob_and_nobody_but_the_worker_removes_one": (
        "its user may do less here"
    ),
}
"""What is not so in containers and behind NGINX, and why."""


@pytest.fixture(scope="module")
def url(composed: Composed) -> str:
    return composed.addresses["GATEWAY_URL"]


def test_everything_is_healthy_and_every_job_has_done_its_work(composed: Composed) -> None:
    states = [json.loads(line) for line in composed.compose("ps", "--all", "--format=json").splitlines()]

    lasting = {one["Name"]: one["Health"] for one in states if one["State"] == "running"}
    jobs = {one["Service"]: one["ExitCode"] for one in states if one["State"] != "running"}
    assert set(lasting.values()) == {"healthy"}, lasting
    assert set(jobs.values()) == {0} and "topology" in jobs
    assert len(composed.containers("gateway")) == 2


def shell(composed: Composed) -> dict[str, str]:
    """In which `make` means this system, and knows nothing of the one that runs these tests."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return outside | composed.shell


async def make(composed: Composed, *words: str) -> tuple[int, str]:
    """Its exit code, and what it says."""
    process = await asyncio.create_subprocess_exec(
        *("make", *words), cwd=ROOT, env=shell(composed), stdout=PIPE, stderr=STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), 600)
    return process.returncode or 0, said.decode()


async def test_make_demo_comes_out_as_expected(composed: Composed) -> None:
    code, said = await make(composed, "demo")

    assert (code, "distances and placements as expected" in said) == (0, True), said


async def test_make_demo_texts_counts_a_book(composed: Composed) -> None:
    code, said = await make(composed, "demo-texts")

    assert (code, "12 of 12 chapters" in said) == (0, True), said


async def test_make_topology_finds_nothing_to_mend(composed: Composed) -> None:
    said = ""

    async def is_as_declared() -> bool:
        nonlocal said
        code, said = await make(composed, "topology")
        return code == 0 and "queues are as declared" in said

    try:
        await eventually(is_as_declared, "figures of the page lag behind")
    finally:
        print(said)


async def test_make_desk_asks_the_desk_in_its_container(composed: Composed) -> None:
    code, said = await make(composed, "desk", "ARGS=actions")

    assert (code, "No actions." in said) == (0, True), said


async def test_make_story_reads_the_logs_of_containers(composed: Composed, url: str) -> None:
    async with httpx2.AsyncClient(base_url=url) as http:
        created = await http.post("/tasks", json={"title": "Told"})

    async def is_told() -> bool:
        code, said = await make(composed, "story", f"ID={created.headers['location']}")
        return code == 0 and "POST /tasks" in said and "CreateTask done" in said and "TaskCreated" in said

    await eventually(is_told, "all processes have said what they did")


async def test_make_events_prints_what_is_said(composed: Composed, url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *("make", "events"), cwd=ROOT, env=shell(composed), stdout=PIPE, stderr=STDOUT, start_new_session=True
    )
    assert process.stdout

    async def until(said: str) -> None:
        assert process.stdout
        while said not in (line := (await process.stdout.readline()).decode()):
            assert line, f"it ended before it said {said}"

    try:
        await asyncio.wait_for(until("Events as they are said"), 60)
        async with httpx2.AsyncClient(base_url=url) as http:
            created = await http.post("/tasks", json={"title": "Heard"})
        await asyncio.wait_for(until(created.json()["id"]), 60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # SIGINT may be ignored in the background
        await process.communicate()


async def test_the_pages_are_whole_behind_nginx(composed: Composed, url: str) -> None:
    async with httpx2.AsyncClient(base_url=url, timeout=30) as http:
        for page in PAGES:
            answer = await http.get(page)
            assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html"), page
            loaded = [await http.get(address) for address in LOADED.findall(answer.text)]
            assert {one.status_code for one in loaded} == {200}, page
        queues = (await http.get("/docs/queues")).text

    assert f'href="{composed.addresses["RABBITMQ_MANAGEMENT_URL"]}/#/queues/' in queues


def test_the_lines_of_readme_work_as_they_stand(composed: Composed) -> None:
    section = (ROOT / "README.md").read_text().partition("## Five minutes")[2].partition("\n## ")[0]
    blocks = [one.group(1) for one in re.finditer(r"```sh\n(.*?)```", section, re.DOTALL)]
    script = "\n".join(blocks).replace(". .conveyor/addresses.env", "")

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=os.environ | composed.addresses,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    for said in ('"title":"Buy milk"', '"code":"not_found"', '"title":"Buy bread"', '"routed":true'):
        assert said in done.stdout.replace(": ", ":")
    assert '"unplaced"' in done.stdout and '"status":"done"' in done.stdout and '"sentences":1' in done.stdout


async def test_requests_go_to_both_replicas_with_an_id_each(composed: Composed, url: str) -> None:
    async with httpx2.AsyncClient(base_url=url) as http:
        answers = [await http.post("/tasks", json={"title": f"Balanced {n}"}) for n in range(40)]
        named = await http.get("/tasks", headers={"x-request-id": "mine"})

    assert len({one.headers["x-request-id"] for one in answers}) == len(answers)
    assert named.headers["x-request-id"] == "mine"
    told = Counter(
        '"path":"/tasks"' in line and container
        for container in composed.containers("gateway")
        for line in composed.log_of(container).splitlines()
    )
    assert min(told[one] for one in composed.containers("gateway")) >= 5


async def test_a_stream_comes_as_it_is_told(url: str) -> None:
    """Whoever has read its beginning brings about its end: a buffer would hold both until it is too late."""
    async with httpx2.AsyncClient(base_url=url, timeout=60, headers={"prefer": "wait=30"}) as http:
        text = await http.post("/texts", json={"text": TAKES_SECONDS})
        address = text.headers["location"]
        states = []
        async with http.stream("GET", f"{address}/events") as stream:
            async for line in stream.aiter_lines():
                if line.startswith("data: "):
                    states.append(json.loads(line[6:])["status"])
                    if len(states) == 1:
                        cancelled = await http.post(f"{address}/cancel")
                        assert cancelled.status_code == 200, "it was counted before anything of it came"

    assert states[0] in {"queued", "running"} and states[-1] == "cancelled"


@pytest.mark.parametrize(("path", "mib"), [("/tasks", 2), ("/texts", 18)])
async def test_a_body_that_nginx_does_not_pass_on_is_a_problem_that_names_the_limit(
    url: str, path: str, mib: int
) -> None:
    async with httpx2.AsyncClient(base_url=url, timeout=60) as http:
        body = b" " * ((mib << 20) + 1)
        answer = await http.post(path, content=body, headers=JSON | {"x-request-id": "large"})

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert f"{mib} MiB" in answer.json()["detail"] and answer.headers["x-request-id"] == "large"


async def test_metrics_of_one_replica_are_not_passed_off_as_those_of_all(
    composed: Composed, url: str
) -> None:
    async with httpx2.AsyncClient(base_url=url) as http:
        answer = await http.get("/metrics", headers={"x-request-id": "figures"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (404, "figures")
    ask = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8000/metrics').read().decode())"
    for container in composed.containers("gateway"):
        assert "http_requests_total" in composed.engine("exec", container, "python", "-c", ask)


def test_the_desk_is_asked_in_its_container(composed: Composed) -> None:
    said = composed.compose("exec", "--no-TTY", "desk_service", "python", "-m", "desk_service", "actions")

    assert "No actions." in said


@pytest.mark.parametrize("user", ["task_service", "gateway"])
async def test_a_process_must_not_read_what_is_not_its_own(stage: ComposedStage, user: str) -> None:
    async with await aio_pika.connect(stage.system.broker_url(user)) as connection:
        channel = await connection.channel()
        with pytest.raises(ChannelAccessRefused):
            await channel.get_queue("waste.generate_waste", ensure=True)
            await (await channel.get_queue("waste.generate_waste", ensure=False)).get()


async def test_rabbitmq_has_publishers_wait_below_the_limit_of_its_container(stage: ComposedStage) -> None:
    """By itself it would go by the memory of the machine."""
    async with stage.system.management() as page:
        [node] = (await page.get("/api/nodes")).json()

    assert node["mem_limit"] == pytest.approx(1.2e9, rel=0.06), "in MB or MiB"


def test_nothing_is_published_but_on_this_machine(composed: Composed) -> None:
    for line in composed.compose("ps", "--format={{.Ports}}").splitlines():
        published = [one for one in line.split(", ") if "->" in one]
        assert all(one.startswith("127.0.0.1:") for one in published), line


async def test_as_many_as_are_asked_for_share_the_work(composed: Composed, url: str) -> None:
    composed.up("--no-recreate", "--scale=task_service=3", "task_service", "nginx")
    replicas = composed.containers("task_service")
    assert len(replicas) == 3

    async def all_have_worked() -> bool:
        async with httpx2.AsyncClient(base_url=url) as http:
            answers = await asyncio.gather(
                *(http.post("/tasks", json={"title": "Shared"}) for _ in range(60))
            )
        assert {one.status_code for one in answers} <= {201, 202}
        return all("CreateTask" in composed.log_of(one) for one in replicas)

    await eventually(all_have_worked, "each of three has done some of the work")
    composed.up("--no-recreate", "--scale=task_service=1", "task_service", "nginx")


@pytest.mark.parametrize("story", STORIES)
def test_the_stories_of_tests(composed: Composed, story: str) -> None:
    told = {NAMED_BY: composed.tell()}
    otherwise = [f"--deselect=tests/{one}" for one in OTHERWISE]
    quietly = ["--quiet", "--tb=short", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", f"tests/test_{story}.py", *quietly, *otherwise]

    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | told, capture_output=True, text=True, check=False
    )

    print(done.stdout[-6000:])
    assert done.returncode == 0, done.stdout[-6000:]
    assert re.search(r"\d+ passed", done.stdout), "none of them could be told here"
