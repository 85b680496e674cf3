"""Looking from outside: does a service say that it is ready, does anybody listen on a port."""

import json
import socket
import urllib.error
import urllib.request


def is_ready(health: str) -> bool:
    """Whether GET of this address answers 200."""
    return why_not_ready(health) == ""


def why_not_ready(health: str) -> str:
    """What the readiness address says instead of 200; empty when it is ready."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(health, timeout=2):
            return ""
    except urllib.error.HTTPError as answer:
        return _reasons(answer.read(4000).decode(errors="replace"))
    except OSError:
        return "it does not answer yet"


def _reasons(page: str) -> str:
    """What of its dependencies is down; a page that does not tell, as it is."""
    try:
        dependencies = json.loads(page)["dependencies"].items()
        return (
            "; ".join(f"{name}: {one['reason']}" for name, one in dependencies if not one["up"]) or "starting"
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return page[:300].replace("\n", " ")


def accepts(place: tuple[str, int]) -> bool:
    """Whether somebody listens there."""
    return why_silent(place) == ""


def why_silent(place: tuple[str, int]) -> str:
    """Why nobody can be reached there; empty when somebody listens."""
    try:
        with socket.create_connection(place, timeout=2):
            return ""
    except (socket.gaierror, UnicodeError):
        return "its name is unknown"
    except ConnectionRefusedError:
        return "nobody listens there"
    except TimeoutError:
        return "it does not answer"
    except OSError as error:
        return error.strerror or "it cannot be reached"
