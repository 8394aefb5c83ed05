"""The garbage collector while a program starts: nothing that is imported is garbage, and going through it again and
again takes a tenth of the time to the first paint (2026-11-21)."""

import gc

_MANY = 200_000
"""Objects more than there were at the last look, before it looks again: more than the screen's imports make. Not never,
for a word may run for hours and call `over` nowhere."""
_USUAL = gc.get_threshold()


def begin() -> None:
    gc.set_threshold(_MANY)


def over() -> None:
    """What is there by now stays: the collector need not go through it while a key waits, or a step."""
    gc.freeze()
    gc.set_threshold(*_USUAL)
