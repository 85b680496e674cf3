"""Where the system keeps RabbitMQ's own scripts and Erlang's epmd; what is missing is installed."""

import contextlib
import glob
import re
import shutil
from pathlib import Path

from infra.local import packages
from infra.local.problems import Problem

OLDEST = (3, 10)
PLACES = (
    "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
    "/home/linuxbrew/.linuxbrew/opt/rabbitmq/sbin",
    "/opt/rabbitmq*/sbin",
)


def scripts_folder() -> Path:
    """The folder of RabbitMQ's own scripts, after installing the package where it is missing."""
    scripts = _find_scripts()
    if scripts is None:
        packages.install("rabbitmq-server", "RabbitMQ")
        scripts = _find_scripts()
    if scripts is None:
        raise Problem(
            "rabbitmq-server is installed, but its scripts are not in /usr/lib/rabbitmq: reinstall it."
        )
    version = _version(scripts)
    if version < OLDEST:
        found = ".".join(str(number) for number in version)
        raise Problem(
            f"RabbitMQ 3.10 or newer is needed, and {found} is installed: upgrade rabbitmq-server, or give "
            "RABBITMQ_URL of another one."
        )
    return scripts


def _find_scripts() -> Path | None:
    found = [Path(path) for place in PLACES for path in glob.glob(place)]  # noqa: PTH207 these are absolute
    with contextlib.suppress(TypeError):
        found.append(Path(shutil.which("rabbitmq-server")).resolve().parent)  # type: ignore[arg-type]
    found = [path for path in found if (path / "rabbitmq-env").exists()]
    return max(found, key=_version, default=None)


def _version(scripts: Path) -> tuple[int, ...]:
    """From the name of the broker's own plugin, such as plugins/rabbit-3.10.8."""
    names = [path.name for path in (scripts.resolve().parent / "plugins").glob("rabbit-[0-9]*")]
    numbers = [re.findall(r"\d+", name)[:3] for name in names]
    return max((tuple(int(number) for number in found) for found in numbers), default=(0,))


def epmd() -> str:
    """Erlang's name server, which the node needs next to it."""
    places = ["/opt/homebrew/opt/erlang/lib/erlang/bin/epmd", "/usr/local/opt/erlang/lib/erlang/bin/epmd"]
    beside = sorted(glob.glob("/usr/lib/erlang/erts-*/bin/epmd"))  # noqa: PTH207
    found = shutil.which("epmd") or next((path for path in [*beside, *places] if Path(path).exists()), None)
    if found is None:
        raise Problem(
            "RabbitMQ is installed without Erlang's epmd: reinstall rabbitmq-server with its Erlang."
        )
    return found
