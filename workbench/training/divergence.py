"""What a run says when a loss or a gradient is no longer a number: which rows it read, and how to go on."""

import math
from collections.abc import Sequence
from pathlib import Path

from workbench.preset import Preset
from workbench.training import checkpoints
from workbench.training.step import Update


def told(run: Path, preset: Preset, update: Update, step: int, offsets: Sequence[int]) -> str:
    """One paragraph about record `step`, whose first rows start at `offsets` of the training split."""
    what, value = ("loss", update.loss) if not math.isfinite(update.loss) else ("gradient norm", update.grad_norm)
    last = checkpoints.newest(run)
    back = f"The last good checkpoint is step {last.step}" if last else "There is no checkpoint, so it begins again"
    return (
        f"the {what} of record {step} is {value}; the update was not applied. Its rows start at tokens "
        f"{', '.join(map(str, offsets))} … of the training split (`workbench rows {run.name} --step {step}` shows "
        f"them). {back}: try `workbench resume {run.name} {_lower_lr(preset)}`"
    )


def _lower_lr(preset: Preset) -> str:
    """The options of a third of the learning rate, and of a min_lr under it where it would stand above."""
    peak = preset.optimizer.lr / 3
    lower = preset.schedule.kind in ("cosine", "wsd") and preset.schedule.min_lr > peak
    return f"--set lr={peak:.2g}" + (f" --set schedule.min_lr={peak / 10:.2g}" if lower else "")
