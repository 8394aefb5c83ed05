"""How much of the whole split's gradient is in that of a mini-batch of B rows?

A preset is trained for some steps and then left alone. Of its training split the gradient is computed once, and
that of many mini-batches of every size: their cosine with it, their distance from it, and what follows for the
gradient noise scale (McCandlish et al. 2018, arXiv:1812.06162, appendix A), with the whole gradient and without it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.errors import UsageError
from workbench.training.models import Model
from workbench.training.optimizers import Optimizer
from workbench.training.trials.bare import Bare, Pair, Tell, gradient, parts, percent

STEPS = 2000
"""Of training before the gradients are looked at, where the preset and the machine allow it."""
LARGEST = 4096
DRAWS = 64
"""Mini-batches of each size, at most; at least FEWEST."""
FEWEST = 4
GROUPS = 8
"""Groups of draws that are left out in turn, for the interval of the noise scale."""
_SECONDS = {"training": 16.0, "whole": 8.0, "draws": 6.0, "look": 0.8}
"""What each part may take by the rule of `Bare.affords`."""
_LOOKS = 4
"""Looks at the noise scale on the way, over the last fifth of training: one step's scale says little of the next's."""
_LOOK_DRAWS = 32
_CHUNK = 4096
"""Targets that go through the model at once."""


def run(request: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """`preset` (a document), `after`: steps of training first (None: as many as can be afforded, at most 2,000).

    Told: the whole gradient's rows, whether they are all there are, its squared norm; for each B its cosines,
    its relative errors (sorted) and the noise scale from those mini-batches alone, and that of earlier `looks`.
    """
    bare = Bare.open(request["preset"], tell)
    _check(bare, request.get("after"))
    model = bare.model(torch.float32)
    after = _afforded(bare) if request.get("after") is None else request["after"]
    looks = _train(bare, model, after, tell)
    model.eval()  # no dropout: its masks would be counted as noise of the data
    starts, exact = _whole_rows(bare)
    whole, loss = _whole(bare, model, starts, tell)
    sizes = [2**i for i in range(LARGEST.bit_length()) if exact or 2**i * 8 <= len(starts)]
    first = after * bare.preset.batch.B * bare.preset.batch.accum  # rows that training has not drawn yet
    levels = []
    for i, B in enumerate(sizes):
        tell(type="phase", phase=f"mini-batches of B = {B:,}", percent=percent(i, len(sizes)))
        draws = _draws(bare, B, len(sizes))
        levels.append(_level(bare, model, whole, B, draws, first))
        first += B * draws
    return {
        "device": bare.resolved.device, "model": bare.told(), "after": after, "layout": bare.preset.data.layout,
        "rows": len(starts), "all_rows": exact, "loss": loss, "norm_squared": float(whole @ whole), "levels": levels,
        "looks": looks,
    }  # fmt: skip


def _check(bare: Bare, after: int | None) -> None:
    p = bare.preset
    if p.model.norm == "batch":
        raise UsageError(
            "model.norm = 'batch': each example's gradient depends on the others of its batch, so there is no one "
            "gradient to compare with; check it with --set model.norm=none"
        )
    if after is not None and after > p.schedule.steps:
        raise UsageError(
            f"--after {after}: the schedule has {p.schedule.steps:,} steps; --set steps={after} makes it longer"
        )
    rows = bare.affords(_SECONDS["whole"]) / bare.operations(1)
    if rows < 64 and bare.rows.starts > rows:
        raise UsageError(
            f"{bare.told()}: on {bare.resolved.device} this check can afford {rows:.0f} rows of it, too few for any "
            "gradient of the whole split; use a smaller model (--set model.layers=2 --set model.width=128) or a GPU"
        )


# ------------------------------------------------------------------------------------------ training


def _afforded(bare: Bare) -> int:
    b = bare.preset.batch
    afforded = int(bare.affords(_SECONDS["training"]) / bare.operations(b.B * b.accum))
    return min(STEPS, bare.preset.schedule.steps, afforded)


def _train(bare: Bare, model: Model, steps: int, tell: Tell) -> list[dict[str, Any]]:
    """The first `steps` steps of a run of the preset, in fp32. Returns the looks at the noise scale on the way."""
    b, optimizer = bare.preset.batch, Optimizer(model, bare.preset.optimizer)
    due = {steps - steps * i // (5 * _LOOKS) for i in range(1, _LOOKS + 1)} - {0, steps}
    looks = []
    for step in range(steps):
        if step % max(1, steps // 50) == 0:
            tell(type="phase", phase=f"training, {steps:,} steps", percent=percent(step, steps))
        bare.step(model, optimizer, step, bare.read(bare.rows.offsets(step * b.B * b.accum, b.B * b.accum)))
        if step + 1 in due:
            looks.append({"step": step + 1, **_look(bare, model, (step + 1) * b.B * b.accum)})
    return looks


def _look(bare: Bare, model: Model, first: int) -> dict[str, Any]:
    """The noise scale from 32 mini-batches, without the whole gradient; the model is left as it was."""
    afforded = int(bare.affords(_SECONDS["look"]) / bare.operations(1)) // _LOOK_DRAWS
    B = 2 ** min(10, max(0, afforded.bit_length() - 1))
    noise = Noise(B, groups=GROUPS)
    model.eval()
    for g in _gradients(bare, model, B, _LOOK_DRAWS, first):
        noise.add(g)
    model.train()
    return {"B": B, "draws": _LOOK_DRAWS, **noise.told()}


# ------------------------------------------------------------------------------------------ gradients


def _whole_rows(bare: Bare) -> tuple[np.ndarray, bool]:
    """The starts whose rows are the whole: every legal one, else as many as can be afforded, evenly spread."""
    starts = bare.rows.starts
    afforded = int(bare.affords(_SECONDS["whole"]) / bare.operations(1))
    if starts <= afforded:
        return np.arange(starts, dtype=np.int64), True
    return np.arange(afforded, dtype=np.int64) * (starts - 1) // (afforded - 1), False


def _whole(bare: Bare, model: Model, starts: np.ndarray, tell: Tell) -> tuple[Tensor, float]:
    def chunks() -> Iterator[Pair]:
        for i, pair in enumerate(_chunks(bare, starts)):
            if i % 8 == 0:
                done = percent(i * _rows_a_chunk(bare), len(starts))
                tell(type="phase", phase=f"the gradient of {len(starts):,} rows", percent=done)
            yield pair

    return gradient(model, chunks(), targets=bare.targets(len(starts)))


def _chunks(bare: Bare, offsets: np.ndarray) -> Iterator[Pair]:
    for part in parts(len(offsets), _rows_a_chunk(bare)):
        yield bare.read(offsets[part])


def _rows_a_chunk(bare: Bare) -> int:
    return max(1, _CHUNK // (1 if bare.windows and bare.preset.model.kind == "mlp" else bare.preset.batch.T))


def _draws(bare: Bare, B: int, sizes: int) -> int:
    afforded = int(bare.affords(_SECONDS["draws"] / sizes) / bare.operations(B))
    return max(FEWEST, min(DRAWS, afforded))


def _level(bare: Bare, model: Model, whole: Tensor, B: int, draws: int, first: int) -> dict[str, Any]:
    """`draws` mini-batches of B rows from row `first` on, drawn at random whatever the preset's order."""
    cosines, errors = [], []
    noise = Noise(B, groups=min(GROUPS, draws))
    length = whole.norm()
    for g in _gradients(bare, model, B, draws, first):
        cosines.append(float(g @ whole / (g.norm() * length)))
        errors.append(float((g - whole).norm() / length))
        noise.add(g)
    return {"B": B, "draws": draws, "cosines": sorted(cosines), "errors": sorted(errors), "alone": noise.told()}


