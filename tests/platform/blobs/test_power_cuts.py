"""The power goes at any moment: what was acknowledged is there afterwards, on a full disk as well (F8, F11).

The home lies on an ext4 file system of its own in a file. It is shut down as by a power cut: at once, for good, without
writing what it holds back or its log (the ioctl that file systems are tested with); then it is mounted again.
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.faults import ROUNDS, Injected
from tests.fixtures import make_actor
from tests.platform.blobs.conftest import Shelf
from tests.platform.blobs.crowd import hoarding, start, told, wait_for_lines, whole, whole_at_last
from tests.platform.blobs.storm_script import GRACE, digest_of
from tunery.kit.clock import now
from tunery.platform.blobs.tables import BlobRow
from tunery.platform.ground import Ground
from tunery.platform.jobs.tables import Job
from tunery.settings import Settings

CUTS = 40 * ROUNDS or 3
IMAGE_BYTES = 96 << 20
FILES = 12
"""So many are kept from one cut to the next."""
SHUTDOWN, WITHOUT_LOG = 0x8004587D, struct.pack("I", 2)
"""``EXT4_IOC_SHUTDOWN`` and ``EXT4_GOING_FLAGS_NOLOGFLUSH`` of Linux (fs/ext4/ext4.h)."""


class Disk:
    """A file system whose power can be cut."""

    def __init__(self, image: Path, at: Path) -> None:
        self._image, self._at = image, at
        with image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """Mount it; at the end it is taken away, however many still work on it."""
        self._mount()
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", str(self._at)], check=True)

    def cut(self) -> None:
        """Cut the power."""
        folder = os.open(self._at, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, SHUTDOWN, WITHOUT_LOG)
        finally:
            os.close(folder)

    def restart(self) -> None:
        """Mount again what reached the disk."""
        subprocess.run(["umount", str(self._at)], check=True)
        self._mount()

    def _mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", str(self._image), str(self._at)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """A disk for the home."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("cutting a disk's power needs root and mkfs.ext4")
    disk = Disk(tmp_path / "disk.img", home)
    try:
        with disk.mounted():
            pass
    except subprocess.CalledProcessError:
        pytest.skip("cutting a disk's power needs loop devices, and this machine lets none be mounted")
    return disk


@pytest.mark.long
@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_what_was_acknowledged_before_the_power_went_is_there(
    disk: Disk, tmp_path: Path, sqlite_template: Path, injected: Injected
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    rng, home, hoard, let_go = random.Random(seed), tmp_path / "home", tmp_path / "hoard", set[str]()
    with disk.mounted():
        shutil.copy(sqlite_template, home / "tunery.sqlite")
        with _opened(home) as ground:
            tenant_id = make_actor(ground, "acme").tenant_id
            shelf = Shelf(ground, tenant_id)
        os.sync()
        for number in range(CUTS):
            if number % 5 == 1:
                _fill(home / "filler", leaving=rng.randrange(2_000_000))
            with hoarding(shelf, hoard / tenant_id):
                _work_until_the_power_goes(disk, shelf, tmp_path, number, rng)
            disk.restart()
            control = home / "control"
            assert not control.exists() or control.read_bytes() != b"never synced", "the power was not cut"
            control.unlink(missing_ok=True)
            (home / "filler").unlink(missing_ok=True)
            named, destroyed = told(tmp_path)
            with _opened(home) as ground:
                after = Shelf(ground, tenant_id)
                whole(after, named - let_go, destroyed)
                let_go |= _let_go(after, rng.sample(sorted(named - let_go), max(0, len(named - let_go) - FILES)))
        with _opened(home) as ground:
            whole_at_last(Shelf(ground, tenant_id), named - let_go, destroyed, hoard, tmp_path, sqlite_template)
    injected(CUTS)


def _work_until_the_power_goes(disk: Disk, shelf: Shelf, folder: Path, number: int, rng: random.Random) -> None:
    names = [f"p{number}-{k}-{rng.randrange(10**6)}" for k in range(2)]
    workers = [start(shelf, name, "anything", 10**6) for name in names]
    wait_for_lines(folder, names[0], rng.randrange(1, 20), workers[0], rng)
    fallen = [one for one in workers if one.poll() is not None]
    with suppress(OSError):  # the disk may be full
        (shelf.ground.settings.home / "control").write_bytes(b"never synced")  # now: the kernel may sync it in time
    disk.cut()
    for one in workers:
        one.kill()
        _, said = one.communicate(timeout=60)
        assert one not in fallen, said[-3000:]


def _let_go(shelf: Shelf, tags: list[str]) -> set[str]:
    """Take away the rows of some files, so that the workers to come collect them."""
    with shelf.ground.database.session(shelf.tenant_id) as session:
        for tag in tags:
            session.execute(sa.delete(Job).where(Job.payload["file"].as_string() == digest_of(tag)))
            old = sa.update(BlobRow).where(BlobRow.digest == digest_of(tag))
            session.execute(old.values(touched_at=now() - 2 * GRACE))
    digests = {digest_of(tag) for tag in tags}
    return {tag for tag in told(shelf.ground.settings.home.parent)[0] if digest_of(tag) in digests}


def _fill(path: Path, leaving: int) -> None:
    disk = os.statvfs(path.parent)
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, disk.f_bavail * disk.f_frsize - leaving))


@contextmanager
def _opened(home: Path) -> Iterator[Ground]:
    ground = Ground.build(Settings(home=home, _env_file=None))
    yield ground
    ground.database.close()
