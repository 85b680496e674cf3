"""Runs a system of stub services in the folder that is given, as `make run` does: for the runner's tests."""

import sys
from pathlib import Path

from infra.local import screen
from infra.local.clone import Clone
from infra.local.runner import Runner
from infra.local.system import Service, System

STUB = (sys.executable, str(Path(__file__).with_name("stub_service.py")))

if __name__ == "__main__":
    clone = Clone(Path(sys.argv[1]))
    database = "stub" if "with-database" in sys.argv else ""
    cache = "with-cache" in sys.argv
    services = [Service("stub_service", "STUB", port=20_100, database=database, cache=cache, command=STUB)]
    if "with-documents" in sys.argv:
        command = (*STUB, "DOCUMENT")
        services.append(Service("document_service", "DOCUMENT", 20_101, mongodb="documents", command=command))
    with clone.locked():
        Runner(clone, System(tuple(services)), screen.say).run()
