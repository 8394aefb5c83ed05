"""Writing to a stream that may have gone away, and the one line of a terminal that is written over."""

import contextlib
import os
import shutil
import sys
import threading
import time
from types import TracebackType
from typing import TextIO

from workbench.data.visible import visible
from workbench.runs import launch
from workbench.streams import drop

MOST = 1_000_000
"""Lines that wait for a slow reader: some 300 MB of `--json`. Beyond them training waits for it."""


def narrate(text: str) -> None:
    """One line on stderr; nobody reading it is no reason to stop."""
    with contextlib.suppress(OSError, ValueError):
        print(f"workbench: {visible(text)}", file=sys.stderr, flush=True)


class Lines:
    """Whole lines to a stream, from any thread, written by a thread of their own.

    A reader that has stopped reading (`| less`) stops nothing else; once it has gone, everything is dropped.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._changed = threading.Condition()
        self._pending: list[str] = []
        self._status = ""
        self._wanted = self._closing = self._gone = False
        self._writer: threading.Thread | None = None
        self.live = out.isatty()
        """A terminal: a status line can be written over."""

    def write(self, line: str) -> None:
        """One line, handed on at the next flush. Waits only for a reader that is MOST lines behind."""
        with self._changed:
            while len(self._pending) >= MOST and not self._gone:
                self._changed.wait(0.1)
            self._pending.append(line)

    def status(self, text: str) -> None:
        """What stands below the lines, on a terminal only: each replaces the one before."""
        if self.live:
            with self._changed:
                self._status = text

    def flush(self) -> None:
        """Have what is pending written soon; never waits."""
        with self._changed:
            if self._closing:
                return
            if self._writer is None:
                self._writer = threading.Thread(target=self._write, name="narration", daemon=True)
                self._writer.start()
            self._wanted = True
            self._changed.notify_all()

    def close(self) -> None:
        """Return when all has been written, or the reader has gone."""
        self.flush()
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._writer:
            while self._writer.is_alive():
                self._writer.join(0.1)  # in pieces, so that a signal is heard

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted or self._closing)
                if not self._wanted:
                    return
                text = "".join(f"{line}\n" for line in self._pending)
                if self.live:
                    width = shutil.get_terminal_size().columns
                    text = f"\r\x1b[K{text}{self._status[: width - 1]}"
                self._pending.clear()
                self._wanted = False
                self._changed.notify_all()
            if text and not self._gone:
                try:
                    self._out.write(text)
                    self._out.flush()
                except (OSError, ValueError):
                    self._gone = True
                    drop(self._out)


class Preparing:
    """What is being made ready, on stderr: a line that is written over on a terminal, one line a phase elsewhere.

    Whoever launched this process may have asked to be told in JSON, every phase and every percent of it.
    """

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._launched = launch.PHASES in os.environ
        self._live = sys.stderr.isatty() and not self._launched
        self._last = ""
        self._next = 0.0

    def __call__(self, what: str, share: float | None) -> None:
        """Told often; says little."""
        if self._silent:
            return
        if self._launched:
            line = launch.phase_line(what, share)
            if line != self._last:
                self._last = line
                self._say(line)
        elif not self._live:  # a log gets one line for each phase that takes long enough to be wondered about
            if what != self._last:
                self._last, self._next = what, time.monotonic() + 2
            elif time.monotonic() >= self._next:
                self._next = float("inf")
                self._say(f"workbench: {what} …\n")
        elif what != self._last or time.monotonic() >= self._next:
            self._next = time.monotonic() + 0.1
            self._last = what
            self._say(f"\r\x1b[K{what}{'' if share is None else f' {share:.0%}'}")

    def __enter__(self) -> "Preparing":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.done()

    def done(self) -> None:
        """Take the line away again."""
        if self._live and self._last:
            self._say("\r\x1b[K")
        self._last = ""

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()
