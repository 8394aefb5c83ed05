"""A run that trains without an end, another of a few steps with all that happens in one, and screens on them."""

import time
from pathlib import Path
from typing import Any

from pseudo_terminal import PseudoTerminal
from tiny_runs import MLP, document

from workbench.runs import status
from workbench.runs.records import StepReader

SEED = 5
PRESET = """\
name = "small"
[data]
text = "To be or not to be, that is the question."
val_fraction = 0.0
[batch]
B = 2
T = 4
[model]
layers = 1
heads = 1
width = 8
[schedule]
kind = "constant"
steps = 1000000000
warmup = 0
[eval]
every = 0
[checkpoint]
every = 1000
[sample]
every = 0
[device]
threads = 1
"""
DOCUMENT = document(MLP, schedule__steps=45, eval__every=15, checkpoint__every=15, sample__every=15)


def count(run: Path) -> int:
    return len(StepReader(run))


def goes_on(run: Path, steps: int = 50) -> None:
    """The worker makes so many steps more, and none is missing."""
    seen, deadline = count(run), time.monotonic() + 60
    while count(run) < seen + steps:
        assert time.monotonic() < deadline, f"{status.observed(status.read(run))} at {count(run)} since a minute"
        time.sleep(0.02)
    assert StepReader(run).read()["step"].tolist()[: seen + steps] == list(range(seen + steps))


class PseudoTerminal_of(PseudoTerminal):
    """A screen attached to a run, for a `with`."""

    def __init__(self, run: Path, **more: Any) -> None:
        super().__init__(["attach", str(run)], **more)

    def __enter__(self) -> "PseudoTerminal_of":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
