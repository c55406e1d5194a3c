"""A tenant's keys for pseudonyms and the like are stable, secret, and survive a change of the master key."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tunery.errors import IntegrityError, InternalError
from tunery.platform.blobs.backends import Backend, open_backend
from tunery.platform.blobs.keyring import Keyring
from tunery.platform.blobs.master_keys import LocalMasterKey
from tunery.platform.blobs.tenant_secrets import TenantSecrets

OLD, NEW = LocalMasterKey(b"o" * 32), LocalMasterKey(b"n" * 32)


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    return open_backend((tmp_path / "keys").as_uri())


def test_a_key_stays_and_is_of_one_tenant_and_one_purpose(backend: Backend) -> None:
    first = TenantSecrets(backend, [OLD]).newest("acme", "pseudonyms")
    assert first == TenantSecrets(backend, [OLD]).newest("acme", "pseudonyms")
    others = [("globex", "pseudonyms"), ("acme", "subjects")]
    assert len({first.key, *(TenantSecrets(backend, [OLD]).newest(*other).key for other in others)}) == 3
    assert len(first.key) == 32
    assert str(first.key) not in repr(first)


def test_many_processes_that_ask_first_get_the_same(backend: Backend) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: TenantSecrets(backend, [OLD]).newest("acme", "pseudonyms").key, range(24)))
    assert len(found) == 1


def test_a_renewed_key_is_the_newest_and_the_old_one_is_still_there(backend: Backend) -> None:
    secrets = TenantSecrets(backend, [OLD])
    old, new = secrets.newest("acme", "subjects"), secrets.renew("acme", "subjects")
    assert (old.version, new.version) == (1, 2)
    assert TenantSecrets(backend, [OLD]).every("acme", "subjects") == [new, old]
    assert secrets.newest("acme", "subjects") == new


def test_after_a_rotation_the_old_master_key_is_needed_no_more(backend: Backend) -> None:
    key = Keyring(backend, [OLD]).secrets.newest("acme", "pseudonyms")
    Keyring(backend, [NEW, OLD]).rotate("acme")
    assert Keyring(backend, [NEW]).secrets.newest("acme", "pseudonyms") == key
    with pytest.raises(IntegrityError, match="master key"):
        Keyring(backend, [OLD]).secrets.newest("acme", "pseudonyms")


def test_a_key_that_was_damaged_or_moved_is_refused(backend: Backend) -> None:
    TenantSecrets(backend, [OLD]).newest("acme", "pseudonyms")
    backend.put("globex/secrets/pseudonyms/1", backend.read("acme/secrets/pseudonyms/1"))
    with pytest.raises(IntegrityError):
        TenantSecrets(backend, [OLD]).newest("globex", "pseudonyms")
    backend.put("acme/secrets/pseudonyms/1", json.dumps({"schema": 1}).encode())
    with pytest.raises(IntegrityError, match="damaged"):
        TenantSecrets(backend, [OLD]).newest("acme", "pseudonyms")
    with pytest.raises(InternalError):
        TenantSecrets(backend, [OLD]).newest("acme", f"..{os.sep}x")
