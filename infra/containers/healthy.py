"""What a container's health check runs: 0 where the process in it is ready. Standard library only."""

import http.client
import os
import sys


def main() -> int:
    """Ask the process, which has the port of the container's settings."""
    door = http.client.HTTPConnection("127.0.0.1", int(os.environ["HTTP_PORT"]), timeout=4)
    try:
        door.request("GET", "/health/ready")
        return 0 if door.getresponse().status == http.client.OK else 1
    except OSError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
