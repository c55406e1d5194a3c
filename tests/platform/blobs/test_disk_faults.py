"""A disk that is full, has no more inodes, runs out of files, or loses what it promised (F8, F9, F10)."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.faults import EVERY, Injected
from tests.fixtures import fresh_settings, make_actor
from tests.platform.blobs.conftest import Shelf
from tests.platform.blobs.disk_script import content
from tests.platform.blobs.fault_scenario import noise
from tunery.errors import Exhausted, Unavailable
from tunery.platform.blobs.backends import LocalBackend
from tunery.platform.blobs.checking import check
from tunery.platform.ground import Ground
from tunery.settings import Settings

ROOT = Path(__file__).parents[3]


@contextmanager
def small_disk(at: Path, options: str) -> Iterator[None]:
    """Mount a little file system of its own there."""
    at.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk; CI is root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(at)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


@contextmanager
def shelf_on(folder: str, options: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shelf]:
    """A store of which one folder lies on a small disk; ``database`` stands for the database's."""
    home = tmp_path / "home"
    with fresh_settings("sqlite", home, request) as settings, small_disk(home / folder, options):
        if folder == "database":
            shutil.move(home / "tunery.sqlite", home / folder)
            place = f"sqlite:///{home / folder / 'tunery.sqlite'}"
            settings = settings.model_copy(update={"database_url": place})
        ground = Ground.build(settings)
        yield Shelf(ground, make_actor(ground, "acme").tenant_id)
        ground.database.close()


def fill(folder: Path) -> Path:
    """Take all the room there is; return the file that takes it."""
    filler = folder / ".filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(65_536))
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(512))
    return filler


def whole(shelf: Shelf, kept: dict[str, bytes], *, orphans: bool = False) -> None:
    """Every file that was acknowledged is whole, and nothing half lies anywhere.

    Only where a commit failed may a pack lie without a row: whether it failed, only the rows can tell, to collection.
    """
    assert {digest: shelf.read(digest) for digest in kept} == kept
    assert list(check(shelf.store, shelf.tenant_id)) == []
    assert [path for path in shelf.leftovers if not path.name.startswith(".")] == []
    rows, packs = {row.id for row in shelf.pack_rows()}, {path.name for path in shelf.packs if path.name[0] != "."}
    assert rows <= packs if orphans else rows == packs


@pytest.mark.parametrize("folder", ["store/packs", "store/keys", "staging", "database"])
def test_a_full_disk_loses_nothing_and_room_that_is_made_heals_it(
    folder: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with shelf_on(folder, "size=8m", tmp_path, request) as shelf:
        kept = {shelf.put(content(n)): content(n) for n in range(3)}
        filler = fill(tmp_path / "home" / folder)
        os.truncate(filler, filler.stat().st_size - 80_000)
        with pytest.raises(Exhausted):
            for n in range(3, 200):
                kept[shelf.put(content(n) * 2)] = content(n) * 2
        whole(shelf, kept, orphans=folder == "database")
        filler.unlink()
        for n in range(300, 303):
            kept[shelf.put(content(n))] = content(n)
        whole(shelf, kept, orphans=folder == "database")


@pytest.mark.parametrize("folder", ["store/packs", "store/keys", "staging"])
def test_a_disk_without_inodes_loses_nothing_and_heals(
    folder: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with shelf_on(folder, "size=8m,nr_inodes=40", tmp_path, request) as shelf:
        kept = {shelf.put(content(n)): content(n) for n in range(3)}
        files = [tmp_path / "home" / folder / f".{n}" for n in range(100)]
        with pytest.raises(OSError, match="No space"):
            for file in files:
                file.touch()
        with pytest.raises(Exhausted):
            shelf.put(content(3))
        whole(shelf, kept)
        for file in files:
            file.unlink(missing_ok=True)
        kept[shelf.put(content(3))] = content(3)
        whole(shelf, kept)


def test_a_process_out_of_files_refuses_and_recovers(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with fresh_settings("sqlite", tmp_path / "home", request) as settings:
        ground = Ground.build(settings)
        shelf = Shelf(ground, make_actor(ground, "acme").tenant_id)
        kept = {shelf.put(content(n)): content(n) for n in range(2)}
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        refused = 0
        for spare in range(24):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 2, hard))
            taken = []
            with suppress(OSError):
                while True:
                    taken.append(os.open("/dev/null", os.O_RDONLY))
            for descriptor in taken[:spare]:
                os.close(descriptor)
            try:
                digest = shelf.put(content(10 + spare))
            except (Exhausted, Unavailable):
                refused += 1
            else:
                kept[digest] = content(10 + spare)
            finally:
                for descriptor in taken[spare:]:
                    os.close(descriptor)
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert 0 < refused < 24
        whole(shelf, kept, orphans=True)
        ground.database.close()


def test_no_copy_to_another_disk_is_left_half_there(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "size=1m"):
        backend = LocalBackend(tmp_path / "small" / "packs")
        staged = tmp_path / "staged"
        staged.write_bytes(bytes(2_000_000))
        with pytest.raises(Exhausted):
            backend.place("a/b", staged)
        assert [path for path in (tmp_path / "small").rglob("*") if path.is_file()] == []
        backend.put("a/c", bytes(800_000))


def test_a_file_that_the_process_may_not_write_so_large_is_refused(shelf: Shelf) -> None:
    kept = {shelf.put(content(n)): content(n) for n in range(2)}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    large = noise(1, 12_000_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000_000, hard))  # the database is smaller
    try:
        with pytest.raises(Exhausted):
            shelf.put(large)
        whole(shelf, kept)
        kept[shelf.put(content(2))] = content(2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    kept[shelf.put(large)] = large
    whole(shelf, kept)


@pytest.mark.faults
@pytest.mark.parametrize("call", range(1, 41) if EVERY else [1, 8, 15])
def test_what_the_disk_failed_to_sync_is_never_acknowledged(
    call: int, tmp_path: Path, request: pytest.FixtureRequest, injected: Injected
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace, which lets the disk fail, is not here; `make test` installs it for root")
    with fresh_settings("sqlite", tmp_path / "home", request) as settings:
        ground = Ground.build(settings)
        tenant_id = make_actor(ground, "acme").tenant_id
        ground.database.close()
        told = _under_tracer(settings, tenant_id, f"fsync:error=EIO:when={call}")
        refused = [line for line in told if line.startswith("refused")]
        assert told[-1] == "read", "what was kept is read although the disk failed"
        assert all("Unavailable" in line for line in refused)
        if any("read-only" in line for line in told):
            # Each thread counts for itself: the database's call may fail in one write, the store's in a later one.
            first = next(number for number, line in enumerate(told) if "read-only" in line)
            assert told[first - 1].startswith("refused"), told
            assert all("read-only" in line for line in told[first:-1]), f"a write was tried before a restart: {told}"
        assert refused or call > 15

        again = Shelf(Ground.build(settings), tenant_id)
        for line in told:
            if line.startswith("kept"):
                _, number, digest = line.split()
                assert again.read(digest) == content(int(number))
        assert list(check(again.store, tenant_id)) == []
        assert again.read(again.put(content(0))) == content(0)
        again.ground.database.close()
        injected(bool(refused))


def _under_tracer(settings: Settings, tenant_id: str, fault: str) -> list[str]:
    tracer = ["strace", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fsync", "-e", f"inject={fault}"]
    script = [sys.executable, "-m", "tests.platform.blobs.disk_script", str(settings.home), tenant_id]
    done = subprocess.run([*tracer, *script], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith(("kept", "refused", "read"))]
