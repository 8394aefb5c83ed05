"""What training holds in memory, measured by the device's own count; and a limit that stands for a smaller card.

CUDA counts every byte that torch allocates. On a CPU the kernel counts what the process holds (Linux only): large
tensors are then asked for one by one and given back at once, so what is held is what is in use, and not what an
allocator keeps for later. That costs some speed, so seconds are measured afterwards, with `as_usual`.
"""

import contextlib
import ctypes
import gc
import re
import resource
import sys
from pathlib import Path

import torch

from workbench.errors import UsageError

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's mallopt."""
_ONE_BY_ONE = 64 * 1024
"""Bytes from which on a block of memory is a mapping of its own while memory is measured."""
_AS_USUAL = 32 * 1024 * 1024
"""What glibc's own threshold comes to in a process that frees large blocks."""


class Meter:
    """From its making on, what is allocated counts, and no more than `limit` bytes may be (None: no limit).

    What the process holds by then (Python, torch, what a first step has loaded) counts for nothing.
    """

    def __init__(self, device: torch.device, limit: int | None = None) -> None:
        self._device, self._base = device, 0
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.synchronize(device)
            self._base = torch.cuda.memory_allocated(device)
            torch.cuda.reset_peak_memory_stats(device)
            if limit is not None:
                total = torch.cuda.get_device_properties(device).total_memory
                torch.cuda.set_per_process_memory_fraction(min(1.0, (self._base + limit) / total), device)
        elif sys.platform == "linux" and device.type == "cpu":
            _malloc(_ONE_BY_ONE, 0)
            self._base = _kept("VmRSS")
            Path("/proc/self/clear_refs").write_text("5")  # VmHWM counts anew from here
            if limit is not None:
                hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
                resource.setrlimit(resource.RLIMIT_DATA, (_kept("VmData") + limit, hard))
        else:
            raise UsageError(f"memory on {device.type} cannot be measured here: expected a CUDA device, or Linux")

    def peak(self) -> int:
        """The most bytes that were held at once since the meter was made."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) - self._base
        return _kept("VmHWM") - self._base

    def as_usual(self) -> None:
        """Measure no more: memory is asked for as in any other run, and without a limit."""
        if self._device.type == "cpu":
            _malloc(_AS_USUAL, 2 * _AS_USUAL)
            resource.setrlimit(resource.RLIMIT_DATA, (resource.getrlimit(resource.RLIMIT_DATA)[1],) * 2)


def _malloc(one_by_one: int, trim: int) -> None:
    with contextlib.suppress(AttributeError):  # not glibc: its own way has to do
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, one_by_one)
        libc.mallopt(_M_TRIM_THRESHOLD, trim)
        libc.malloc_trim(0)


def _kept(field: str) -> int:
    """A figure of /proc/self/status in bytes: VmRSS (held now), VmHWM (the most), VmData (allotted)."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
