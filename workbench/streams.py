"""The standard streams: closed, of a small encoding, with a reader that is gone, or on a disk that is full."""

import contextlib
import io
import os
import sys
from typing import TextIO


def let_go(stream: TextIO) -> None:
    """Write what waits in it, or drop it: what Python cannot write at the exit makes every exit code 120."""
    try:
        stream.flush()
    except (OSError, ValueError):
        drop(stream)


def drop(stream: TextIO) -> None:
    """What waits in it, and all that follows, is dropped."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def open_standard() -> None:
    """Started with stdout or stderr closed (`>&-`): nobody reads, and no file of a run may get their numbers."""
    for fd, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
            setattr(sys, name, open(fd, "w" if fd else "r", closefd=False))  # noqa: SIM115


def never_fail_to_print() -> None:
    """What a terminal's encoding lacks is escaped: no ż of a sample ends a run or its telling."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
