"""Is a step the same step however it is split into micro-batches? And what makes it another one?

The 64 rows of a step are trained on as 64×1, 8×8 and 1×64, by the step that every run takes. Then four ways of
getting it wrong, or of not getting it at all, on the same rows: sums that nobody divides, averages of averages,
statistics per micro-batch (batch norm), and masks (dropout), which differ because they are drawn.
"""

from itertools import pairwise
from statistics import fmean
from typing import Any, NamedTuple

import torch
from torch import Tensor

from workbench.plan.schedule import lr_of
from workbench.preset import ModelTable, OptimizerTable
from workbench.training.loss import NO_TARGET
from workbench.training.models import Model
from workbench.training.optimizers import Optimizer
from workbench.training.step import optimizer_step
from workbench.training.trials.bare import Bare, Pair, Tell, apart, cut, flat, gradient, hash_of, percent, valid

SPLITS = ((64, 1), (8, 8), (1, 64))
"""(B, accum) of one step of 64 rows; the first is what the others are compared with."""
ROWS = 64
STEPS = 100
DTYPES = {"fp32": torch.float32, "fp64": torch.float64}
MASKS = 16
"""Draws of dropout's masks that are averaged, to see whether the difference is noise."""

_SMALL = {"gpt": {"layers": 1, "heads": 2, "width": 16}, "mlp": {"hidden": 200, "embedding": 10}, "bigram": {}}
_SMALL_T = {"gpt": 16, "mlp": 8, "bigram": 64}
"""What trains for 100 steps three times in two precisions within seconds, 64 micro-batches a step among them."""
_SECONDS = 0.5
"""What one gradient of 64 rows may take with the preset's own model."""
_LR = {"sgd": 0.1, "adamw": 1e-3}
"""Of the rule that the preset does not use; its own rule keeps its own lr."""


