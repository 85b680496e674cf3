"""What every process of the system has: settings, and an end that is clean.

SIGTERM or SIGINT: the process finishes what it has in hand, within its grace time, and exits 0. A second one
ends it at once.
"""

import asyncio
import ctypes
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

import uvloop
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from shared.telemetry import start_logging

log = logging.getLogger(__name__)

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of mallopt(3), in bytes: more that is free at the end of the heap goes back, and each larger block."""

TIDY_SECONDS = 10.0
"""Between two looks at everything, which take some milliseconds each."""

SECRETS = Path("/run/secrets")
"""Where containers find settings that are secret: a file each, named like the variable."""
SECRETS_IF_ANY = SECRETS if SECRETS.is_dir() else None


def given(name: str) -> str | None:
    """What the environment says, else the secret of that name in small letters."""
    file = SECRETS / name.lower()
    return os.environ.get(name) or (file.read_text().strip() if file.is_file() else None)


def shared_setting(name: str, default: str, pattern: str | None = None, **limits: Any) -> Any:
    """A setting that processes share, unless one has its own under its prefix."""
    about: Any = {"shared": True, "default": default}
    found = lambda: given(name) or default  # noqa: E731
    return Field(default_factory=found, pattern=pattern, json_schema_extra=about, **limits)


class ProcessSettings(BaseSettings):
    """Settings of any process; a subclass gives the prefix, e.g. `TASK_`.

    `RABBITMQ_URL`, `LOG_LEVEL`, `HTTP_HOST` and others without a prefix count for all processes.
    """

    model_config = SettingsConfigDict(env_file=".env", secrets_dir=SECRETS_IF_ANY, extra="ignore")

    rabbitmq_url: str = shared_setting("RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672/")
    """`amqps://` for TLS; several hosts of a cluster with commas between them."""
    log_level: str = shared_setting("LOG_LEVEL", "info", "(?i)^(debug|info|warning|error|critical)$")
    log_format: Literal["json", "text"] = shared_setting("LOG_FORMAT", "json")
    """One line for each thing that happened, for programs or for people."""
    http_host: str = shared_setting("HTTP_HOST", "127.0.0.1")
    """Where it listens; `0.0.0.0` in containers. The desk stays on 127.0.0.1."""
    http_port: int = shared_setting("HTTP_PORT", "8000", ge=1, le=65_535)
    grace_seconds: float = Field(7.0, ge=0, le=3600)
    """For what is in hand when it is told to end; whoever ends it has to wait two seconds longer."""

    @classmethod
    def variable(cls, field: str) -> str:
        """The environment variable of a setting: the process's own, or the one that processes share."""
        own = f"{cls.model_config['env_prefix']}{field}".upper()
        is_shared = cls.model_fields[field].json_schema_extra and field.upper() in os.environ
        return field.upper() if is_shared and own not in os.environ else own


Settings = TypeVar("Settings", bound=ProcessSettings)


def settings_or_exit(form: type[Settings]) -> Settings:
    """The settings of a process; one that is wrong ends it with a sentence that names the variable."""
    try:
        return form()
    except ValidationError as error:
        wrong = [f"{form.variable(str(one['loc'][0]))} is wrong: {one['msg']}." for one in error.errors()]
        sys.exit("\n".join(wrong))
    except SettingsError as error:
        sys.exit(f"The settings {form.model_config['env_prefix']}… are wrong: {error}.")


async def until_stopped(*tasks: "asyncio.Task[Any]") -> None:
    """Wait for SIGTERM or SIGINT. A task that ends by itself is a defect: its error ends the process."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    tidying = asyncio.create_task(_keep_tidy(), name="tidying")
    waiter = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait([waiter, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)
    waiter.cancel()
    tidying.cancel()
    for task in done - {waiter}:
        task.result()
        raise RuntimeError(f"{task.get_name()} ended by itself")


async def _keep_tidy() -> None:
    while True:
        await asyncio.sleep(TIDY_SECONDS)
        tidy()


def tidy() -> None:
    """What lived long before it was left in a cycle, as a lost connection, the collector comes to in days.

    What is free in the midst of the heap, as after a burst, glibc would keep for good.
    """
    gc.collect()
    with suppress(AttributeError, OSError):  # another library has other ways
        ctypes.CDLL(None).malloc_trim(0)


async def end(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def give_memory_back() -> None:
    """Have glibc return what a large message took: unasked it keeps twice the largest block it gave out."""
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 1 << 20)
        mallopt(M_TRIM_THRESHOLD, 4 << 20)


def collect_seldom() -> None:
    """Have the cycle collector leave alone what was there at the start, and look at the rest seldom.

    It looks whenever so many objects more are alive, which a batch's are at once; they go by themselves.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def run_process(name: str, settings: ProcessSettings, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a process's main coroutine to its end."""
    give_memory_back()
    start_logging(name, settings.log_format, settings.log_level)
    log.info("starting", extra={"fields": {"pid": os.getpid()}})
    collect_seldom()
    uvloop.run(main())
    log.info("stopped")
