"""What sending a file costs: ``python benchmarks/uploads.py``; prints MB/s, asserts none.

Bytes that nothing compresses go into a store of this machine: put by its own process, sent by the SDK to a server as
one raw PUT, and sent in parts. Client and server share the machine, so each hashes what the other hashes, too.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MB = 1e6
_PIECE = 16 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=1 << 30)
    parser.add_argument("--times", type=int, default=2)
    parser.add_argument("--only", nargs="+", default=["local", "raw", "parts"])
    parser.add_argument("--scratch", type=Path, help="where homes and files are made; none: the temporary folder")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {arguments.bytes / MB:.0f} MB")
    for name in arguments.only * arguments.times:
        with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
            path = made(Path(scratch) / "noise.bin", arguments.bytes)
            seconds = WAYS[name](Path(scratch), path)
        print(f"  {name:<6} {arguments.bytes / MB / seconds:6.0f} MB/s  {seconds:6.2f} s", flush=True)


def local(scratch: Path, path: Path) -> float:
    """Put the file in this process."""
    from tunery.identity.operations import bootstrap
    from tunery.identity.tables import Tenant
    from tunery.platform.db.migrate import migrate_database
    from tunery.platform.ground import Ground
    from tunery.rooms import load_rooms
    from tunery.settings import Settings

    load_rooms()
    settings = Settings(home=scratch / "home", _env_file=None)
    settings.folder()
    migrate_database(settings.effective_database_url, None)
    ground = Ground.build(settings)
    bootstrap(ground)
    with ground.database.system_session("a benchmark", read_only=True) as session:
        tenant_id = session.query(Tenant).one().id
    return timed(lambda: ground.blobs.put(tenant_id, path))


def raw(scratch: Path, path: Path) -> float:
    """Send the file as one body."""
    return sent(scratch, path, 1 << 60)


def parts(scratch: Path, path: Path) -> float:
    """Send the file in parts, as files of its length are sent."""
    return sent(scratch, path, 64 << 20)


def sent(scratch: Path, path: Path, parts_from_bytes: int) -> float:
    """Start a server, send the file, and return the seconds that took, the client's first look at it included."""
    from tunery.client import Client

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "TUNERY_HOME": str(scratch / "home"), "TUNERY_LOG_LEVEL": "warning"}
    command = [sys.executable, "-m", "tunery", "serve", "--port", str(port), "--no-worker"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            wait_for(server, port)
            token = (scratch / "home" / "owner.token").read_text().strip()
            with Client(f"http://127.0.0.1:{port}", token, scratch / "client") as client:
                client.files.parts_from_bytes = parts_from_bytes
                return timed(lambda: client.files.upload(path))
        finally:
            server.terminate()


def wait_for(server: subprocess.Popen[Any], port: int) -> None:
    """Wait until the server answers."""
    while server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("the server ended before it answered")


def made(path: Path, size: int) -> Path:
    """Write a file of random bytes that is on the disk already, so that its writing disturbs no measurement."""
    with path.open("wb") as file:
        for start in range(0, size, _PIECE):
            file.write(os.urandom(min(_PIECE, size - start)))
        file.flush()
        os.fsync(file.fileno())
    return path


def timed(deed: Callable[[], object]) -> float:
    """Return the seconds a deed takes."""
    started = time.perf_counter()
    deed()
    return time.perf_counter() - started


WAYS: dict[str, Callable[[Path, Path], float]] = {"local": local, "raw": raw, "parts": parts}

if __name__ == "__main__":
    main()
