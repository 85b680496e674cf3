"""The house rules that a reader relies on, checked: rooms, sizes, who constructs, who acknowledges."""

import ast
import importlib
import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from desk_service.domain import deaths
from gateway.errors import STATUS_OF_CODE
from infra.local.system import CONVEYOR
from shared import topology
from shared.delivery import SPEAK_FOR_OTHERS
from shared.handling import handlers_in
from shared.messages import EVENTS, REQUESTS, Request
from tests.system import ROOT

SERVICES = sorted(path.parent for path in ROOT.glob("*/main.py") if path.parent.name != "gateway")
ROOMS = {"README.md", "main.py", "settings.py", "handlers.py", "domain.py", "store.py", "migrations", "tests"}
SPLIT_BY_SUBJECT = {"handlers", "domain", "store"}
ROOMS_OF_ITS_OWN = {"desk_service": {"door", "replaying.py", "command_line", "__main__.py"}}
"""The desk has to work while the gateway does not, and is not for everybody whom that serves."""
KERNEL_LINES = 2_980
FORM_LINES = 300
AMQP_LINES = 720
FILE_LINES = 320


def code_lines(file: Path) -> int:
    """Lines that hold code: no blank lines, comments or docstrings."""
    source = file.read_text()
    quiet = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = {line for token in tokens if token.type not in quiet for line in _span(token) if token.string}
    return len(lines - _docstrings(ast.parse(source)))


def _span(token: tokenize.TokenInfo) -> range:
    return range(token.start[0], token.end[0] + 1)


def _docstrings(tree: ast.AST) -> set[int]:
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def sources() -> Iterator[Path]:
    for folder in (ROOT / "shared", ROOT / "gateway", *SERVICES):
        yield from (file for file in folder.rglob("*.py") if "tests" not in file.parts)


def without_examples(file: Path) -> str:
    return re.sub(r"examples=\[.*?\]", "", file.read_text())


def names_called(file: Path) -> set[str]:
    calls = [node.func for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    return {func.id for func in calls if isinstance(func, ast.Name)} | {
        func.attr for func in calls if isinstance(func, ast.Attribute)
    }


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_a_service_has_the_rooms_that_all_have_and_no_others(service: Path) -> None:
    rooms = {path.name for path in service.iterdir() if path.name != "__pycache__"}

    renamed = rooms - ROOMS - SPLIT_BY_SUBJECT - ROOMS_OF_ITS_OWN.get(service.name, set())
    assert renamed == set()
    assert {"README.md", "main.py", "settings.py"} <= rooms
    assert {"handlers.py", "handlers"} & rooms


@pytest.mark.parametrize("service", [path.name for path in SERVICES])
def test_a_service_is_known_wherever_services_are_listed(service: str) -> None:
    """docs/new-service.md says what each place is for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    rules = project["tool"]["importlinter"]["contracts"]
    declared = handlers_in(importlib.import_module(f"{service}.handlers"))
    owners = {one.message.owner() for one in declared if issubclass(one.message, Request)}

    main = ast.parse((ROOT / service / "main.py").read_text())
    calls = [node for node in ast.walk(main) if isinstance(node, ast.Call)]
    [named] = [call.args[:2] for call in calls if ast.unparse(call.func) == "Service"]

    name, owner = map(ast.literal_eval, named)
    assert name == service
    assert owners <= {owner}, "main.py: whose queues it hears"
    assert (service, owner) in {(one.name, one.owner) for one in CONVEYOR.services}, "infra/local/system.py"
    assert service in project["dependency-groups"], "pyproject.toml: its own dependencies"
    assert {"include-group": service} in project["dependency-groups"]["dev"], "pyproject.toml: dev"
    assert service in project["tool"]["pytest"]["ini_options"]["testpaths"], "pyproject.toml: testpaths"
    assert service in project["tool"]["importlinter"]["root_packages"], "pyproject.toml: root_packages"
    listed = [service in rule.get("modules", rule.get("source_modules", [])) for rule in rules]
    assert sum(listed) == 3, (
        "pyproject.toml: no process imports another, nor infra, nor a server under the GPL"
    )
    forbidden = [service in rule.get("forbidden_modules", []) for rule in rules]
    assert sum(forbidden) == 1, "pyproject.toml: what is shared knows nobody who shares it"
    ways_in = [ROOT / "gateway" / "routes" / f"{owner}.py", ROOT / service / "door" / "routes.py"]
    assert any(way.exists() for way in ways_in), "the way in"
    assert deaths.PROCESSES.get(owner) == service, "desk_service/domain/deaths.py: whom it believes"
    assert deaths.SPEAK_FOR_OTHERS == SPEAK_FOR_OTHERS, "the desk and the kernel believe the same users"
    assert f"`{service}/`" in (ROOT / "README.md").read_text(), "the map in README.md"


def test_the_kernel_stays_one_that_a_person_can_read() -> None:
    shared = ROOT / "shared"
    forms = {*shared.glob("journal_*.py"), shared / "blobs.py"}  # what is of one kind of store, or of all
    rest = set((ROOT / "shared").glob("*.py")) - forms

    assert sum(map(code_lines, rest)) < KERNEL_LINES
    assert max(map(code_lines, forms)) < FORM_LINES
    assert sum(map(code_lines, (shared / "amqp").glob("*.py"))) < AMQP_LINES


@pytest.mark.parametrize("file", list(sources()), ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_is_split_by_subject_before_it_gets_long(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= FILE_LINES


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_only_main_constructs(service: Path) -> None:
    constructors = {"Service", "PostgresqlJournal", "SqliteJournal", "MongoJournal", "Blobs"}
    builders = [file.name for file in service.rglob("*.py") if names_called(file) & constructors]
    assert [name for name in builders if not name.startswith("test_") and name != "conftest.py"] == [
        "main.py"
    ]


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_services_never_commit_acknowledge_or_catch_everything(service: Path) -> None:
    for file in (file for file in service.rglob("*.py") if "tests" not in file.parts):
        assert names_called(file) & {"commit", "ack", "acknowledge", "basic_ack", "rollback"} == set(), file
        assert "except Exception" not in file.read_text(), file


def test_names_on_the_wire_follow_one_form_and_every_contract_explains_itself() -> None:
    topology.load_contracts()
    for queue, request in REQUESTS.items():
        owner, _, verb_noun = queue.partition(".")
        assert request.__name__ == "".join(word.title() for word in verb_noun.split("_")), queue
        assert owner == request.owner()
        assert request.__doc__ and request.__doc__ != Request.__doc__
    for event in EVENTS.values():
        assert event.__doc__
        noun_past = event.routing_key.partition(".")[2]
        assert event.__name__ == "".join(word.title() for word in noun_past.split("_")), event


def test_every_refusal_has_its_place_in_the_one_table() -> None:
    topology.load_contracts()
    requests = (request for queue, request in REQUESTS.items() if not queue.startswith("toy."))

    assert {refusal.code for request in requests for refusal in request.refusals} <= STATUS_OF_CODE.keys()


def test_a_name_on_the_wire_is_written_once() -> None:
    topology.load_contracts()
    contracts = [without_examples(file) for file in (ROOT / "shared" / "contracts").rglob("*.py")]
    for queue in (queue for queue in REQUESTS if not queue.startswith("toy.")):
        assert sum(text.count(f'"{queue}"') for text in contracts) == 1
        others = [file for file in sources() if "contracts" not in file.parts]
        assert [file for file in others if f'"{queue}"' in without_examples(file)] == []
