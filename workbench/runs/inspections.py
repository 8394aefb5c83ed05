"""inspect/: the very tensors that one step trained on, as the worker answered `inspect`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.errors import WorkbenchError

Ids = npt.NDArray[np.int32]
Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Inspected:
    """One step, seen from inside. Its rows are those of all its micro-batches, in their order: accum·B of them."""

    x: Ids
    """(rows, T)"""
    y: Ids
    """(rows, T), or (rows,) with the `windows` layout; so are `losses`."""
    losses: Floats
    """Nats per target, before the update; their mean is `loss`."""
    guesses: Ids
    """(rows, T, top): the likeliest tokens, the likeliest first."""
    chances: Floats
    """(rows, T, top): their probabilities."""
    micro_losses: Floats
    """(accum,): each micro-batch's own mean loss."""
    micro_norms: Floats
    """(accum,): the norm of the gradient accumulated so far; the last one is `grad_norm`."""
    hash: str
    """Of x and y, as rows are compared everywhere."""
    step: int
    """The record."""
    rows_before: int
    loss: float
    grad_norm: float
    """Before clipping."""
    clip_coefficient: float
    """min(1, clip/‖g‖): what the gradient was multiplied by."""
    lr: float
    update_ratio: float | None
    """‖Δw‖/‖w‖; None where the weights were too large to be copied, or all zeros."""
    B: int
    T: int
    accum: int
    world: int


_TENSORS = ("x", "y", "losses", "guesses", "chances", "micro_losses", "micro_norms")
_WHOLE = ("step", "rows_before", "B", "T", "accum", "world")
_REAL = ("loss", "grad_norm", "clip_coefficient", "lr")


def read(run: Path, file: str) -> Inspected:
    """The `file` that an answer to `inspect` names. WorkbenchError where it is damaged, or no longer there."""
    from safetensors import SafetensorError, safe_open

    path = run / file
    if not path.is_file():
        raise WorkbenchError(f"{path}: not there; the last eight inspections of a run are kept, so ask for a new one")
    try:
        with safe_open(path, framework="np") as opened:
            told = opened.metadata() or {}
            values: dict[str, Any] = {name: opened.get_tensor(name) for name in _TENSORS}
        values |= {name: int(told[name]) for name in _WHOLE}
        values |= {name: float(told[name]) for name in _REAL}
        ratio = told["update_ratio"]
        return Inspected(**values, hash=told["hash"], update_ratio=float(ratio) if ratio else None)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise WorkbenchError(f"{path}: not an inspection that can be read ({error})") from None
