"""What a container's health check runs: 0 where the process in it is ready. Standard library only."""

import http.client
import os
import sys
from collections.abc import Mapping


def port(environment: Mapping[str, str]) -> int:
    """As the process's settings have it: its own, else that of the image; `task_service` has `TASK_…`."""
    prefix = environment["CONVEYOR_SERVICE"].partition("_")[0].upper()
    return int(environment.get(f"{prefix}_HTTP_PORT") or environment["HTTP_PORT"])


def main() -> int:
    """Ask the process."""
    door = http.client.HTTPConnection("127.0.0.1", port(os.environ), timeout=4)
    try:
        door.request("GET", "/health/ready")
        return 0 if door.getresponse().status == http.client.OK else 1
    except OSError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
