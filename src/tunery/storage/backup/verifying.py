"""Look a backup over before anybody needs it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tunery.errors import IntegrityError, NotFound
from tunery.platform.blobs.copying import checksum_at
from tunery.platform.blobs.packs import pack_name
from tunery.storage.backup.schemas import BackupFile, BackupManifest, BackupPack
from tunery.storage.backup.target import Target

__all__ = ["Fault", "faults_of"]


@dataclass(frozen=True)
class Fault:
    """Something that is missing in a backup or damaged.

    Attributes:
        reason: What is wrong, for people.
        damaged: The object whose bytes are wrong, as ``Target.suspect`` takes it; empty where it is missing.
    """

    reason: str
    damaged: str = ""


def faults_of(
    target: Target, manifest: BackupManifest, *, quick: bool = False, spared: Collection[str] = ()
) -> list[Fault]:
    """Name everything that is missing in a backup or damaged.

    Args:
        target: Where it lies.
        manifest: The backup.
        quick: Look only whether everything is there, packs with their length.
        spared: Packs that are not looked at: their keys were destroyed, or it is known that they are missing.
    """
    there = target.chunks()
    faults = [fault for file in manifest.files for fault in _faults_of_file(target, file, there, quick)]
    sizes: dict[str, int] = {}
    packs: list[tuple[BackupPack, str]] = [
        *((pack, "") for pack in manifest.packs),
        *(
            (pack, f"is not in the backup, for it was damaged in the store ({pack.reason})")
            for pack in manifest.missing
        ),
    ]
    for tenant_id in {pack.tenant_id for pack, _ in packs}:
        sizes.update({entry.name: entry.size_bytes for entry in target.packs.entries(tenant_id)})
    for pack, known in packs:
        name = pack_name(pack.tenant_id, pack.id)
        if pack.id not in spared and (wrong := _wrong_with(target, pack, sizes.get(name), quick)):
            damaged = f"packs/{name}" if name in sizes and not known else ""
            faults.append(Fault(f"pack {pack.id} of tenant {pack.tenant_id} {known or wrong}", damaged))
    return faults


def _faults_of_file(target: Target, file: BackupFile, there: Collection[str], quick: bool) -> list[Fault]:
    faults, size = [], 0
    for chunk in file.chunks:
        if chunk not in there:
            faults.append(Fault(f"chunk {chunk} of {file.path} is missing"))
        elif not quick:
            try:
                size += len(target.chunk(chunk, file))
            except (IntegrityError, NotFound) as error:
                faults.append(Fault(error.message, f"chunks/{chunk}"))
    if not faults and not quick and size != file.size_bytes:
        faults.append(Fault(f"{file.path} has {size} bytes instead of {file.size_bytes}"))
    return faults


def _wrong_with(target: Target, pack: BackupPack, length: int | None, quick: bool) -> str:
    if length is None:
        return "is missing"
    if length != pack.size_bytes:
        return f"has {length} bytes instead of {pack.size_bytes}"
    try:
        good = quick or checksum_at(target.packs, pack) == pack.checksum
    except (IntegrityError, NotFound) as error:
        return f"cannot be read: {error.message}"
    return "" if good else "is damaged: its bytes are not those written"
