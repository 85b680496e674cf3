"""`make settings`: the table of all settings in docs/deployment.md, from the settings classes themselves."""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from infra.containers.compose_check import settings_of_all
from infra.local.system import CONVEYOR
from shared.process import ProcessSettings
from shared.service import ServiceSettings

DOCUMENT = Path(__file__).parents[2] / "docs" / "deployment.md"
BEGIN, END = "<!-- made by 'make settings' -->\n", "<!-- end of what is made -->\n"
Settings = type[ProcessSettings]
BESIDES = (
    (
        "QUERY_QUEUES",
        "classic",
        "`quorum` in a cluster; the same for all processes and the topology step, from the first start on.",
    ),
    (
        "EVENTS_RECENT",
        "on",
        "Whether the topology step makes `events.recent`, the ring of the last 1,000 events.",
    ),
    (
        "DESK_URL",
        "",
        "Where `python -m desk_service` finds the desk; else by `DESK_SERVICE_URL`, else on this machine.",
    ),
)
"""What is read from the environment, and is no setting of a process: name, default, what it is."""


def table() -> str:
    """Markdown: what all processes know, all services, each process besides, and what is no process's own."""
    forms = settings_of_all()
    lines = ["| variable | unless told otherwise | what it is |", "|---|---|---|"]
    every = list(ProcessSettings.model_fields)
    lines += _rows(ProcessSettings, "*", every)
    lines += _rows(ServiceSettings, "*", [name for name in ServiceSettings.model_fields if name not in every])
    for service in CONVEYOR.services:
        form = forms[service.name]
        general = ServiceSettings if issubclass(form, ServiceSettings) else ProcessSettings
        own = [name for name in form.model_fields if _differs(form, general, name)]
        lines += _rows(form, service.prefix, own)
    lines += [f"| `{name}` | {_shown(default)} | {about} |" for name, default, about in BESIDES]
    return "\n".join(lines) + "\n"


def _differs(form: Settings, general: Settings, name: str) -> bool:
    known = general.model_fields.get(name)
    return known is None or _default(form.model_fields[name]) != _default(known)


def _rows(form: Settings, prefix: str, names: list[str]) -> Iterator[str]:
    about = _docstrings(form)
    for name in names:
        field = form.model_fields[name]
        variable = f"`{prefix}_{name.upper()}`"
        if _extra(field).get("shared"):
            variable += f", for all `{name.upper()}`"
        said = " ".join([*_limits(field), about.get(name, "")]).strip()
        yield f"| {variable} | {_shown(_default(field))} | {said} |"


def _default(field: FieldInfo) -> Any:
    if "default" in _extra(field):
        return _extra(field)["default"]
    if field.is_required():
        return "(must be given)"
    return "(made at each start)" if field.default_factory else field.default


def _extra(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _shown(value: Any) -> str:
    text = str(value if not isinstance(value, tuple) else list(value))
    return text if text.startswith("(") else f"`{text}`" if text else "(empty)"


def _limits(field: FieldInfo) -> list[str]:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [
        f"{sign} {getattr(one, name)}"
        for one in field.metadata
        for name, sign in signs.items()
        if getattr(one, name, None) is not None
    ]
    return [", ".join(found) + "."] if found else []


def _docstrings(form: Settings) -> dict[str, str]:
    """What is written below a field in its class, or in the class that it is from."""
    found: dict[str, str] = {}
    for one in reversed(form.__mro__):
        if not issubclass(one, ProcessSettings):
            continue
        [body] = [
            node.body for node in ast.parse(inspect.getsource(one)).body if isinstance(node, ast.ClassDef)
        ]
        for field, after in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr):
                assert isinstance(field.target, ast.Name) and isinstance(after.value, ast.Constant)
                found[field.target.id] = re.sub(r"\s+", " ", str(after.value.value))
    return found


def with_table(document: str) -> str:
    """The document with the table as it should be."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    text = DOCUMENT.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        sys.exit(f"{DOCUMENT} has no place for the table: {BEGIN}{END}")
    DOCUMENT.write_text(with_table(text), encoding="utf-8")
