"""Look a backup over before anybody needs it."""

from __future__ import annotations

from blake3 import blake3

from tunery.errors import IntegrityError, NotFound
from tunery.platform.blobs.packs import pack_name
from tunery.storage.backup.schemas import BackupManifest, BackupPack
from tunery.storage.backup.target import Target

__all__ = ["faults_of"]

_READ_BYTES = 16 << 20


def faults_of(
    target: Target, manifest: BackupManifest, *, quick: bool = False, spared: set[str] | None = None
) -> list[str]:
    """Name everything that is missing in a backup or damaged.

    Args:
        target: Where it lies.
        manifest: The backup.
        quick: Look only whether everything is there with its length.
        spared: Packs whose keys were destroyed; nobody could read them anyway.
    """
    faults = []
    there = target.chunks()
    for file in manifest.files:
        missing = [chunk for chunk in file.chunks if chunk not in there]
        faults += [f"chunk {chunk} of {file.path} is missing" for chunk in missing]
        if not missing and not quick:
            try:
                size = sum(len(piece) for piece in target.pieces(file))
            except (IntegrityError, NotFound) as error:
                faults.append(error.message)
            else:
                if size != file.size_bytes:
                    faults.append(f"{file.path} has {size} bytes instead of {file.size_bytes}")
    sizes: dict[str, int] = {}
    for tenant_id in {pack.tenant_id for pack in manifest.packs}:
        sizes.update({entry.name: entry.size_bytes for entry in target.packs.entries(tenant_id)})
    for pack in manifest.packs:
        if pack.id in (spared or ()):
            continue
        length = sizes.get(pack_name(pack.tenant_id, pack.id))
        if length is None:
            faults.append(f"pack {pack.id} of tenant {pack.tenant_id} is missing")
        elif length != pack.size_bytes:
            faults.append(f"pack {pack.id} of tenant {pack.tenant_id} has {length} bytes instead of {pack.size_bytes}")
        elif not quick and _checksum(target, pack) != pack.checksum:
            faults.append(f"pack {pack.id} of tenant {pack.tenant_id} is damaged: its bytes are not those written")
    return faults


def _checksum(target: Target, pack: BackupPack) -> str:
    hasher, position = blake3(), 0
    while position < pack.size_bytes:
        length = min(_READ_BYTES, pack.size_bytes - position)
        hasher.update(target.packs.read(pack_name(pack.tenant_id, pack.id), position, length))
        position += length
    return hasher.hexdigest()
