"""What training holds in memory, measured by the device's own count; and a limit that stands for a smaller card.

CUDA counts every byte that torch allocates. On a CPU the kernel counts what the process is allotted (Linux only):
large tensors are then asked for one by one and given back at once, so what is allotted is what is in use, and not what
an allocator keeps for later. That costs some speed, so seconds are measured afterwards, with `as_usual`.
"""

import contextlib
import ctypes
import gc
import mmap
import re
import resource
import sys
from pathlib import Path

import psutil
import torch

from workbench.errors import UsageError
from workbench.training import heap

SHARE_OF_FREE = {"cuda": 1.0, "cpu": 0.75}
"""How much of what is free now may be used where no limit is given: a card is ours, a computer has other work."""

_ONE_BY_ONE = 8 * 1024
"""Bytes from which on a block of memory is a mapping of its own while memory is measured."""
_CHANGE, _OBJECT, _HOLE = 4 * 2**20, 400, _ONE_BY_ONE - 64
"""Bytes set aside for small objects, in Python's and in C's heap; of one of them; of a hole in C's heap."""
_POINTER = ctypes.c_void_p


class Meter:
    """From its making on, what is allocated counts, and no more than `limit` bytes may be.

    What the process holds by then (Python, torch, what a first step has loaded) counts for nothing. Raises UsageError
    where nobody counts.
    """

    def __init__(self, device: torch.device, limit: int) -> None:
        self._device, self._limit = device, limit
        gc.collect()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            torch.cuda.empty_cache()
            self._base = torch.cuda.memory_allocated(device)
            torch.cuda.reset_peak_memory_stats(device)
            _limit_card(device, torch.cuda.memory_reserved(device) + limit)
        else:
            _one_by_one()
            self._change = _small_change()
            self._filled = _fill_up()
            self._base = _kept("VmPeak")
            hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
            resource.setrlimit(resource.RLIMIT_DATA, (_kept("VmData") + limit, hard))

    def peak(self) -> int:
        """The most bytes that were in use at once since the meter was made."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) - self._base
        # What ran under the limit is within it: a library that is refused a reserve may do without.
        return min(_kept("VmPeak") - self._base, self._limit)

    def as_usual(self) -> None:
        """Measure no more: memory is asked for as in any other run, and without a limit."""
        if self._device.type == "cuda":
            _limit_card(self._device, None)
        else:
            heap.keep()
            resource.setrlimit(resource.RLIMIT_DATA, (resource.getrlimit(resource.RLIMIT_DATA)[1],) * 2)


def check(device: torch.device) -> None:
    """Raise UsageError where nobody counts the memory that a process holds."""
    if device.type != "cuda" and (device.type != "cpu" or sys.platform != "linux"):
        where = f"on {device.type}" if device.type != "cpu" else f"of a CPU on {sys.platform}"
        raise UsageError(
            f"memory {where} cannot be measured: expected a CUDA device, or a CPU on Linux; "
            "`workbench plan` estimates it anywhere"
        )


def prepare(device: torch.device) -> None:
    """Before the first tensor: a large block that was freed into the heap would be used again unseen by the meter."""
    if device.type == "cpu":
        _one_by_one()


def free(device: torch.device) -> int:
    """The bytes that a run may take here if nobody says otherwise: what is free now, less some on a CPU."""
    now = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return int(now * SHARE_OF_FREE[device.type])


def margin(device: torch.device, limit: int) -> int:
    """How near to the limit two runs of one size may differ in what they hold: of no use to say that one of them fits.

    Measured on a CPU: a quarter of a MiB is more than any two of 3 and 200 steps were apart. A card counts exactly.
    """
    return 0 if device.type == "cuda" else 2**18 + limit // 1024


def _limit_card(device: torch.device, most: int | None) -> None:
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(1.0 if most is None else min(1.0, most / total), device)


def _one_by_one() -> None:
    """Every large block is asked of the kernel, and given back to it."""
    heap.give_back(_ONE_BY_ONE)
    with contextlib.suppress(AttributeError):  # not glibc: its own way has to do
        libc = ctypes.CDLL(None)
        libc.mallopt(heap.M_ARENA_MAX, 1)  # a thread's arena is reserved whole, however little of it is used
        libc.malloc_trim(0)


def _small_change() -> list[bytes]:
    """Set some memory aside for small objects, whose number goes with the steps, and not with B.

    Python takes a MiB when it needs a byte; the heap grows by a page. Unforeseen, that is what a size would fit by
    today and miss by tomorrow. What is returned keeps Python's part; holes between small blocks keep the heap's.
    """
    objects = [bytes(_OBJECT) for _ in range(_CHANGE // _OBJECT)]
    kept = objects[:: 2**20 // _OBJECT // 4]  # some in every MiB: an empty one would be given back
    del objects
    with contextlib.suppress(AttributeError):
        libc = ctypes.CDLL(None)
        libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [_POINTER]
        holes = []
        for _ in range(_CHANGE // _HOLE):
            holes.append(libc.malloc(_HOLE))
            libc.malloc(16)  # stays, so that no hole is large enough for a tensor that counts
        for hole in holes:
            libc.free(hole)
    return kept


def _fill_up() -> mmap.mmap | None:
    """Take what the process once had and gave back: VmPeak never falls, so only then does all that follows raise it.

    Nothing is written there, so it costs no memory, and nothing may be, so the limit does not count it.
    """
    left = _kept("VmPeak") - _kept("VmSize")
    if left <= 0:
        return None
    return mmap.mmap(-1, left, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ)


def _kept(field: str) -> int:
    """A figure of /proc/self/status in bytes: VmSize (allotted now), VmPeak (the most), VmData (what is written to)."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
