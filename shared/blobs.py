"""The blob store that `BLOBS_URL` names: a folder, or a bucket of S3, Google or Azure.

What is read is what was put there, by size and SHA-256, or it is lost. Whoever has put something need not
live to refer to it: owners remove what nobody refers to.
"""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from urllib.request import url2pathname

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url
from pydantic import AfterValidator

from shared.contracts.blobs import Blob
from shared.handling import NotNow

FOLDER = Path(".conveyor/blobs")
FORM = re.compile(r"file:///.+|(s3|gs|az)://[^/@]+(/.*)?")
PAGE = 100


class BlobsAway(NotNow):
    """The blob store cannot be reached, or lets us do nothing."""


class BlobLost(Exception):
    """What a blob refers to is not there, or is something else."""


def _checked(url: str) -> str:
    url = url or FOLDER.absolute().as_uri()
    if not FORM.fullmatch(url):
        raise ValueError("it has to be file:///folder, s3://bucket/prefix, gs://bucket/… or az://container/…")
    try:
        if not url.startswith("file:"):
            from_url(url)
    except (BaseError, ValueError) as error:
        raise ValueError(_first_line(error)) from None
    return url


BlobsUrl = Annotated[str, AfterValidator(_checked)]
"""A setting; empty is a folder below the one that the process runs in. Credentials come from the environment
(`AWS_ACCESS_KEY_ID`, …), as the crate object_store has them."""


class Blobs:
    """A process's way to the blob store. `BlobsAway` within half a minute where it does not answer."""

    def __init__(self, url: str):
        self.url = url

    @cached_property
    def store(self) -> ObjectStore:
        """Opened when it is first needed: a process starts without."""
        return (
            LocalStore.from_url(self.url, mkdir=True) if self.url.startswith("file:") else _remote(self.url)
        )

    @property
    def folder(self) -> Path:
        return Path(url2pathname(urlsplit(self.url).path))

    async def put(self, owner: str, message_id: str, content: bytes) -> Blob:
        """Keep content for a command. A repeat overwrites it with the same, and makes it new again."""
        sha256 = hashlib.sha256(content).hexdigest()
        blob = Blob(key=f"{owner}/{message_id}-{sha256}", size=len(content), sha256=sha256)
        with _translated():
            await obstore.put_async(self.store, blob.key, content, use_multipart=False)
            if self.url.startswith("file:"):  # which answers before the disk has it
                await asyncio.to_thread(_sync, self.folder / blob.key)
        return blob

    async def get(self, blob: Blob) -> bytes:
        """The content; `BlobLost` where it is not there or not what was put there."""
        with _translated():
            store = self.store
            try:
                found = await obstore.get_async(store, blob.key)
            except FileNotFoundError:
                raise BlobLost("it is not in the blob store any more") from None
            content = bytes(await found.bytes_async()) if found.meta["size"] == blob.size else b""
        if hashlib.sha256(content).hexdigest() != blob.sha256:
            raise BlobLost("what is in the blob store is not what was handed in")
        return content

    async def remove(self, key: str) -> None:
        """Remove what may be gone already."""
        with _translated(), suppress(FileNotFoundError):
            await obstore.delete_async(self.store, key)

    async def ages(self, owner: str) -> AsyncIterator[dict[str, timedelta]]:
        """How long ago each of an owner's blobs was put there, by key, at most 100 at a time."""
        with _translated():
            async for page in obstore.list(self.store, prefix=owner, chunk_size=PAGE):
                now = datetime.now(UTC)
                yield {one["path"]: now - one["last_modified"] for one in page}

    def remove_cut_short(self, owner: str, older_than: timedelta) -> None:
        """Remove what a folder was putting when its process died: files that its listings hide."""
        if not self.url.startswith("file:"):
            return
        with _translated():
            for file in (self.folder / owner).glob("*#*"):
                with suppress(FileNotFoundError):  # another process may be quicker
                    put_at = datetime.fromtimestamp(file.stat().st_mtime, UTC)
                    if datetime.now(UTC) - put_at > older_than:
                        file.unlink()


def _sync(file: Path) -> None:
    """Have the disk keep a file, and that it is there."""
    for path in (file, file.parent, file.parent.parent):
        opened = os.open(path, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _remote(url: str) -> ObjectStore:
    return from_url(
        url,
        client_options={"connect_timeout": "3s", "timeout": "10s", "allow_http": True},  # an endpoint may
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=5)},
    )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        raise BlobsAway(f"the blob store is away: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
