"""Writing to a stream that may have gone away, and the one line of a terminal that is written over."""

import contextlib
import shutil
import sys
import threading
import time
from types import TracebackType
from typing import TextIO

from workbench.data.visible import visible


def narrate(text: str) -> None:
    """One line on stderr; nobody reading it is no reason to stop."""
    with contextlib.suppress(OSError, ValueError):
        print(f"workbench: {visible(text)}", file=sys.stderr, flush=True)


class Lines:
    """Whole lines to a stream, from any thread. Once the reader has gone, everything is silently dropped."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._pending: list[str] = []
        self._status = ""
        self._gone = False
        self.live = out.isatty()
        """A terminal: a status line can be written over."""

    def write(self, line: str) -> None:
        """One line, handed to the system at the next flush."""
        with self._lock:
            self._pending.append(line)

    def status(self, text: str) -> None:
        """What stands below the lines, on a terminal only: each replaces the one before."""
        if self.live:
            with self._lock:
                self._status = text

    def flush(self) -> None:
        with self._lock:
            if self._gone or not (self._pending or self._status):
                self._pending.clear()
                return
            text = "".join(f"{line}\n" for line in self._pending)
            if self.live:
                width = shutil.get_terminal_size().columns
                text = f"\r\x1b[K{text}{self._status[: width - 1]}"
            self._pending.clear()
            try:
                self._out.write(text)
                self._out.flush()
            except (OSError, ValueError):
                self._gone = True


class Preparing:
    """What is being made ready, on stderr: a line that is written over on a terminal, one line a phase elsewhere."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._live = sys.stderr.isatty()
        self._last = ""
        self._next = 0.0

    def __call__(self, what: str, share: float | None) -> None:
        """Told often; says little."""
        if self._silent:
            return
        if not self._live:  # a log gets one line for each phase that takes long enough to be wondered about
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
