"""Whether others use the computer on which something is about to be timed."""

import os

LOAD = 0.5
"""Processes that run or wait, for each processor, from which on a timing is partly theirs."""


def busy() -> str:
    """A sentence where the last minute's load is that of a computer with other work to do; "" where it is not known."""
    try:
        load = os.getloadavg()[0]
    except (OSError, AttributeError):
        return ""
    processors = os.cpu_count() or 1
    if load < LOAD * processors:
        return ""
    return (
        f"this computer is busy (load {load:.1f} on {processors} processors): what was timed is what others left; "
        "time it again when it is quiet"
    )
