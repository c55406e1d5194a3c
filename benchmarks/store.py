"""What the store costs and saves: ``python benchmarks/store.py FOLDER``; prints numbers, asserts none.

FOLDER holds real models of one family, all bfloat16 safetensors, as ``benchmarks/store_models.py`` makes them:
``base``, ``ft-RATE-STEPS`` (full fine-tunes), ``ck-RATE-STEP`` (checkpoints on the way), ``merged-*`` (adapters merged
into the base). Everything goes through ``BlobStore`` as the house uses it: sealed, hashed with SHA-256 and BLAKE3,
decoded and compared before it is kept, fsynced.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tunery.platform.blobs.codecs import QUICK, SMALL

MB = 1e6
SAFETENSORS = "application/x-safetensors"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", default=["shares", "family", "speed", "tensor", "memory"])
    parser.add_argument("--large-bytes", type=int, default=5_000_000_000, help="of the file that tests the memory")
    parser.add_argument("--times", type=int, default=5, help="how often each speed is measured")
    parser.add_argument("--scratch", type=Path, help="where the stores are made; none: the system's temporary folder")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        pass_through(Path(arguments.child), arguments.large_bytes)
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name in arguments.only:
        with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
            PARTS[name](Path(scratch), arguments)


def shares(scratch: Path, arguments: argparse.Namespace) -> None:
    """How much of each fine-tune is stored, by learning rate and steps, and how fast, at both levels."""
    files = family(arguments.folder)
    shelf = Shelf(scratch)
    base = shelf.put(files["base"])
    print(f"\n{'':36} level {QUICK} (the default)      level {SMALL}")
    print("stored share            zstd  planes   share  in MB/s  out MB/s   share  in MB/s  out MB/s")
    print(
        f"  {'base':<18} {zstd(files['base']):7.3f} {'':7} {base.share:7.3f} {base.speed:8.0f} {shelf.out(base):9.0f}"
    )
    for name, path in files.items():
        if name.startswith("ft-"):
            with tempfile.TemporaryDirectory(dir=arguments.scratch) as other:
                planes = Shelf(Path(other)).put(path).share
            line = f"  {name:<18} {zstd(path):7.3f} {planes:7.3f}"
            for level in (QUICK, SMALL):
                with tempfile.TemporaryDirectory(dir=arguments.scratch) as other:
                    fresh = Shelf(Path(other), level)
                    kept = fresh.put(path, like=fresh.put(files["base"]).digest)
                    line += f" {kept.share:7.3f} {kept.speed:8.0f} {fresh.out(kept):9.0f}"
            print(line, flush=True)


def family_share(scratch: Path, arguments: argparse.Namespace) -> None:
    """How much of a whole family is stored, against chunks kept once."""
    files = family(arguments.folder)
    kinds = {kind: sum(name.startswith(kind) for name in files) for kind in ("ft-", "merged-", "ck-")}
    logical = sum(path.stat().st_size for path in files.values())
    print(f"\n1 base, {kinds['ft-']} fine-tunes, {kinds['merged-']} merged adapters, {kinds['ck-']} checkpoints")
    for level in (QUICK, SMALL):
        shelf = Shelf(scratch / str(level), level)
        base = shelf.put(files["base"])
        for name, path in files.items():
            if name != "base":
                shelf.put(path, like=base.digest)
        stored = shelf.stored()
        print(f"  level {level}: logical {logical / 1e9:.2f} GB, stored {stored / 1e9:.2f} GB: {stored / logical:.3f}")
    print(f"  chunks of 64 KiB kept once: {chunked(list(files.values())) / logical:.3f}")


def speed(scratch: Path, arguments: argparse.Namespace) -> None:
    """In and out, beside ``cp`` and ``sha256sum`` on the same files: the median of ``--times``, and the best."""
    files = family(arguments.folder)
    noise = scratch / "noise"
    with noise.open("wb") as file:
        for _ in range(64):
            file.write(os.urandom(16 << 20))
    near = files.get("ft-2e-5-50") or next(path for name, path in files.items() if name.startswith("ft-"))
    print("\nMB/s, median (best)                        in     read alone    out to disk  cp, fsync, sha256sum")
    for label, path, like, level in [
        ("nothing compresses (1 GiB)", noise, None, QUICK),
        (f"delta ({near.stem})", near, files["base"], QUICK),
        (f"the same at level {SMALL}", near, files["base"], SMALL),
    ]:
        speeds: dict[str, list[float]] = {"in": [], "read": [], "out": [], "plain": []}
        for number in range(arguments.times):
            shelf = Shelf(scratch / f"{level}-{path.stem}-{number}", level)
            kept = shelf.put(path, like=shelf.put(like).digest if like else None)
            speeds["in"].append(kept.speed)
            speeds["read"].append(shelf.read(kept))
            speeds["out"].append(shelf.out(kept))
            speeds["plain"].append(plain(path, scratch))
            if number + 1 == arguments.times and like and level == QUICK:
                again = shelf.put(near, like=shelf.put(like).digest)
            shutil.rmtree(shelf.folder)
        told = "  ".join(f"{statistics.median(each):6.0f} ({max(each):.0f})" for each in speeds.values())
        print(f"  {label:<32} {told}", flush=True)
    print(
        f"  the same once more: {again.packs} packs written, {again.seconds:.2f} s; SHA-256 alone {sha256(near):.2f} s"
    )


def tensor(scratch: Path, arguments: argparse.Namespace) -> None:
    """One tensor of 1 MB out of a file of 1 GB."""
    path = scratch / "large.safetensors"
    write_large(path, 1_000_000_000)
    shelf = Shelf(scratch)
    kept = shelf.put(path)
    length = int.from_bytes(path.open("rb").read(8), "little")
    begin = 8 + length
    times = []
    for number in range(0, 900, 30):
        start = time.perf_counter()
        got = b"".join(shelf.store.open(shelf.tenant_id, kept.digest, begin + number * 1_000_000, 1_000_000))
        times.append(1000 * (time.perf_counter() - start))
        assert len(got) == 1_000_000
    whole = kept.size / MB / shelf.out(kept)
    print(f"\none tensor of 1 MB out of 1 GB: median {statistics.median(times):.1f} ms, worst {max(times):.1f} ms")
    print(f"  the whole file: {1000 * whole:.0f} ms")


def memory(scratch: Path, arguments: argparse.Namespace) -> None:
    """The most memory that a process takes while a large file passes in and out."""
    order = [sys.executable, __file__, str(arguments.folder), "--child", str(scratch)]
    done = subprocess.run([*order, "--large-bytes", str(arguments.large_bytes)], capture_output=True, text=True)
    print(done.stdout.strip() or done.stderr.strip())


def pass_through(scratch: Path, size: int) -> None:
    """In a process of its own: put and read a file that is never whole on disk."""
    shelf = Shelf(scratch)
    header = large_header(size)

    def pieces() -> Iterator[bytes]:
        yield header
        block = os.urandom(1_000_000)
        for number in range(size // 1_000_000):
            yield number.to_bytes(8, "little") + block[8:]

    began = time.perf_counter()
    blob = shelf.store.put(shelf.tenant_id, pieces(), SAFETENSORS)
    seconds = time.perf_counter() - began
    after_put = peak_memory()
    for _ in shelf.store.open(shelf.tenant_id, blob.digest):
        pass
    print(f"\n{size / 1e9:.0f} GB passed in at {size / MB / seconds:.0f} MB/s")
    print(f"  memory at most {after_put:.0f} MB, {peak_memory():.0f} MB when it was read again")


def peak_memory() -> float:
    """Most MB that this process had; unlike ``ru_maxrss`` without its parent's."""
    [kibibytes] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kibibytes) * 1024 / MB


