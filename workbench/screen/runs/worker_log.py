"""worker.log's end: what a worker has said on stdout and stderr, its last words among it."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from workbench.runs.files import opened

MOST = 64 * 1024
"""Bytes of the log that are looked at: an error and what led to it."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Tail:
    """The last lines of a log as they were written, less their colours: anything else they hold is still in them."""

    lines: tuple[str, ...]
    cut: bool
    """There is more before them."""
    stamp: tuple[int, int]
    """Size and time of the file that they are from."""


def tail(run: Path, before: Tail | None = None) -> Tail:
    """The end of a run's worker.log; `before` itself where the file is as it was then. No log is an empty one."""
    try:
        with opened(run / "worker.log") as file:
            found = os.fstat(file.fileno())
            stamp = found.st_size, found.st_mtime_ns
            if before is not None and before.stamp == stamp:
                return before
            begin = max(0, found.st_size - MOST)
            text = os.pread(file.fileno(), MOST, begin).decode("utf-8", "replace")
    except OSError:  # not there, or nothing that could be read: the run goes on without its log
        return Tail((), False, (0, 0))
    lines = _COLOUR.sub("", text).split("\n")
    if begin:
        lines = lines[1:]
    if not lines or not lines[-1]:
        lines = lines[:-1]
    return Tail(tuple(_last_written(line) for line in lines), begin > 0, stamp)


def _last_written(line: str) -> str:
    """What a terminal would show of a line that was written over with carriage returns, as progress bars are."""
    return next((part for part in reversed(line.split("\r")) if part), "")
