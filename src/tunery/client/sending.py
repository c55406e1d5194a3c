"""Send a file in parts, two at a time, and go on where the last connection, server or client stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tunery.client.uploads import Uploads
from tunery.errors import Conflict, DigestMismatch, InvalidInput, MalformedRequest, NotFound, Unavailable
from tunery.storage.schemas import UploadCreate, UploadView

__all__ = ["Watch", "send_in_parts"]

Watch = Callable[[int, int], None]
"""Called with the bytes done so far and the bytes there are in all."""

_AT_A_TIME = 2
_ATTEMPTS = 5
"""Attempts in a row that get no part across."""


def send_in_parts(
    uploads: Uploads,
    path: Path,
    wish: UploadCreate,
    watch: Watch | None = None,
    pause: Callable[[int, str | None], float] = lambda *_: 0.0,
) -> None:
    """Send a file as an upload in parts. The server is asked which parts it has, so no state is kept here.

    Args:
        uploads: Where to.
        path: The file.
        wish: What it is.
        watch: Told of progress.
        pause: From how many attempts in a row got nothing across, and what the server asked for, to seconds to wait.

    Raises:
        InvalidInput: The file changed meanwhile, or is not what it claims. Exhausted: disk or quota there is full.
        Unavailable: The server stays away; a later call goes on with what arrived.
    """
    sent = _Sent(wish.size_bytes, watch)
    stalled = 0
    while True:
        across = sent.across
        try:
            upload = uploads.create(
                wish.digest,
                wish.size_bytes,
                media_type=wish.media_type,
                like=wish.like,
                part_bytes=wish.part_bytes,
            )
            if upload.id is not None and upload.status == "open":
                _send_missing(uploads, upload, upload.id, path, sent)
                uploads.complete(upload.id)
        except (Unavailable, NotFound, Conflict) as error:
            # The server went away, or the upload was given up or completed by another call: it says so when asked.
            stalled = 0 if sent.across > across else stalled + 1
            if stalled == _ATTEMPTS:
                raise
            time.sleep(pause(stalled, error.details.get("retry_after")))
        else:
            return


class _Sent:
    """How many bytes of each part are on their way, over all threads."""

    def __init__(self, size_bytes: int, watch: Watch | None) -> None:
        self.across = 0
        self._size = size_bytes
        self._watch = watch
        self._parts: dict[int, int] = {}
        self._lock = threading.Lock()

    def move(self, number: int, done: int) -> None:
        with self._lock:
            self._parts[number] = done
            if self._watch is not None:
                self._watch(sum(self._parts.values()), self._size)

    def arrive(self, number: int, size: int) -> None:
        self.move(number, size)
        self.across += 1


def _send_missing(uploads: Uploads, upload: UploadView, upload_id: str, path: Path, sent: _Sent) -> None:
    there = {part.number: part.size_bytes for part in upload.parts}
    for number, size in there.items():
        sent.move(number, size)

    def send(number: int) -> None:
        start = (number - 1) * upload.part_bytes
        data = _read(path, start, min(upload.part_bytes, upload.size_bytes - start))
        try:
            uploads.part(upload_id, number, data, lambda done: sent.move(number, done))
        except (DigestMismatch, MalformedRequest) as damaged:
            raise Unavailable(f"part {number} did not arrive as it was sent: {damaged.message}") from damaged
        sent.arrive(number, len(data))

    with ThreadPoolExecutor(max_workers=_AT_A_TIME, thread_name_prefix="upload") as threads:
        sending = [threads.submit(send, number) for number in range(1, upload.part_count + 1) if number not in there]
        try:
            for each in sending:
                each.result()
        finally:
            for each in sending:
                each.cancel()


def _read(path: Path, start: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(size)
    if len(data) != size:
        raise InvalidInput(f"{path} changed while it was sent; send it again")
    return data
