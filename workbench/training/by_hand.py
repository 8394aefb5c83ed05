"""Steps of a small mlp with its gradient written out: a third of what autograd takes where each of its dozens of small
operations costs more to call than to compute.

The forward and backward pass of `models.MLP`: matrix products by torch, the rest by NumPy, which is quicker to call,
both on the memory of the model's own parameters. These lie one behind the other, as their gradients do: so norm and
plain SGD's update are one operation each. Many steps are made at a launch, their rows drawn together. The arithmetic
is step.py's, and equal to it within rounding (tests).
"""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from workbench.data.batches import Ids, Tokens, batch
from workbench.preset import Preset
from workbench.training.models import MLP
from workbench.training.optimizers import Optimizer
from workbench.training.replays import MOST, Shape
from workbench.training.step import Update, Watch

Floats = npt.NDArray[np.floating[Any]]


MOST_IDS = 2**20
"""Token ids that are drawn for a launch, at most: 16 MB of rows."""


@dataclass
class Made:
    """Steps that have been made: nobody waits for them."""

    n: int
    _measured: npt.NDArray[np.float64]
    _seconds: float

    def over(self) -> bool:
        return True

    def wait(self) -> tuple[npt.NDArray[np.float64], float]:
        return self._measured[: self.n], self._seconds


