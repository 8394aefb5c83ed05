"""A run directory that cannot be written: training waits until it can be, and says what it waits for.

A full disk, a used-up quota, a file system that became read-only, a server that is away: all of them pass. Nothing is
taken back meanwhile: records and events wait in memory, a checkpoint is written anew from its beginning, and the
last good one stays.
"""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from workbench.errors import WorkbenchError
from workbench.training.journal import Journal

PASSING = frozenset((
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ESTALE, errno.ENOTCONN,
    errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EMFILE, errno.ENFILE,
))  # fmt: skip
"""What someone can mend while the run waits. An EIO is none: what was written before it may be gone."""
GONE_AFTER = 60.0
"""Seconds without its directory after which a run gives up: it was removed, not moved for a moment."""
EVERY = 0.2

T = TypeVar("T")


class Waiting:
    """A Patience (journal.py) for one attempt. `between` is called while it waits; it raises to leave."""

    def __init__(self, journal: Journal, between: Callable[[], None]) -> None:
        self._journal, self._between = journal, between

    def __call__(self, write: Callable[[], T], /) -> T:
        """Do `write` until it succeeds. Raises what does not pass, WorkbenchError where the directory stays away."""
        try:
            return write()
        except OSError as error:
            if error.errno not in PASSING:
                raise
            return self._wait(write, error)

    def until_written(self) -> None:
        """Return when all that the run has said is in its files."""
        if self._journal.trouble:
            self(self._look)

    def _look(self) -> None:
        self._journal.look_again()
        if error := self._journal.trouble:
            raise error

    def _wait(self, write: Callable[[], T], error: OSError) -> T:
        journal = self._journal
        state, phase = journal.state, journal.phase
        began = there = time.monotonic()
        told = ""
        while True:
            if (why := reason(error)) != told:
                told = why
                journal.tell(state="paused", phase=f"waiting: {what(error)}", reason=why)
                journal.event("warning", message=f"training waits: {why}")
            self._between()
            time.sleep(EVERY)
            if not _gone(journal.run):
                there = time.monotonic()
            elif time.monotonic() - there > GONE_AFTER:
                raise WorkbenchError(f"{journal.run}: the run's directory is gone")
            try:
                done = write()
            except OSError as again:
                if again.errno not in PASSING:
                    raise
                error = again
            else:
                break
        journal.tell(state=state, phase=phase, reason="")
        journal.event("warning", message=f"training goes on: it waited {time.monotonic() - began:.1f} s")
        return done


def _gone(run: Path) -> bool:
    """Whether there is surely no such directory: one that cannot be asked about (a dead mount) is only away."""
    try:
        return not run.is_dir()
    except OSError:
        return False


def what(error: OSError) -> str:
    """In the words of the operating system: no space left on device."""
    return (error.strerror or os.strerror(error.errno or errno.EIO)).lower()


def reason(error: OSError) -> str:
    """A sentence for a person."""
    where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
    return f"{where}{what(error)}; it goes on by itself when it can write again"