def _gradients(bare: Bare, model: Model, B: int, draws: int, first: int) -> Iterator[Tensor]:
    rows = replace(bare.rows, order="random")
    for i in range(draws):
        yield gradient(model, _chunks(bare, rows.offsets(first + i * B, B)), targets=bare.targets(B))[0]


@dataclass
class Noise:
    """The gradient noise scale from equal mini-batches of B rows alone, with an interval by the jackknife.

    With k gradients g_i, m the mean of ‖g_i‖² and M = ‖mean g_i‖², the unbiased estimates are
    |G|² = (k·M − m)/(k − 1) and tr Σ = B·k·(m − M)/(k − 1); the scale is their ratio, in rows.
    """

    B: int
    groups: int
    _sums: list[Tensor] = field(default_factory=list)
    _squares: list[float] = field(default_factory=list)
    _counts: list[int] = field(default_factory=list)
    _seen: int = 0

    def add(self, g: Tensor) -> None:
        i = self._seen % self.groups
        self._seen += 1
        if i == len(self._sums):
            self._sums.append(g.clone())
            self._squares.append(0.0)
            self._counts.append(0)
        else:
            self._sums[i] += g
        self._squares[i] += float(g @ g)
        self._counts[i] += 1

    def told(self) -> dict[str, float]:
        """`G2` and `trace`, the estimates, and `G2_error`, the standard error of the first."""
        total, squares, k = torch.stack(self._sums).sum(0), sum(self._squares), self._seen
        G2, trace = self._estimates(total, squares, k)
        without = [
            self._estimates(total - s, squares - q, k - n)[0]
            for s, q, n in zip(self._sums, self._squares, self._counts, strict=True)
        ]
        mean = sum(without) / len(without)
        error = ((len(without) - 1) / len(without) * sum((x - mean) ** 2 for x in without)) ** 0.5
        return {"G2": G2, "trace": trace, "G2_error": error}

    def _estimates(self, total: Tensor, squares: float, k: int) -> tuple[float, float]:
        m, M = squares / k, float(total @ total) / k**2
        return (k * M - m) / (k - 1), self.B * k * (m - M) / (k - 1)
