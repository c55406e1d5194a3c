"""Where to compute, in which dtype and with how many threads."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tunery.errors import Unavailable
from tunery.kit.extras import require

if TYPE_CHECKING:
    import torch

__all__ = ["Machine", "choose_machine", "cpu_model", "physical_cores", "prepare_memory"]


@dataclass(frozen=True)
class Machine:
    """The device a run computes on."""

    device: torch.device
    dtype: torch.dtype
    threads: int

    def peak_memory_bytes(self) -> int:
        """Return the most memory in use so far: on the GPU where there is one, else of this process."""
        import resource

        import torch

        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024

    def describe(self) -> dict[str, Any]:
        """Return what a result must say to be repeated: device, dtype, threads, processor and libraries."""
        import torch

        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else None
        return {
            "device": self.device.type,
            "device_name": name,
            "dtype": str(self.dtype).removeprefix("torch."),
            "threads": self.threads,
            "cpu_model": cpu_model(),
            "libraries": {name: str(require(name, "train").__version__) for name in ("torch", "transformers", "peft")},
        }


def choose_machine(
    device: Literal["auto", "cpu", "cuda", "mps"], dtype: Literal["auto", "float32", "bfloat16"], threads: int | None
) -> Machine:
    """Choose the device and the dtype that match, and set torch's threads.

    bfloat16 is chosen where the hardware multiplies it (CUDA from Ampere on, CPUs with AVX512-BF16 or AMX), float32
    elsewhere: there it is several times faster.

    Raises: Unavailable: the device asked for is not in this machine.
    """
    torch = require("torch", "train")
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    chosen = next(kind for kind in ("cuda", "mps", "cpu") if present[kind]) if device == "auto" else device
    if not present[chosen]:
        raise Unavailable(f"device: {chosen} was asked for, but torch finds none in this machine; use device: auto")
    count = threads or physical_cores()
    torch.set_num_threads(count)
    if chosen == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
    native = {
        "cpu": torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported(),
        "cuda": present["cuda"] and torch.cuda.is_bf16_supported(including_emulation=False),
        "mps": False,
    }
    name = dtype if dtype != "auto" else ("bfloat16" if native[chosen] else "float32")
    return Machine(torch.device(chosen), getattr(torch, name), count)


def physical_cores() -> int:
    """Return how many cores this process may use; a core's second thread only gets in the way of matrix products."""
    psutil = require("psutil", "train")
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    return max(1, min(cores, allowed, _quota() or cores))


def _quota() -> int | None:
    """Return the cores that a container's quota allows. Source: Linux, cgroup-v2.rst, ``cpu.max``."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else max(1, round(int(quota) / int(period)))


def cpu_model() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in reversed(lines) if ":" in line}
    if "model name" not in found:
        return platform.machine()
    # Clouds hide the name behind a family's; family, model and stepping still tell processors apart.
    return f"{found['model name']} (family {found['cpu family']}, model {found['model']}, stepping {found['stepping']})"


def prepare_memory() -> None:
    """Make large tensors cheap to allocate; must be called before torch allocates any.

    A training step allocates and frees the same gigabytes again and again. By default the C library gives every large
    block back to the system at once, and each page of the next one is faulted in and zeroed anew: a tenth to a fifth of
    the time. Here freed blocks are kept, and torch asks for huge pages.
    """
    if sys.platform != "linux":
        return
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        m_trim_threshold, m_top_pad, m_mmap_max = -1, -2, -4  # Source: glibc, malloc.h
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)
        libc.mallopt(m_top_pad, 64 * 1024 * 1024)
