"""Keys are rotated and retired so that no pack is left without its key, whatever disk and clock do meanwhile."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.platform.blobs.conftest import Shelf
from tunery.errors import Exhausted, IntegrityError, Refused, Unavailable
from tunery.kit.ids import new_id
from tunery.platform.blobs.backends import LocalBackend
from tunery.platform.blobs.keyring import Keyring
from tunery.platform.blobs.master_keys import LocalMasterKey
from tunery.platform.ground import Ground

OLD, NEW = LocalMasterKey(b"o" * 32), LocalMasterKey(b"n" * 32)
LATER = timedelta(hours=1)


@pytest.fixture
def keys(tmp_path: Path) -> LocalBackend:
    return LocalBackend(tmp_path / "keys")


def names(keys: LocalBackend, prefix: str) -> list[str]:
    return sorted(entry.name.rpartition("/")[2] for entry in keys.entries(prefix))


def retired(keys: LocalBackend) -> int:
    return Keyring(keys, [NEW, OLD]).retire("acme", datetime.now(UTC) + LATER)


@pytest.mark.parametrize(
    ("fault", "told"), [(errno.EMFILE, Exhausted), (errno.EIO, Unavailable), (errno.EACCES, Unavailable)]
)
def test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one(
    keys: LocalBackend, fault: int, told: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    ring, packs = Keyring(keys, [OLD]), [new_id(), new_id()]
    opened = {pack: ring.make("acme", pack) for pack in packs}
    before = {pack: keys.read(f"acme/packs/{pack}") for pack in packs}
    Keyring(keys, [NEW, OLD]).rotate("acme")
    keys.put(f"acme/packs/{packs[1]}", before[packs[1]])  # as where the rotation ended after the first one
    scan = os.scandir

    def failing(path: os.PathLike[str]) -> Iterator[os.DirEntry[str]]:
        if str(path).endswith("/acme/packs"):
            raise OSError(fault, os.strerror(fault))
        return scan(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", failing)
        with pytest.raises(told):
            retired(keys)
    assert retired(keys) == 0
    assert {pack: Keyring(keys, [NEW, OLD]).of("acme", pack) for pack in packs} == opened


def test_no_key_is_retired_while_one_cannot_be_read(keys: LocalBackend) -> None:
    ring, packs = Keyring(keys, [OLD]), [new_id(), new_id()]
    ring.make("acme", packs[0])
    key = ring.make("acme", packs[1])
    good = keys.read(f"acme/packs/{packs[1]}")
    ring.rotate("acme")
    keys.put(f"acme/packs/{packs[1]}", b"")
    assert retired(keys) == 0
    keys.put(f"acme/packs/{packs[1]}", good)
    assert Keyring(keys, [OLD]).of("acme", packs[1]) == key


def test_a_rotation_counts_also_where_the_clock_once_ran_ahead(
    keys: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack, clock = new_id(), time.time_ns
    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: clock() + 365 * 86_400 * 10**9)
        key = Keyring(keys, [OLD]).make("acme", pack)
    (first,) = names(keys, "acme/tenant")
    keys.put("acme/tenant/zz-copy-of-somebody", b"no key")
    assert Keyring(keys, [NEW, OLD]).rotate("acme") == 1
    assert retired(keys) == 1
    assert first not in names(keys, "acme/tenant")
    assert Keyring(keys, [NEW]).of("acme", pack) == key
    assert Keyring(keys, [NEW]).rotate("acme") == 1


def test_one_damaged_key_of_a_pack_does_not_keep_the_others_from_a_rotation(keys: LocalBackend) -> None:
    ring, packs = Keyring(keys, [OLD]), sorted(new_id() for _ in range(3))
    opened = [ring.make("acme", pack) for pack in packs]
    kept = json.loads(keys.read(f"acme/packs/{packs[1]}"))
    keys.put(f"acme/packs/{packs[1]}", json.dumps(kept | {"wrapped": kept["wrapped"][::-1]}).encode())
    with pytest.raises(IntegrityError, match=f"1 keys of packs are damaged, the first is that of {packs[1]}"):
        Keyring(keys, [NEW, OLD]).rotate("acme")
    assert [Keyring(keys, [NEW]).of("acme", packs[place]) for place in (0, 2)] == [opened[0], opened[2]]


def test_a_rotation_that_lacks_an_old_master_key_writes_nothing(keys: LocalBackend) -> None:
    ring = Keyring(keys, [OLD])
    ring.make("acme", new_id())
    ring.secrets.newest("acme", "pseudonyms")
    before = {entry.name: keys.read(entry.name) for entry in keys.entries(None)}
    with pytest.raises(IntegrityError, match="give the right one"):
        Keyring(keys, [NEW]).rotate("acme")
    assert {entry.name: keys.read(entry.name) for entry in keys.entries(None)} == before


def test_a_lost_master_key_is_asked_for_and_never_replaced(shelf: Shelf) -> None:
    settings, digest = shelf.ground.settings, shelf.put(b"kept")
    file = settings.home / "keys" / "master.key"
    saved = file.read_bytes()
    file.unlink()
    with pytest.raises(Refused, match=r"master\.key.*TUNERY_MASTER_KEY"):
        Ground.build(settings)
    assert not file.exists()
    file.write_bytes(saved)
    file.chmod(0o600)
    again = Ground.build(settings)
    assert again.blobs.read(shelf.tenant_id, digest) == b"kept"
    again.database.close()
