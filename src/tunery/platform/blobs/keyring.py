"""Keys: one for each pack, wrapped by a key of its tenant, wrapped by the master key.

    <tenant id>/tenant/<key id>      {"schema": 1, "master", "wrapped"}; the newest wraps
    <tenant id>/packs/<pack id>      {"schema": 1, "tenant", "wrapped"}
    <tenant id>/destroyed/<pack id>  {"schema": 1, "at"}; so that a destroyed key is told from a lost one
    <tenant id>/secrets/...          other keys of the tenant's (tenant_secrets.py)

They lie in a place of their own, in neither the database nor its backup: a backup that is put back must not bring back
what was destroyed. Crash: a pack's key is durable before the pack, and a key without a pack is taken away like the pack
without a row. Two at once: each may make a key of the tenant's, and both count.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import OrderedDict
from contextlib import suppress
from datetime import datetime

import structlog
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tunery.errors import Exhausted, IntegrityError, NotFound
from tunery.kit.clock import now
from tunery.kit.ids import new_id, parse_id
from tunery.platform.blobs.backends import Backend, Entry
from tunery.platform.blobs.master_keys import MasterKey, unwrap, wrap
from tunery.platform.blobs.tenant_secrets import TenantSecrets

__all__ = ["Keyring"]

log = structlog.get_logger(__name__)

_CACHED = 4096


class Keyring:
    """The keys of every pack.

    Args:
        backend: Where wrapped keys lie.
        masters: Master keys; the first wraps, all unwrap, so that an old one can be retired after ``rotate``.

    Attributes:
        secrets: Keys of tenants for other purposes.
    """

    def __init__(self, backend: Backend, masters: list[MasterKey]) -> None:
        self._backend = backend
        self._masters = masters
        self.secrets = TenantSecrets(backend, masters)
        self._lock = threading.Lock()
        self._tenant_keys: dict[tuple[str, str], bytes] = {}
        self._pack_keys: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def fresh(self) -> Keyring:
        """Return a keyring over the same keys that remembers none, so that what it says is what is kept."""
        return Keyring(self._backend, self._masters)

    def make(self, tenant_id: str, pack_id: str) -> bytes:
        """Make, keep and return the key of a new pack."""
        key = AESGCM.generate_key(256)
        self._keep(tenant_id, pack_id, key)
        return key

    def of(self, tenant_id: str, pack_id: str) -> bytes:
        """Return a pack's key.

        Raises:
            NotFound: It was destroyed, or never was. Unavailable: The keys, or the master key, are away.
            IntegrityError: The key was damaged or swapped.
        """
        with self._lock:
            if (key := self._pack_keys.get((tenant_id, pack_id))) is not None:
                self._pack_keys.move_to_end((tenant_id, pack_id))
                return key
        key_id, wrapped = self._read(_pack_name(tenant_id, pack_id), "tenant")
        key = unwrap(self._tenant_key(tenant_id, key_id), wrapped, f"{tenant_id}:{pack_id}")
        self._remember(tenant_id, pack_id, key)
        return key

    def fault_of(self, tenant_id: str, pack_id: str) -> str:
        """Say why a pack's key cannot be had; empty where it can. Raises: Unavailable."""
        try:
            self.of(tenant_id, pack_id)
        except NotFound:
            return "its key is missing; put the keys back from their copy"
        except IntegrityError as error:
            return error.message
        return ""

    def destroy(self, tenant_id: str, pack_id: str) -> None:
        """Destroy a pack's key and note that; its bytes can never be read again, wherever a copy of them lies."""
        try:
            self._note(tenant_id, pack_id)
        except Exhausted:
            self.forget(tenant_id, pack_id)  # gives the room for the note
            self._note(tenant_id, pack_id)
        else:
            self.forget(tenant_id, pack_id)

    def _note(self, tenant_id: str, pack_id: str) -> None:
        note = {"schema": 1, "at": now().isoformat()}
        self._backend.put(_destroyed_name(tenant_id, pack_id), json.dumps(note).encode())

    def renew(self, tenant_id: str, pack_id: str) -> None:
        """Wrap a pack's key again: collection spares it once more for the grace, though no row names the pack."""
        self._keep(tenant_id, pack_id, self.of(tenant_id, pack_id))

    def forget(self, tenant_id: str, pack_id: str) -> None:
        """Take away the key of a pack that never came to be."""
        self._backend.delete(_pack_name(tenant_id, pack_id))
        with self._lock:
            self._pack_keys.pop((tenant_id, pack_id), None)

    def destroyed(self, tenant_id: str) -> set[str]:
        """Return the packs of a tenant whose keys were destroyed."""
        return {entry.name.rpartition("/")[2] for entry in self._backend.entries(f"{tenant_id}/destroyed")}

    def has(self, tenant_id: str, pack_id: str) -> bool:
        """Tell whether a pack's key is kept, whatever this process remembers."""
        try:
            return bool(self._backend.read(_pack_name(tenant_id, pack_id))) and not self._is_destroyed(
                tenant_id, pack_id
            )
        except NotFound:
            return False

    def packs(self, tenant_id: str, before: datetime | None = None) -> list[str]:
        """Return the packs of a tenant that have a key, or those whose key was last written before a moment."""
        entries = self._backend.entries(f"{tenant_id}/packs")
        return sorted(e.name.rpartition("/")[2] for e in entries if before is None or e.modified_at < before)

    def rotate(self, tenant_id: str) -> int:
        """Give the tenant a new key under the first master key and wrap its packs' keys with it; no data is rewritten.

        Interrupted, it may be repeated. The old keys stay until ``retire``, for another process may be using them.

        Returns:
            How many keys of packs were wrapped anew.

        Raises:
            IntegrityError: A key of the tenant's that is in use cannot be opened: nothing was changed. Or keys of packs
            cannot: these keep their old key, and all others were wrapped anew.
        """
        for key_id in {*self._wrapping(tenant_id).values()}:
            self._tenant_key(tenant_id, key_id)
        self.secrets.rewrap(tenant_id)
        newest, wrapped, damaged = self._make_tenant_key(tenant_id), set[str](), set[str]()
        while old := {p for p, key_id in self._wrapping(tenant_id).items() if key_id < newest} - damaged:
            for pack_id in old:
                try:
                    self._keep(tenant_id, pack_id, self.of(tenant_id, pack_id))
                    if self._is_destroyed(tenant_id, pack_id):  # it went while we held it, and was just written again
                        self.forget(tenant_id, pack_id)
                except NotFound:
                    continue
                except IntegrityError:
                    damaged.add(pack_id)
                else:
                    wrapped.add(pack_id)
        if damaged:
            raise IntegrityError(
                f"{len(damaged)} keys of packs are damaged, the first is that of {min(damaged)}: put them back from "
                f"their copy and rotate again; {len(wrapped)} others are wrapped with the new key"
            )
        return len(wrapped)

    def _wrapping(self, tenant_id: str) -> dict[str, str]:
        """Return which of the tenant's keys wraps which pack's."""
        found = {}
        for pack_id in self.packs(tenant_id):
            with suppress(NotFound):  # destroyed meanwhile
                found[pack_id], _ = self._read(_pack_name(tenant_id, pack_id), "tenant")
        return found

    def _is_destroyed(self, tenant_id: str, pack_id: str) -> bool:
        try:
            return bool(self._backend.read(_destroyed_name(tenant_id, pack_id)))
        except NotFound:
            return False

    def retire(self, tenant_id: str, before: datetime) -> int:
        """Destroy the tenant's keys that were replaced before that moment and wrap nothing; return how many.

        A writer looks for a newer key once its own is kept (``_keep``), so none is left behind, however long it slept.
        None goes either while a pack's key cannot be read: which one wraps that is unknown.
        """
        keys = self._tenant_key_entries(tenant_id)
        if len(keys) < 2 or keys[max(keys)].modified_at >= before:
            return 0
        try:
            used = {*self._wrapping(tenant_id).values(), max(keys)}
        except IntegrityError as error:
            log.warning("no old key of a tenant is retired", tenant=tenant_id, reason=error.message)
            return 0
        for key_id in keys.keys() - used:
            self._backend.delete(_tenant_name(tenant_id, key_id))
            self._tenant_keys.pop((tenant_id, key_id), None)
        return len(keys.keys() - used)

    def sweep(self, tenant_id: str, before: datetime) -> None:
        """Take away what broken-off writes of keys left."""
        self._backend.sweep(tenant_id, before)

    def _keep(self, tenant_id: str, pack_id: str, key: bytes) -> None:
        key_id = max(self._tenant_key_entries(tenant_id), default="") or self._make_tenant_key(tenant_id)
        while True:
            wrapped = wrap(self._tenant_key(tenant_id, key_id), key, f"{tenant_id}:{pack_id}")
            self._write(_pack_name(tenant_id, pack_id), {"tenant": key_id}, wrapped)
            # Whoever makes a newer key now finds this one in use, so that it is not retired.
            if (newest := max(self._tenant_key_entries(tenant_id))) == key_id:
                break
            key_id = newest
        self._remember(tenant_id, pack_id, key)

    def _remember(self, tenant_id: str, pack_id: str, key: bytes) -> None:
        with self._lock:
            self._pack_keys[tenant_id, pack_id] = key
            if len(self._pack_keys) > _CACHED:
                self._pack_keys.popitem(last=False)

    def _make_tenant_key(self, tenant_id: str) -> str:
        key_id, key = _id_after(max(self._tenant_key_entries(tenant_id), default="")), AESGCM.generate_key(256)
        master = self._masters[0]
        wrapped = master.wrap(key, f"{tenant_id}:{key_id}")
        self._write(_tenant_name(tenant_id, key_id), {"master": master.id}, wrapped)
        self._tenant_keys[tenant_id, key_id] = key
        return key_id

    def _tenant_key_entries(self, tenant_id: str) -> dict[str, Entry]:
        """Return the tenant's keys by their id; the largest is the newest."""
        found = {entry.name.rpartition("/")[2]: entry for entry in self._backend.entries(f"{tenant_id}/tenant")}
        return {key_id: entry for key_id, entry in found.items() if parse_id(key_id) == key_id}

    def _tenant_key(self, tenant_id: str, key_id: str) -> bytes:
        if (tenant_id, key_id) not in self._tenant_keys:
            try:
                master_id, wrapped = self._read(_tenant_name(tenant_id, key_id), "master")
            except NotFound as error:
                raise IntegrityError(
                    f"the tenant's key {key_id} is missing; put the keys back from their copy"
                ) from error
            masters = {master.id: master for master in self._masters}
            if master_id not in masters:
                raise IntegrityError(
                    f"the master key {master_id} is needed and {', '.join(masters)} is here; give the right one"
                )
            key = masters[master_id].unwrap(wrapped, f"{tenant_id}:{key_id}")
            self._tenant_keys[tenant_id, key_id] = key
        return self._tenant_keys[tenant_id, key_id]

    def _read(self, name: str, wrapped_by: str) -> tuple[str, bytes]:
        try:
            kept = json.loads(self._backend.read(name))
            return str(kept[wrapped_by]), base64.b64decode(kept["wrapped"])
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"the key {name} is damaged; put it back from its copy") from error

    def _write(self, name: str, about: dict[str, str], wrapped: bytes) -> None:
        data = {"schema": 1, **about, "wrapped": base64.b64encode(wrapped).decode("ascii")}
        self._backend.put(name, json.dumps(data).encode())


def _id_after(largest: str) -> str:
    """Return a fresh id that sorts behind another, also where that was made while the clock ran ahead."""
    fresh = new_id()
    if fresh > largest:
        return fresh
    milliseconds = f"{int(largest[:8] + largest[9:13], 16) + 1:012x}"
    return f"{milliseconds[:8]}-{milliseconds[8:]}{fresh[13:]}"


def _pack_name(tenant_id: str, pack_id: str) -> str:
    return f"{tenant_id}/packs/{pack_id}"


def _tenant_name(tenant_id: str, key_id: str) -> str:
    return f"{tenant_id}/tenant/{key_id}"


def _destroyed_name(tenant_id: str, pack_id: str) -> str:
    return f"{tenant_id}/destroyed/{pack_id}"