class Kept:
    """One file that was put."""

    def __init__(self, digest: str, size: int, stored: int, seconds: float, packs: int) -> None:
        self.digest, self.size, self.seconds, self.packs = digest, size, seconds, packs
        self.share = stored / size
        self.speed = size / MB / seconds


class Shelf:
    """A store of one tenant in a fresh home."""

    def __init__(self, folder: Path, level: int = QUICK) -> None:
        from tunery.identity.operations import bootstrap
        from tunery.identity.tables import Tenant
        from tunery.platform.db.migrate import migrate
        from tunery.platform.ground import Ground
        from tunery.platform.telemetry import configure_logging
        from tunery.rooms import load_rooms
        from tunery.settings import Settings

        load_rooms()
        settings = Settings(home=folder / "home", log_level="warning", _env_file=None)
        configure_logging(settings)
        migrate(settings)
        ground = Ground.build(settings)
        bootstrap(ground)
        with ground.database.system_session("a benchmark looks for the local tenant") as session:
            self.tenant_id = session.scalars(sa.select(Tenant.id)).one()
        self.ground, self.store, self.folder = ground, ground.blobs, folder
        self.store.level = level

    def stored(self) -> int:
        """Bytes of all packs on disk."""
        return sum(path.stat().st_size for path in self.packs())

    def packs(self) -> list[Path]:
        return [path for path in (self.folder / "home" / "store" / "packs").rglob("*") if path.is_file()]

    def put(self, path: Path, like: str | None = None) -> Kept:
        before, count = self.stored(), len(self.packs())
        media = SAFETENSORS if path.suffix == ".safetensors" else "application/octet-stream"
        began = time.perf_counter()
        blob = self.store.put(self.tenant_id, path, media, like)
        seconds = time.perf_counter() - began
        return Kept(blob.digest, blob.size_bytes, self.stored() - before, seconds, len(self.packs()) - count)

    def read(self, kept: Kept) -> float:
        """Read, verified; MB/s."""
        began = time.perf_counter()
        for _ in self.store.open(self.tenant_id, kept.digest):
            pass
        return kept.size / MB / (time.perf_counter() - began)

    def out(self, kept: Kept) -> float:
        """Restore to disk, verified; MB/s."""
        target = self.folder / "out"
        target.unlink(missing_ok=True)
        began = time.perf_counter()
        self.store.checkout(self.tenant_id, kept.digest, target)
        seconds = time.perf_counter() - began
        target.unlink()
        return kept.size / MB / seconds


