"""The learning rate of every step, as one pure function that training and the charts share."""

import math
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workbench.preset import Preset


def lr(
    step: int,
    *,
    kind: str,
    peak: float,
    min_lr: float,
    steps: int,
    warmup: int,
    milestones: Sequence[int] = (),
    gamma: float = 0.1,
    decay_fraction: float = 0.2,
) -> float:
    """The lr that record `step` (0 … steps−1) is taken with.

    Warmup, for every kind: peak·(step+1)/warmup on the first `warmup` steps, so it starts above 0 and
    reaches the peak on its last step. After it, with N = steps and w = max(warmup, 1):

    - cosine: half a cosine from peak at step w−1 to min_lr at N−1; its progress is (step+1−w)/(N−w).
    - wsd: the peak, then a straight line that reaches min_lr at N−1 over the last `decay_fraction` of N
      steps (to the nearest whole one, at least one, none of it within warmup).
    - constant: the peak.
    - step: the peak times gamma for each of the rising milestones m with step >= m, during warmup too.

    Where warmup fills the run (N <= w) nothing is left to decay in: the last lr is the warmup's. A step past
    the end has the lr of the end. Raises ValueError for an unknown kind.
    """
    N, w = steps, max(warmup, 1)
    if kind == "step":
        peak *= gamma ** bisect_right(milestones, step)
    elif kind not in ("cosine", "constant", "wsd"):
        raise ValueError(f"kind = {kind!r}: expected cosine, constant, step or wsd")
    if step < warmup:
        return peak * (step + 1) / warmup
    if kind in ("constant", "step"):
        return peak
    if kind == "cosine":
        share = 0.5 * (1.0 + math.cos(math.pi * _progress(step + 1 - w, N - w)))
    else:
        decay = max(1, math.floor(decay_fraction * N + 0.5))
        last_at_peak = max(w, N - decay) - 1
        share = 1.0 - _progress(step - last_at_peak, N - 1 - last_at_peak)
    # Weighing the two ends, rather than adding to min_lr, makes both of them exact.
    return share * peak + (1.0 - share) * min_lr


def _progress(done: int, whole: int) -> float:
    return min(max(done / whole, 0.0), 1.0) if whole > 0 else 0.0


def lr_of(preset: Preset, step: int) -> float:
    """The lr that a run of `preset` takes record `step` with."""
    schedule = preset.schedule
    return lr(
        step,
        kind=schedule.kind,
        peak=preset.optimizer.lr,
        min_lr=schedule.min_lr,
        steps=schedule.steps,
        warmup=schedule.warmup,
        milestones=schedule.milestones,
        gamma=schedule.gamma,
        decay_fraction=schedule.decay_fraction,
    )


def curve(preset: Preset, steps: NDArray[np.integer]) -> NDArray[np.float64]:
    """`lr_of` at each of `steps`, shape (n,), for a chart's columns: training's own floats, bit for bit."""
    return np.array([lr_of(preset, int(step)) for step in steps], dtype=np.float64)
