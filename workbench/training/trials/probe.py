"""Full steps of a preset at its own B, T and accum: do they fit, what do they hold, how long do they take?"""

import statistics
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import torch

from workbench import preset as presets
from workbench.data.corpus import open_corpus
from workbench.plan.arithmetic import smallest_B, tokens_per_step_of
from workbench.plan.schedule import lr_of
from workbench.preset import Preset
from workbench.training import device
from workbench.training.compiling import Forward
from workbench.training.engines import engine
from workbench.training.evaluate import TOKENS_A_BATCH, Evaluator
from workbench.training.optimizers import Optimizer
from workbench.training.step import losses_of
from workbench.training.trials import meter
from workbench.training.trials.bare import Bare, Pair, Tell, parts
from workbench.training.trials.meter import Meter

WARM_UP = {"cpu": 4096, "cuda": 1}
"""Predictions of the step before memory counts: from some 1,500 on, a CPU's matrix library takes buffers that it keeps
(9 MiB at once, measured), which would break the line of memory against B."""
TIMED = 6
"""Micro-batches that are timed after the first step, in as many steps as that takes …"""
LONG_ENOUGH = 3.0
"""… or fewer, once they have taken so many seconds; two at least."""


def run(request: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """`preset` (a document), `limit_bytes` (None: what is free now), `steps` under the limit.

    `margin`: the limit is as much larger as two runs of one size may differ by, and what comes as near to it as that
    is told to be `close`: it might run, or not. `timed`: seconds are wanted too. `spread`: of so many steps at the same
    weights, how far their losses differ.

    Told on the way: `machine`, where it runs and the limit that holds. Result: `memory_bytes`, the most that was in
    use at once, and `besides_bytes`, what Python and torch held before; `seconds_micro` and `seconds_update`, medians;
    `loss_spread`, a standard deviation in nats.
    """
    preset = presets.pin_context(presets.from_document(request["preset"], source="the request"))
    resolved = device.resolve(preset)
    where = resolved.torch_device
    meter.check(where)
    meter.prepare(where)
    device.take(resolved)
    corpus = open_corpus(preset.data)
    tell(type="phase", phase="warming up", percent=None)
    _Run(Bare(_small(preset, WARM_UP[where.type]), corpus, resolved)).steps(1)  # what libraries load and keep
    if resolved.compile:
        torch.compiler.reset()  # the next one is compiled for its own B, as in a run
    limit = request["limit_bytes"] or meter.free(where)
    result: dict[str, Any] = {"limit_bytes": limit, "device": resolved.device, "precision": resolved.precision}
    tell(type="machine", **result)

    tell(type="phase", phase="measuring memory", percent=None)
    besides = psutil.Process().memory_info().rss if where.type == "cpu" else 0
    margin = meter.margin(where, limit) if request.get("margin") else 0
    measured = Meter(where, limit + margin)
    run = _Run(Bare(preset, corpus, resolved))
    run.steps(1)
    run.evaluate()  # beside gradients and the optimizer's state: for a small B it is what holds most
    run.steps(request["steps"] - 1)
    peak = measured.peak()
    result |= {"memory_bytes": peak, "besides_bytes": besides, "close": margin > 0 and peak > limit - margin}
    measured.as_usual()
    if request.get("timed"):
        tell(type="phase", phase="measuring seconds", percent=None)
        result |= run.seconds()
    if request.get("spread"):
        tell(type="phase", phase="measuring noise", percent=None)
        result["loss_spread"] = run.spread(request["spread"])
    return result


def _small(preset: Preset, predictions: int) -> Preset:
    per_row = 1 if preset.data.layout == "windows" else preset.batch.T
    B = max(smallest_B(preset), predictions // per_row)
    return presets.apply(preset, {"batch.B": B, "batch.accum": 1}, source="the warm-up")


class _Run:
    """A preset's steps as the loop makes them: compiled, in its precision, micro-batch by micro-batch."""

    def __init__(self, bare: Bare) -> None:
        self._bare, self._preset, self._resolved, self._rows = bare, bare.preset, bare.resolved, bare.rows
        self._model = bare.model(bare.resolved.dtype)
        self._forward = Forward(self._model, bare.resolved.first_compiled, required=bare.preset.device.compile == "on")
        self._forward.begin(bare.resolved.compile_from, TIMED)
        self._optimizer = Optimizer(self._model, bare.preset.optimizer)
        splits = bare.corpus.splits
        self._engine = engine(
            bare.preset, bare.resolved, model=self._model, forward=self._forward, optimizer=self._optimizer,
            train=splits["train"], newline=bare.newline, seed=lambda step: None,
        )  # fmt: skip
        # Its batches all have one size, so two of them on each split hold what a thousand would.
        self._evaluator = Evaluator(
            train=splits["train"], val=splits.get("val"), T=bare.preset.batch.T, tokens=2 * TOKENS_A_BATCH,
            newline=bare.newline, device=bare.device, autocast=bare.resolved.autocast,
        )  # fmt: skip
        self._step = 0
        self._micro: list[float] = []
        self._update: list[float] = []
        """Seconds of every micro-batch, and of every step's rest."""

    def evaluate(self) -> None:
        self._evaluator(self._model)

    def steps(self, n: int) -> None:
        for _ in range(n):
            self._one()

    def seconds(self) -> dict[str, float]:
        """Medians, once memory is asked for as usual: the first step afterwards does not count."""
        self.steps(1)
        self._micro.clear()
        self._update.clear()
        began = time.perf_counter()
        while len(self._micro) < TIMED and (len(self._micro) < 2 or time.perf_counter() - began < LONG_ENOUGH):
            self.steps(1)
        return {"seconds_micro": statistics.median(self._micro), "seconds_update": statistics.median(self._update)}

    def spread(self, n: int) -> float:
        """The standard deviation of the losses that the next n steps would begin with, were no weight changed."""
        targets = tokens_per_step_of(self._preset)
        losses = []
        with torch.no_grad():
            for _ in range(n):
                total = 0.0
                for x, y in self._micro_batches():
                    with self._resolved.autocast():
                        logits = self._model(x)
                    total += float(losses_of(logits, y).sum()) / targets
                losses.append(total)
                self._step += 1
        return statistics.stdev(losses)

    def _one(self) -> None:
        p = self._preset
        marks = [self._now()]
        self._engine.one(
            self._micro_batches(), targets=tokens_per_step_of(p), lr=lr_of(p, self._step),
            weight_decay=p.optimizer.weight_decay, clip=p.optimizer.clip, watch=lambda *_: marks.append(self._now()),
        )  # fmt: skip
        marks.append(self._now())
        self._micro += np.diff(marks[:-1]).tolist()
        self._update.append(marks[-1] - marks[-2])
        self._step += 1

    def _micro_batches(self) -> Iterator[Pair]:
        b = self._preset.batch
        offsets = self._rows.offsets(self._step * b.B * b.accum, b.B * b.accum)
        for part in parts(len(offsets), b.B):
            yield self._bare.read(offsets[part])

    def _now(self) -> float:
        if self._bare.device.type == "cuda":
            torch.cuda.synchronize(self._bare.device)
        return time.perf_counter()
