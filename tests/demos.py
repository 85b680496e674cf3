"""The demos of `infra/`, run as a person would."""

import asyncio
import sys

from tests.system import ROOT


async def demo(module: str, url: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a demo against this gateway."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        cwd=ROOT,
        env={"GATEWAY_URL": url, "PYTHONIOENCODING": "utf-8"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()