def run(request: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """`preset` (a document). Biases and dropout are off, but for dropout's own part; what is told is the dict below."""
    bare = _plain(Bare.open(request["preset"], tell))
    small = _small(bare, bare.preset.model.kind)
    own = bare if bare.operations(ROWS) <= bare.affords(_SECONDS) else small
    tell(type="phase", phase="gradients of one step", percent=None)
    gradients = _gradients(own)
    if own.device.type == "cpu":
        torch.set_num_threads(1)  # what follows is too small to share
    micro = _micro_batches(own)
    return {
        "device": own.resolved.device,
        "gradient_model": own.told(),
        "weight_model": small.told(),
        "optimizer": small.preset.optimizer.kind,
        "asked": request["preset"].get("optimizer", {}).get("kind", "adamw"),
        "rows": [{"B": B, "accum": n, "hash": hash_of(cut(_rows(own, 0), B))} for B, n in SPLITS],
        "gradients": gradients,
        "weights": _weights(small, tell),
        "micro_batches": micro,
        "undivided": _undivided(small, tell),
        "averages": _averages(own),
        "batchnorm": _batch_norm(bare),
        "dropout": _dropout(_small(bare, "gpt")),
    }


# ------------------------------------------------------------------------------------------ what is trained


def _plain(bare: Bare) -> Bare:
    """The preset where splits are promised to be equal: no biases, no dropout, no batch norm, AdamW or SGD."""
    p = bare.preset
    model = p.model.model_copy(update={"bias": False, "dropout": 0.0, "norm": "none"})
    optimizer = p.optimizer if p.optimizer.kind != "muon" else OptimizerTable(kind="adamw")
    resolved = bare.resolved
    if bare.device.type == "mps":  # which has no fp64
        resolved = type(resolved)(**{**resolved.to_json(), "device": "cpu"})
    return Bare(p.model_copy(update={"model": model, "optimizer": optimizer}), bare.corpus, resolved)


def _small(bare: Bare, kind: str) -> Bare:
    """The preset's text with a model of that kind, no larger than a small one, at no longer T."""
    m, small = bare.preset.model, dict(_SMALL[kind])
    if m.kind == kind:
        small = {key: min(value, getattr(m, key)) for key, value in small.items()}
    if kind == "gpt" and small["width"] % small["heads"]:
        small["heads"] = 1
    table = ModelTable.model_validate({"kind": kind, **small})
    return bare.with_model(table, T=min(bare.preset.batch.T, _SMALL_T[kind]))


def _rows(bare: Bare, step: int) -> Pair:
    return bare.read(bare.rows.offsets(step * ROWS, ROWS))


def _started(bare: Bare, dtype: torch.dtype) -> tuple[Model, Optimizer]:
    model = bare.model(dtype)
    return model, Optimizer(model, bare.preset.optimizer)


# ------------------------------------------------------------------------------------------ what holds


def _gradients(bare: Bare) -> dict[str, dict[str, float]]:
    """By precision, of each split but the first: ‖g − g(64×1)‖ / ‖g(64×1)‖ of one step, before any update.

    `exact` is how far each fp32 gradient is from the fp64 one, of the same weights: what rounding alone does.
    """
    pair = _rows(bare, 0)
    found: dict[str, list[Tensor]] = {}
    for name, dtype in DTYPES.items():
        found[name] = []
        for B, _ in SPLITS:
            model, optimizer = _started(bare, dtype)
            optimizer_step(model, optimizer, cut(pair, B), targets=valid(pair[1]), lr=0.0, weight_decay=0.0, clip=0.0)
            found[name].append(flat(p.grad for p in optimizer.parameters if p.grad is not None))
    told = {
        name: {_named(split): apart(g, whole) for split, g in zip(SPLITS[1:], others, strict=True)}
        for name, (whole, *others) in found.items()
    }
    exact = found["fp64"][0]
    told["exact"] = {_named(s): apart(g.double(), exact) for s, g in zip(SPLITS, found["fp32"], strict=True)}
    return told


def _weights(bare: Bare, tell: Tell) -> dict[str, dict[str, float]]:
    """By precision, of each split but the first: the largest |w − w(64×1)| after 100 steps of the preset's own."""
    p = bare.preset
    told: dict[str, dict[str, float]] = {}
    for name, dtype in DTYPES.items():
        ends = []
        for i, (B, _) in enumerate(SPLITS):
            model, optimizer = _started(bare, dtype)
            for step in range(STEPS):
                if step % 20 == 0:
                    done = (len(told) * len(SPLITS) + i) * STEPS + step
                    tell(type="phase", phase=f"{STEPS} steps as {B}×{ROWS // B}, {name}",
                         percent=percent(done, len(DTYPES) * len(SPLITS) * STEPS))  # fmt: skip
                pair, lr = _rows(bare, step), lr_of(p, min(step, p.schedule.steps - 1))
                optimizer_step(
                    model, optimizer, cut(pair, B), targets=valid(pair[1]), lr=lr,
                    weight_decay=p.optimizer.weight_decay, clip=p.optimizer.clip,
                )  # fmt: skip
            ends.append(flat(optimizer.parameters))
        told[name] = {_named(s): float((w - ends[0]).abs().max()) for s, w in zip(SPLITS[1:], ends[1:], strict=True)}
    return told


def _named(split: tuple[int, int]) -> str:
    return f"{split[0]}x{split[1]}"


def _micro_batches(bare: Bare) -> dict[str, Any]:
    """One step of 8×8 from inside: each micro-batch's mean loss and norm, and the norm of the sum so far."""
    B, accum = SPLITS[1]
    pair = _rows(bare, 0)
    model = bare.model(torch.float32)
    alone, losses, summed = [], [], []
    total: Tensor | float = 0.0
    for micro in cut(pair, B):
        g, loss = gradient(model, [micro], targets=valid(micro[1]))
        total = total + g
        alone.append(float(g.norm()))
        losses.append(loss)
        summed.append(float(torch.as_tensor(total).norm()))
    return {"losses": losses, "norms": alone, "undivided": summed, "divided": [norm / accum for norm in summed]}


# ------------------------------------------------------------------------------------------ not divided


class _Rule(NamedTuple):
    kind: str
    clip: float


def _undivided(bare: Bare, tell: Tell) -> list[dict[str, Any]]:
    """100 steps of 8×8 whose micro-batches are each averaged, added up and not divided, beside the same divided."""
    p = bare.preset
    clip = p.optimizer.clip or 1.0
    rules = [_Rule(kind, c) for kind in ("sgd", "adamw") for c in (0.0, clip)]
    told = []
    for i, rule in enumerate(rules):
        tell(type="phase", phase=f"not divided, {rule.kind}", percent=percent(i, len(rules)))
        own = p.optimizer.kind == rule.kind
        lr = p.optimizer.lr if own else _LR[rule.kind]
        table = p.optimizer if own else OptimizerTable.model_validate({"kind": rule.kind})
        right = _train(bare, table, rule, lr, by=1)
        wrong = _train(bare, table, rule, lr, by=SPLITS[1][1])
        gaps = [abs(a - b) for a, b in zip(wrong.losses, right.losses, strict=True)]
        told.append({
            "optimizer": rule.kind, "clip": rule.clip, "lr": lr,
            "norm_ratio": wrong.norm / right.norm, "update_ratio": wrong.update / right.update,
            "gap": max(gaps), "gap_step": gaps.index(max(gaps)),
            "loss": right.losses[-1], "loss_undivided": wrong.losses[-1],
        })  # fmt: skip
    return told


class _Trained(NamedTuple):
    losses: list[float]
    """The mean over the step's targets, whatever was divided."""
    norm: float
    """Of the first gradient, before clipping."""
    update: float
    """Norm of the first change of the weights."""


def _train(bare: Bare, table: OptimizerTable, rule: _Rule, lr: float, *, by: int) -> _Trained:
    """100 steps whose gradient is `by` times too large."""
    model = bare.model(torch.float32)
    optimizer = Optimizer(model, table)
    begin = flat(model.parameters())
    B = SPLITS[1][0] if by > 1 else ROWS
    losses, norm, change = [], 0.0, 0.0
    for step in range(STEPS):
        pair = _rows(bare, step)
        update = optimizer_step(
            model, optimizer, cut(pair, B), targets=valid(pair[1]) // by, lr=lr, weight_decay=0.0, clip=rule.clip
        )
        losses.append(update.loss / by)
        if step == 0:
            norm, change = update.grad_norm, float((flat(model.parameters()) - begin).norm())
    return _Trained(losses, norm, change)


# ------------------------------------------------------------------------------------------ other steps


def _averages(bare: Bare) -> dict[str, Any]:
    """Unequal numbers of targets: the mean over all of them, beside the mean of the micro-batches' means."""
    B, accum = SPLITS[1]
    x, y = _rows(bare, 0)
    lengths = torch.randint(1, (B if bare.windows else y.shape[1]) + 1, (accum if bare.windows else ROWS,),
                            generator=torch.Generator().manual_seed(bare.preset.seed)).to(y.device)  # fmt: skip
    if bare.windows:  # a row is one target: some rows of each micro-batch have none
        kept = torch.arange(B, device=y.device)[None, :] < lengths[:, None]  # (accum, B)
    else:  # as padded rows of unequal length
        kept = torch.arange(y.shape[1], device=y.device)[None, :] < lengths[:, None]  # (64, T)
    y = torch.where(kept.reshape(y.shape), y, NO_TARGET)
    micro = cut((x, y), B)
    counts = [valid(part) for _, part in micro]
    model = bare.model(torch.float64)
    whole, loss = gradient(model, [(x, y)], targets=sum(counts))
    ours, _ = gradient(model, micro, targets=sum(counts))
    alone = [gradient(model, [part], targets=n) for part, n in zip(micro, counts, strict=True)]
    averaged = torch.stack([g for g, _ in alone]).mean(0)
    return {
        "counts": counts, "difference": apart(averaged, whole), "kept": apart(ours, whole),
        "loss": loss, "loss_averaged": sum(part for _, part in alone) / accum,
    }  # fmt: skip


def _batch_norm(bare: Bare) -> dict[str, Any]:
    """The gradient of 8×8 and of 2×32 against that of 64×1, with batch norm and without; what 1×64 says."""
    m = bare.preset.model
    base = m if m.kind == "mlp" else ModelTable(kind="mlp")
    T = min(bare.preset.batch.T, _SMALL_T["mlp"])
    told: dict[str, Any] = {"own": m.kind == "mlp"}
    for norm in ("batch", "none"):
        it = bare.with_model(base.model_copy(update={"norm": norm}), T=T)
        x, y = _rows(it, 0)
        if y.dim() == 2:  # an mlp asks for one target a row
            y = y[:, -1].contiguous()
        found = {}
        for B in (64, 8, 2):
            found[B] = gradient(it.model(torch.float32), cut((x, y), B), targets=ROWS)
        told[norm] = {f"{B}x{ROWS // B}": apart(found[B][0], found[64][0]) for B in (8, 2)}
        told[f"{norm}_loss"] = found[8][1] - found[64][1]
        if norm == "batch":
            told["model"] = it.told()
            try:
                gradient(it.model(torch.float32), cut((x, y), 1), targets=ROWS)
            except ValueError:  # torch: one row has no variance
                told["refused"] = "1x64"
    return told


def _dropout(bare: Bare) -> dict[str, Any]:
    """The gradient of 8×8 against that of 64×1 under dropout: one draw of the masks, and the mean of 16."""
    p = 0.1
    it = bare.with_model(bare.preset.model.model_copy(update={"dropout": p}), T=bare.preset.batch.T)
    pair = _rows(it, 0)
    model = it.model(torch.float32)

    def drawn(B: int, seed: int) -> Tensor:
        torch.manual_seed(seed)
        return gradient(model, cut(pair, B), targets=valid(pair[1]))[0]

    seeds = range(MASKS)
    whole, split = ([drawn(B, seed) for seed in seeds] for B in (64, 8))
    return {
        "p": p, "masks": MASKS, "model": it.told(),
        "split": fmean([apart(b, a) for a, b in zip(whole, split, strict=True)]),
        "reseeded": fmean([apart(b, a) for a, b in pairwise(whole)]),
        "averaged": apart(torch.stack(split).mean(0), torch.stack(whole).mean(0)),
    }  # fmt: skip
