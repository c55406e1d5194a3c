"""Kill an upload before its N-th deed on disk or database, look what stands, go on with it; then N + 1."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.fixtures import make_actor
from tunery.kit.actor import Actor
from tunery.kit.digests import sha256_bytes, sha256_file
from tunery.platform.blobs.tables import BlobRow
from tunery.platform.ground import Ground
from tunery.rooms import load_rooms
from tunery.settings import Settings
from tunery.storage import operations
from tunery.storage.quotas import quota_of
from tunery.storage.schemas import UploadCreate
from tunery.storage.tables import StorageQuota, UploadSession

PART = 65_536
DATA = random.Random(1).randbytes(2 * PART + 10)
WISH = UploadCreate(digest=sha256_bytes(DATA), size_bytes=len(DATA), part_bytes=PART)
LIMIT = 200_000  # holds the file once


def upload(ground: Ground, actor: Actor) -> None:
    """Send what is missing and complete; the last part comes twice."""
    if operations.claim_file(ground, actor.tenant_id, WISH) is not None:
        return
    with ground.database.session(actor.tenant_id) as session:
        row = operations.create_upload(session, ground, actor, WISH)
        there = {part.number for part in operations.parts_of(session, row.id)}
    for number in [*({1, 2, 3} - there), 3]:
        piece = DATA[(number - 1) * PART : number * PART]
        operations.keep_part(ground, actor, row.id, number, sha256_bytes(piece), [piece])
    operations.complete_upload(ground, actor, row.id)


def kill_before(number: int) -> None:
    """Kill this process before its N-th deed that changes a file or commits."""
    count = itertools.count(1)

    def counted(*_: Any) -> None:
        if next(count) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(deed: Any) -> Any:
        def replaced(*arguments: Any, **named: Any) -> Any:
            counted()
            return deed(*arguments, **named)

        return replaced

    for name in ("write", "fsync", "replace", "unlink", "mkdir", "rmdir", "link"):
        setattr(os, name, wrapped(getattr(os, name)))
    sa.event.listen(sa.Engine, "commit", counted)
    sys.addaudithook(lambda event, _: counted() if event in ("open", "os.remove", "os.rename") else None)


def in_child(work: Any) -> int:
    """Run in a forked process; return 0, the signal that ended it, or 1."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 the parent sees the status alone
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def check(home: Path, actor: Actor) -> None:
    """What was acknowledged stands, nothing half is visible; going on makes the file; the sweep leaves nothing."""
    ground = Ground.build(Settings(home=home, _env_file=None))
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        files = session.scalars(sa.select(BlobRow)).all()
        rows = session.scalars(sa.select(UploadSession)).all()
        for row in rows:
            for part in operations.parts_of(session, row.id) if row.status == "open" else ():
                path = home / "uploads" / actor.tenant_id / row.id / part.staged
                assert sha256_file(path) == part.digest, f"part {part.number} was acknowledged and is not there"
        assert {row.status for row in rows} in (set(), {"open"}, {"complete"})
        assert len(files) == sum(row.status == "complete" for row in rows)
    upload(ground, actor)
    assert ground.blobs.read(actor.tenant_id, WISH.digest) == DATA
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        use = quota_of(session)
        assert len(DATA) < use.stored_bytes <= LIMIT
        assert use.reserved_bytes == 0
    operations.sweep_uploads(ground)
    assert not [path for path in (home / "uploads").rglob("*") if path.is_file()]


def main(template: Path, folder: Path, step: int) -> None:
    """Raise N until nothing is killed any more; print how many deeds there are."""
    load_rooms()
    for number in itertools.count(1, step):
        home = folder / str(number)
        home.mkdir()
        shutil.copy(template, home / "tunery.sqlite")
        who: list[Actor] = []

        def prepare(home: Path = home, who: list[Actor] = who) -> None:
            ground = Ground.build(Settings(home=home, _env_file=None))
            who.append(make_actor(ground, "acme"))
            with ground.database.session(who[0].tenant_id) as session:
                session.add(StorageQuota(limit_bytes=LIMIT))
            ground.database.close()

        def run(home: Path = home, who: list[Actor] = who, number: int = number) -> None:
            ground = Ground.build(Settings(home=home, _env_file=None))
            kill_before(number)
            upload(ground, who[0])

        prepare()
        ended = in_child(run)
        assert ended in (0, -signal.SIGKILL), f"deed {number}: {ended}"
        assert in_child(lambda home=home, who=who: check(home, who[0])) == 0, f"after a kill before deed {number}"
        shutil.rmtree(home)
        if ended == 0:
            sys.stdout.write(f"{number - 1}\n")
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
