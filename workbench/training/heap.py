"""The C heap of a process that trains on a CPU: what one step gives back is there for the next.

glibc returns a large block to the kernel at once, and has it back page by page, zeroed, a moment later: 15,000 page
faults a step of the `shakespeare` preset, a quarter of its time on two cores (112 ms a step, 84 without; 2026-11-21).
"""

import contextlib
import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -2, -3, -8
"""Numbers of glibc's mallopt."""

_LARGEST = 2**31 - 1
_AT_ONCE = 64 * 2**20
"""Bytes by which the heap grows at least."""


def keep() -> None:
    """From now on, for the whole process. Elsewhere than under glibc nothing happens."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 2**30)
        libc.mallopt(M_TRIM_THRESHOLD, _LARGEST)
        libc.mallopt(M_TOP_PAD, _AT_ONCE)
