"""What is lost by asking only for the last of a row's T targets?

Two runs of one model on the same rows from the same weights: one is trained on every target of a row, the other on
the last one only. Both are evaluated on all targets of the same validation rows, and on the last ones alone.
"""

from typing import Any, NamedTuple

import numpy as np
import torch

from workbench.data.batches import batch
from workbench.errors import UsageError
from workbench.preset import Preset
from workbench.training.loss import NO_TARGET
from workbench.training.models import Model
from workbench.training.optimizers import Optimizer
from workbench.training.step import losses_of
from workbench.training.trials.bare import Bare, Tell, cut, percent

STEPS = 500
_SECONDS = 30.0
"""What both runs together may take with the preset's own model, by the rule of `Bare.affords`."""
_LAYERS, _WIDTH, _HEADS, _B, _T = 2, 64, 4, 32, 64
"""What the model and the batch are cut to where the preset's own are too large."""
_EVALUATED = 16_384
"""Validation tokens of an evaluation."""


def run(request: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """`preset` (a document), `steps` of each run (None: 500).

    Told: `curves`, by run (`all` and `last`) a list of [step, loss of all targets, loss of the last ones].
    """
    bare = Bare.open(request["preset"], tell)
    _check(bare)
    steps = request.get("steps") or STEPS
    own = bare.operations(_rows(bare.preset)) * 2 * steps <= bare.affords(_SECONDS)
    it = bare if own else _reduced(bare)
    it = Bare(_scheduled(it.preset, steps), it.corpus, it.resolved)
    if not own and it.device.type == "cpu":
        torch.set_num_threads(1)  # small matrices: two threads wait for each other
    curves = {}
    for i, name in enumerate(("all", "last")):
        curves[name] = [list(point) for point in _train(it, name == "last", steps, i, tell)]
    b = it.preset.batch
    return {
        "device": it.resolved.device, "model": it.told(), "own": own, "B": b.B, "T": b.T, "accum": b.accum,
        "steps": steps, "seed": it.preset.seed, "curves": curves,
    }  # fmt: skip


def _check(bare: Bare) -> None:
    p = bare.preset
    if bare.windows:
        raise UsageError(
            "data.layout = 'windows': a row has one target already; use a preset of layout stream, such as char"
        )
    val = bare.corpus.splits.get("val")
    if val is None or val.n < p.batch.T + 1:
        has = f"{val.n:,} tokens" if val else "none"
        raise UsageError(
            f"this check compares validation losses and needs a row of {p.batch.T + 1:,} validation tokens; there are "
            f"{has}: use a longer text, such as the preset char, or a larger data.val_fraction"
        )


def _rows(p: Preset) -> int:
    return p.batch.B * p.batch.accum


def _reduced(bare: Bare) -> Bare:
    p = bare.preset
    m = p.model
    width = min(m.width, _WIDTH)
    heads = max(h for h in range(1, min(m.heads, _HEADS) + 1) if width % h == 0)
    model = m.model_copy(update={"layers": min(m.layers, _LAYERS), "width": width, "heads": heads})
    small = bare.with_model(model, T=min(p.batch.T, _T))
    b = small.preset.batch.model_copy(update={"B": min(p.batch.B, _B), "accum": 1})
    return Bare(small.preset.model_copy(update={"batch": b}), bare.corpus, bare.resolved)


def _scheduled(p: Preset, steps: int) -> Preset:
    """The preset's schedule, made longer where more steps are asked for than it has."""
    schedule = p.schedule.model_copy(update={"steps": max(steps, p.schedule.steps)})
    return p.model_copy(update={"schedule": schedule})


class _Point(NamedTuple):
    step: int
    loss: float
    last: float


def _train(bare: Bare, last_only: bool, steps: int, nth: int, tell: Tell) -> list[_Point]:
    p = bare.preset
    model = bare.model(torch.float32)
    optimizer = Optimizer(model, p.optimizer)
    due = _evaluations(steps)
    points = [_evaluated(bare, model, 0)]
    for step in range(steps):
        if step % 10 == 0:
            what = "the last target" if last_only else "all targets"
            tell(type="phase", phase=f"training on {what}", percent=percent(nth * steps + step, 2 * steps))
        x, y = bare.read(bare.rows.offsets(step * _rows(p), _rows(p)))
        if last_only:
            y[:, :-1] = NO_TARGET
        bare.step(model, optimizer, step, (x, y))
        if step + 1 in due:
            points.append(_evaluated(bare, model, step + 1))
    return points


def _evaluations(steps: int) -> set[int]:
    """Often at first, where the loss falls fastest: every 10 steps to 100, then every 25, and at the end."""
    return {*range(10, min(100, steps) + 1, 10), *range(125, steps + 1, 25), steps}


def _evaluated(bare: Bare, model: Model, step: int) -> _Point:
    """Mean losses over the same evenly spread validation rows: of every target, and of the rows' last ones."""
    val, T = bare.corpus.splits["val"], bare.preset.batch.T
    starts = val.n - T
    count = max(1, min(_EVALUATED // T, starts // T))
    offsets = np.arange(count, dtype=np.int64) * (starts - 1) // max(1, count - 1)
    x, y = (torch.from_numpy(ids).to(bare.device) for ids in batch(val, offsets, T, None))
    model.eval()
    with torch.no_grad():
        losses = torch.cat([losses_of(model(a), b) for a, b in cut((x, y), max(1, 4096 // T))])
    model.train()
    return _Point(step, float(losses.double().mean()), float(losses[:, -1].double().mean()))
