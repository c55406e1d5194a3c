"""Two at the same bytes at once: each step of one falls into the middle of the other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.platform.blobs.conftest import Shelf
from tests.platform.blobs.fault_scenario import model, name, noise
from tunery.errors import NotFound, TuneryError, Unavailable
from tunery.platform.blobs.backends import Entry, LocalBackend
from tunery.platform.blobs.checking import check
from tunery.platform.blobs.collecting import Collected, collect
from tunery.platform.blobs.destroying import destroy
from tunery.platform.blobs.keyring import Keyring
from tunery.platform.blobs.opening import master_keys
from tunery.platform.blobs.packs import read_footer

LONG = noise(9, 45_000_000)
"""So long that its first segments lie in a pack before its last ones are read."""


def collect_all(shelf: Shelf) -> Collected:
    return collect(shelf.store, shelf.tenant_id, grace=timedelta(0))


def interrupted(data: bytes, deed: Callable[[], object]) -> Iterator[bytes]:
    """Give all but the last byte, do a deed, give the last."""
    yield data[:-1]
    deed()
    yield data[-1:]


def hashes_in_reach(shelf: Shelf) -> set[bytes]:
    """Hashes of all segments that lie in any pack with a key, dead ones too."""
    store, found = shelf.store, set()
    for path in shelf.packs:
        footer = read_footer(store.backend, store.keyring, shelf.tenant_id, path.name, path.stat().st_size)
        found.update(one.hash for one in footer.segments)
    return found


def test_a_dead_copy_of_what_is_destroyed_goes_as_well(shelf: Shelf) -> None:
    most, secret = noise(1, 3_000_000), noise(2, 400_000)
    name(shelf.ground, shelf.tenant_id, shelf.put(most))
    digest = shelf.put(secret + most)
    kept = shelf.put(secret[-1000:] + most)
    name(shelf.ground, shelf.tenant_id, kept)
    collect_all(shelf)
    with pytest.raises(NotFound):
        shelf.read(digest)
    shelf.put(secret + most)
    lived = {row.hash for row in shelf.segments()}
    destroy(shelf.store, shelf.tenant_id, [digest])
    gone = lived - {row.hash for row in shelf.segments()}
    assert gone
    assert hashes_in_reach(shelf).isdisjoint(gone)
    assert shelf.read(kept) == secret[-1000:] + most


def test_a_key_that_is_destroyed_during_a_rotation_is_not_written_again(shelf: Shelf) -> None:
    digest = shelf.put(noise(1, 10_000))
    home = shelf.ground.settings.home

    class Interrupted(LocalBackend):
        def entries(self, prefix: str | None) -> Iterator[Entry]:
            found = [*super().entries(prefix)]
            if str(prefix).endswith("/packs") and shelf.store.exists(shelf.tenant_id, digest):
                destroy(shelf.store, shelf.tenant_id, [digest])
            return iter(found)

    other = Keyring(Interrupted(home / "store" / "keys"), master_keys(shelf.ground.settings))
    (pack,) = shelf.pack_rows()
    other.of(shelf.tenant_id, pack.id)
    other.rotate(shelf.tenant_id)
    assert not shelf.store.keyring.has(shelf.tenant_id, pack.id)
    assert shelf.leftovers == []


def test_a_base_that_is_destroyed_while_a_near_copy_comes_is_done_without(shelf: Shelf) -> None:
    base = shelf.put(model(1))
    near = model(1, 2)
    stream = interrupted(near, lambda: destroy(shelf.store, shelf.tenant_id, [base]))
    digest = shelf.store.put(shelf.tenant_id, stream, like=base).digest
    assert shelf.read(digest) == near
    assert list(check(shelf.store, shelf.tenant_id)) == []


def test_a_delta_never_leans_on_what_became_a_delta_meanwhile(shelf: Shelf) -> None:
    first, base = shelf.put(model(1)), shelf.put(model(1, 2))
    near = _with_tail(model(1, 3))

    def again() -> None:
        destroy(shelf.store, shelf.tenant_id, [base])
        shelf.put(model(1, 2), like=first)

    with pytest.raises(Unavailable, match="send it again"):
        shelf.store.put(shelf.tenant_id, interrupted(near, again), like=base)
    digest = shelf.put(near, like=base)
    assert shelf.read(digest) == near
    assert list(check(shelf.store, shelf.tenant_id)) == []
    assert shelf.leftovers == []


def _with_tail(file: bytes) -> bytes:
    """The same tensors and a long one behind them."""
    length = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + length])
    end = len(file) - 8 - length
    header["tail"] = {"dtype": "U8", "shape": [len(LONG)], "data_offsets": [end, end + len(LONG)]}
    said = json.dumps(header).encode()
    return len(said).to_bytes(8, "little") + said + file[8 + length :] + LONG


def test_an_upload_that_was_taken_for_a_leftover_fails_and_leaves_nothing(shelf: Shelf) -> None:
    name(shelf.ground, shelf.tenant_id, shelf.put(b"something"))
    with pytest.raises(Unavailable, match="send it again"):
        shelf.store.put(shelf.tenant_id, interrupted(LONG, lambda: collect_all(shelf)))
    assert shelf.leftovers == []
    assert len(shelf.packs) == 1


def test_when_nobody_can_tell_whether_it_was_committed_the_packs_stay(shelf: Shelf) -> None:
    def lose_the_answer(connection: sa.Connection) -> None:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("COMMIT")
        else:
            connection.connection.commit()
        raise ConnectionError("the answer was lost")

    class Losing(LocalBackend):
        def place(self, name: str, staged: Path) -> None:
            super().place(name, staged)
            sa.event.listen(shelf.ground.database.engine, "commit", lose_the_answer)

    calm = shelf.store.backend
    shelf.store.backend = Losing(shelf.ground.settings.home / "store" / "packs")
    with pytest.raises(ConnectionError):
        shelf.put(b"committed, and nobody said so")
    sa.event.remove(shelf.ground.database.engine, "commit", lose_the_answer)
    shelf.store.backend = calm
    assert list(check(shelf.store, shelf.tenant_id)) == []
    digest = shelf.put(b"committed, and nobody said so")
    assert shelf.read(digest) == b"committed, and nobody said so"
    assert len(shelf.packs) == 1


def test_two_who_destroy_the_same_destroy_it_once(shelf: Shelf) -> None:
    kept = shelf.put(noise(1, 100_000))
    digest = shelf.put(noise(2, 100_000))

    def attempt(_: int) -> type[TuneryError] | None:
        try:
            destroy(shelf.store, shelf.tenant_id, [digest])
        except TuneryError as error:
            return type(error)
        return None

    with ThreadPoolExecutor(4) as threads:
        outcomes = [*threads.map(attempt, range(4))]
    assert None in outcomes
    assert {*outcomes} <= {None, NotFound, Unavailable}
    assert shelf.read(kept) == noise(1, 100_000)
    assert (len(shelf.packs), shelf.leftovers) == (1, [])


def test_what_lives_is_not_written_again_by_each_collection(shelf: Shelf) -> None:
    for data in (b"tiny", noise(1, 3_000_000), b""):
        name(shelf.ground, shelf.tenant_id, shelf.put(data))
    packs = shelf.packs
    assert collect_all(shelf).freed_bytes == 0
    assert shelf.packs == packs
