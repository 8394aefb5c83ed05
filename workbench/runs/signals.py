"""SIGINT and SIGTERM: once finishes the step and saves, twice leaves at once. SIGHUP is the terminal's affair."""

import os
import signal
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """Told to leave, by a signal: no error, so nobody who passes over errors passes over it. Exit code 128 + number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.exit_code = 128 + number


class Signals:
    """Handlers for as long as a worker runs; before training has begun the first signal leaves at once too."""

    def __init__(self) -> None:
        self.received = 0
        self.training = False
        # Set even where they were inherited ignored (nohup, a background job of a script).
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def leave_if_asked(self) -> None:
        if self.received:
            raise Interrupted(self.received)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            os._exit(128 + number)  # nothing to tidy: every file is replaced whole or appended to
        self.received = number
        if not self.training:
            raise Interrupted(number)
