"""How long `import tunery` and `tunery --help` take. Aim: 150 ms and 400 ms, both without torch."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

REPEATS = 15
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import tunery": [sys.executable, "-c", "import tunery"],
    "tunery --help": [sys.executable, "-m", "tunery", "--help"],
    "tunery models --help": [sys.executable, "-m", "tunery", "models", "--help"],
}
LOADED = "import sys, tunery.cli.main; print('torch' in sys.modules)"


def main() -> None:
    """Print the median of each command, over fresh processes."""
    for name, command in COMMANDS.items():
        seconds = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds.append(time.perf_counter() - began)
        print(f"{name:24} median {statistics.median(seconds) * 1000:6.0f} ms   best {min(seconds) * 1000:6.0f} ms")
    done = subprocess.run([sys.executable, "-c", LOADED], check=True, capture_output=True, text=True)
    print(f"torch loaded by the command line: {done.stdout.strip()}")


if __name__ == "__main__":
    main()