class ByHand:
    """Steps of one attempt. The model's parameters and gradients move into memory that this shares with NumPy."""

    depth = 1  # a launch returns when it is over, and the next one may not follow a step that was not finite

    def __init__(self, model: MLP, optimizer: Optimizer, split: Tokens, *, newline: int | None, preset: Preset) -> None:
        self._optimizer, self._split, self._newline = optimizer, split, newline
        table = preset.optimizer
        self._plain = table.kind == "sgd" and not table.momentum
        parameters = [model.embedding.weight, model.hidden.weight, model.hidden.bias, model.output.weight,
                      model.output.bias]  # fmt: skip
        sizes = [p.numel() for p in parameters]
        values = torch.cat([p.detach().reshape(-1) for p in parameters])
        gradients = torch.zeros_like(values)
        for p, value, gradient in zip(
            parameters, torch.split(values, sizes), torch.split(gradients, sizes), strict=True
        ):
            p.data = value.view(p.shape)
            p.grad = gradient.view(p.shape)
        self._gradients = [p.grad for p in parameters]
        self._parameters = parameters
        self._tg = gradients
        self._w, self._g = values.numpy(), gradients.numpy()
        self._decayed = np.concatenate([np.full(n, p.dim() >= 2) for n, p in zip(sizes, parameters, strict=True)])
        self._room: _Room | None = None
        C, self._W1, self._b1, self._W2, self._b2 = (p.detach() for p in parameters)
        dC, self._dW1, db1, self._dW2, db2 = (g for g in self._gradients if g is not None)
        self._C, self._dC, self._db1, self._db2 = C.numpy(), dC.numpy(), db1.numpy(), db2.numpy()

    def launch(self, shape: Shape, first: int, lrs: Sequence[float], offsets: npt.NDArray[np.int64]) -> Made:
        """Train on rows at `offsets` (steps, B·accum) with `lrs`. Ends early where a step is not finite."""
        n = max(1, min(len(lrs), MOST, MOST_IDS // (offsets.shape[1] * (shape.T + 1))))
        measured = np.zeros((n, 2))
        began = time.perf_counter()
        xs, ys = batch(self._split, offsets[:n].reshape(-1), shape.T, self._newline)
        xs = xs.reshape(n, shape.accum, shape.B, shape.T)
        ys = ys.reshape(n, shape.accum, shape.B)
        for step in range(n):
            update = self.step(
                zip(xs[step], ys[step], strict=True), targets=shape.B * shape.accum, lr=lrs[step],
                weight_decay=shape.weight_decay, clip=shape.clip,
            )  # fmt: skip
            measured[step] = update.loss, update.grad_norm
            if not update.applied:
                n = step + 1
                break
        return Made(n, measured, time.perf_counter() - began)

    @np.errstate(all="ignore")  # what overflows is told by the update
    def step(
        self,
        micro_batches: Iterable[tuple[Ids, Ids]],
        *,
        targets: int,
        lr: float,
        weight_decay: float,
        clip: float,
        watch: Watch | None = None,
    ) -> Update:
        """`step.optimizer_step` on x, (B, T), and y, (B,)."""
        for p, gradient in zip(self._parameters, self._gradients, strict=True):
            p.grad = gradient  # an evaluation or a search may have let go of it
        total = 0.0
        for index, (x, y) in enumerate(micro_batches):
            before = self._g.copy() if index else None
            loss, logits, losses = self._micro_batch(x, y, targets, watched=watch is not None)
            total += loss
            if before is not None:
                self._g += before
            if watch and logits is not None and losses is not None:
                watch(
                    index, torch.tensor(loss, dtype=torch.float64), torch.from_numpy(logits), torch.from_numpy(losses)
                )

        norm = math.sqrt(float(torch.dot(self._tg, self._tg)))
        if not (math.isfinite(total) and math.isfinite(norm)):
            return Update(total, norm, clipped=False, applied=False)
        clipped = 0 < clip < norm
        if clipped:
            self._g *= self._g.dtype.type(clip / norm)
        self._update(lr, weight_decay)
        return Update(total, norm, clipped, applied=True)

    def _micro_batch(
        self, x: Ids, y: Ids, targets: int, *, watched: bool
    ) -> tuple[float, Floats | None, Floats | None]:
        """Its share of the step's mean loss; its gradient into `_g`. Its logits and losses, where they are watched."""
        r = self._room
        if r is None or len(x) != len(r.rows):
            r = self._room = _Room(len(x), x.shape[1], self._C, len(self._W1))
        np.take(self._C, x, axis=0, out=r.e3)  # (B, T, embedding)
        torch.addmm(self._b1, r.te, self._W1.t(), out=r.th)
        np.tanh(r.h, out=r.h)  # (B, hidden)
        torch.addmm(self._b2, r.th, self._W2.t(), out=r.tp)  # (B, V)
        logits = r.p.copy() if watched else None
        np.subtract(r.p, r.p.max(axis=1, keepdims=True), out=r.p)
        of_target = r.p[r.rows, y]
        np.exp(r.p, out=r.p)
        sums = r.p.sum(axis=1)
        losses = np.log(sums) - of_target
        loss = float(losses.sum()) / targets

        np.divide(r.p, (sums * targets)[:, None], out=r.p)  # the loss's gradient: (p - 1 at the target) / targets
        r.p[r.rows, y] -= r.p.dtype.type(1 / targets)
        torch.mm(r.tp.t(), r.th, out=self._dW2)
        np.add.reduce(r.p, axis=0, out=self._db2)
        torch.mm(r.tp, self._W2, out=r.tdh)
        np.multiply(r.h, r.h, out=r.h)
        np.subtract(1, r.h, out=r.h)  # tanh' = 1 - tanh²
        np.multiply(r.dh, r.h, out=r.dh)
        torch.mm(r.tdh.t(), r.te, out=self._dW1)
        np.add.reduce(r.dh, axis=0, out=self._db1)
        torch.mm(r.tdh, self._W1, out=r.tde)
        self._dC[:] = 0
        np.add.at(self._dC, x.reshape(-1), r.de3)
        return loss, logits, losses if watched else None

    def _update(self, lr: float, weight_decay: float) -> None:
        if not self._plain:
            self._optimizer.set(lr=lr, weight_decay=weight_decay)
            self._optimizer.step()
            return
        if weight_decay:
            self._g += np.where(self._decayed, self._w * self._w.dtype.type(weight_decay), 0)
        self._g *= self._g.dtype.type(lr)
        self._w -= self._g


class _Room:
    """Where a micro-batch's values go; `t…` is the same memory for torch, whose matrix products heed its threads."""

    def __init__(self, B: int, T: int, table: Floats, hidden: int) -> None:
        (V, E), dtype = table.shape, table.dtype
        self.e, self.de = np.empty((B, T * E), dtype), np.empty((B, T * E), dtype)
        self.e3, self.de3 = self.e.reshape(B, T, E), self.de.reshape(B * T, E)
        self.h, self.dh = np.empty((B, hidden), dtype), np.empty((B, hidden), dtype)
        self.p, self.rows = np.empty((B, V), dtype), np.arange(B)
        self.te, self.tde, self.th, self.tdh, self.tp = map(
            torch.from_numpy, (self.e, self.de, self.h, self.dh, self.p)
        )