def family(folder: Path) -> dict[str, Path]:
    """Files by name, the base first."""
    found = {path.stem: path for path in sorted(folder.glob("*.safetensors"))}
    return {"base": found.pop("base"), **found}


def zstd(path: Path) -> float:
    """Share that zstd level 3 leaves of the file."""
    from tunery.platform.blobs.deflate import deflate

    data = path.read_bytes()
    step = 16 << 20
    return sum(len(deflate(memoryview(data)[at : at + step])) for at in range(0, len(data), step)) / len(data)


def chunked(paths: list[Path]) -> int:
    """Bytes that keeping each chunk of 64 KiB once would store."""
    from blake3 import blake3

    seen: set[bytes] = set()
    stored = 0
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(64 << 10):
                digest = blake3(chunk).digest()
                stored += len(chunk) * (digest not in seen)
                seen.add(digest)
    return stored


def plain(path: Path, scratch: Path) -> float:
    """MB/s of ``cp``, made durable, and ``sha256sum``."""
    target = scratch / "copied"
    began = time.perf_counter()
    shutil.copyfile(path, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())
    subprocess.run(["sha256sum", str(target)], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    target.unlink()
    return path.stat().st_size / MB / seconds


def sha256(path: Path) -> float:
    """Seconds of hashing alone."""
    from tunery.kit.digests import sha256_file

    began = time.perf_counter()
    sha256_file(path)
    return time.perf_counter() - began


def large_header(size: int) -> bytes:
    """The header of a safetensors file of tensors of 1 MB."""
    count = size // 1_000_000
    tensors: dict[str, Any] = {
        f"t{number:05}": {
            "dtype": "BF16", "shape": [500_000], "data_offsets": [number * 1_000_000, (number + 1) * 1_000_000]
        }
        for number in range(count)
    }  # fmt: skip
    header = json.dumps(tensors).encode()
    return len(header).to_bytes(8, "little") + header


def write_large(path: Path, size: int) -> None:
    """Write a file of random tensors of 1 MB."""
    with path.open("wb") as file:
        file.write(large_header(size))
        for _ in range(size // 1_000_000):
            file.write(os.urandom(1_000_000))


PARTS: dict[str, Callable[[Path, argparse.Namespace], None]] = {
    "shares": shares,
    "family": family_share,
    "speed": speed,
    "tensor": tensor,
    "memory": memory,
}

if __name__ == "__main__":
    main()
