"""What a run that cannot go on as it was says at its end: what to change, and the command that changes it."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.runs import directory

_BARE = {"optimizer.lr": "lr", "batch.B": "B", "batch.T": "T", "batch.accum": "accum"}


def offer(changes: Mapping[str, Any], why: str) -> dict[str, Any]:
    """An `end` event's `offer`: dotted live keys that a resume takes, and why they would help."""
    return {"changes": dict(changes), "why": why}


def resume(run: Path, changes: Mapping[str, Any]) -> str:
    """The command that goes on with `changes`, as it is typed."""
    sets = [f"--set {_BARE.get(key, key)}={value}" for key, value in changes.items()]
    return " ".join(["workbench resume", named(run), *sets])


def named(run: Path) -> str:
    """The run as a command takes it: by its name, or by its path where it is not among the runs that are looked in."""
    here = directory.runs_folder(None)
    known = here.exists() and run.parent.exists() and here.resolve() == run.parent.resolve()
    return shlex.quote(run.name if known else str(run.absolute()))
