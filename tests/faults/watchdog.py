"""What takes longer than it may is a failure, not a wait."""

import contextlib
import faulthandler
import signal
import sys
from collections.abc import Iterator
from typing import Any


class Hung(BaseException):
    """It took longer than it may."""


@contextlib.contextmanager
def watched(seconds: float) -> Iterator[None]:
    """Raise Hung in the block after so many seconds; what is deaf to that ends the process, its stack told."""

    def bark(number: int, frame: Any) -> None:
        raise Hung(f"not done after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, bark)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(seconds * 3, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)
