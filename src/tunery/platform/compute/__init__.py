"""Where a heavy step runs: a child process group on this machine."""

from tunery.platform.compute.process import ENTRIES, run_in_child

__all__ = ["ENTRIES", "run_in_child"]
