"""Full steps of a preset at its own B, T and accum: do they fit, what do they hold, how long do they take?"""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench import preset as presets
from workbench.data.batches import batch
from workbench.data.corpus import Corpus, open_corpus
from workbench.data.rows import Rows
from workbench.plan.arithmetic import tokens_per_step_of
from workbench.plan.schedule import lr_of
from workbench.preset import Preset
from workbench.training import device
from workbench.training.device import Resolved
from workbench.training.evaluate import TOKENS_A_BATCH, Evaluator
from workbench.training.models import build
from workbench.training.optimizers import Optimizer
from workbench.training.step import optimizer_step
from workbench.training.trials.meter import Meter

TIMED_MICRO = 6
"""Micro-batches that are timed at least, after the first step."""


def run(request: dict[str, Any], tell: Callable[..., None]) -> dict[str, Any]:
    """`preset` (a document), `limit_bytes` (or None), `steps` under the meter, `timed`: seconds are wanted too.

    Told: `memory_bytes`, the most that was held at once; `seconds_micro`, `seconds_update`, medians.
    """
    preset = presets.pin_context(presets.from_document(request["preset"], source="the request"))
    resolved = device.resolve(preset)
    device.take(resolved)
    corpus = open_corpus(preset.data)
    tell(type="phase", phase="warming up", percent=None)
    _Run(_smallest(preset), corpus, resolved).steps(2)
    tell(type="phase", phase="measuring memory", percent=None)
    meter = Meter(resolved.torch_device, request["limit_bytes"])
    run = _Run(preset, corpus, resolved)
    run.evaluate()
    run.steps(request["steps"])
    result: dict[str, Any] = {"memory_bytes": meter.peak(), "device": resolved.device, "precision": resolved.precision}
    if request["timed"]:
        meter.as_usual()
        tell(type="phase", phase="measuring seconds", percent=None)
        run.steps(1)
        run.micro.clear()
        run.update.clear()
        while len(run.micro) < TIMED_MICRO:
            run.steps(1)
        result |= {
            "seconds_micro": statistics.median(run.micro),
            "seconds_update": statistics.median(run.update),
        }
    return result


def _smallest(preset: Preset) -> Preset:
    return presets.apply(preset, {"batch.B": 1, "batch.accum": 1}, source="the warm-up")


class _Run:
    """A preset's steps as the loop makes them, without a run directory."""

    def __init__(self, preset: Preset, corpus: Corpus, resolved: Resolved) -> None:
        self._preset, self._resolved = preset, resolved
        windows = preset.data.layout == "windows"
        self._newline = corpus.newline if windows else None
        self._train = corpus.splits["train"]
        self._rows = Rows.of(preset, tokens=self._train.n)
        T = preset.model.context or preset.batch.T
        self._model = build(preset.model, vocab=corpus.tokenizer.vocab_size, T=T, seed=preset.seed)
        self._model.to(device=resolved.torch_device, dtype=resolved.dtype)
        self._forward: Callable[[Tensor], Tensor] = torch.compile(self._model) if resolved.compile else self._model
        self._optimizer = Optimizer(self._model, preset.optimizer)
        self._evaluator = Evaluator(
            train=self._train, val=corpus.splits.get("val"), T=preset.batch.T, tokens=TOKENS_A_BATCH,
            newline=self._newline, device=resolved.torch_device, autocast=resolved.autocast,
        )  # fmt: skip
        self._step = 0
        self.micro: list[float] = []
        self.update: list[float] = []
        """Seconds of every micro-batch, and of every step's rest."""

    def evaluate(self) -> None:
        self._evaluator(self._model)

    def steps(self, n: int) -> None:
        for _ in range(n):
            self._one()

    def _one(self) -> None:
        p = self._preset
        marks = [self._now()]
        optimizer_step(
            self._forward, self._optimizer, self._micro_batches(), targets=tokens_per_step_of(p),
            lr=lr_of(p, self._step), weight_decay=p.optimizer.weight_decay, clip=p.optimizer.clip,
            autocast=self._resolved.autocast, watch=lambda *_: marks.append(self._now()),
        )  # fmt: skip
        marks.append(self._now())
        self.micro += np.diff(marks[:-1]).tolist()
        self.update.append(marks[-1] - marks[-2])
        self._step += 1

    def _micro_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        b = self._preset.batch
        offsets = self._rows.offsets(self._step * b.B * b.accum, b.B * b.accum)
        for begin in range(0, len(offsets), b.B):
            x, y = batch(self._train, offsets[begin : begin + b.B], b.T, self._newline)
            yield (torch.from_numpy(x).to(self._resolved.torch_device),
                   torch.from_numpy(y).to(self._resolved.torch_device))  # fmt: skip

    def _now(self) -> float:
        if self._resolved.torch_device.type == "cuda":
            torch.cuda.synchronize(self._resolved.torch_device)
        return time.perf_counter()
