"""Evaluation: the same fixed blocks every time, every target counted once, nothing drawn.

Validation loss is over the whole split or its first `eval.tokens`; train loss is over as many tokens of the
training split, in blocks spread evenly through it, so that the two can be compared.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from workbench.data.batches import Tokens, batch
from workbench.training.models import Model
from workbench.training.step import losses_of

TOKENS_A_BATCH = 4096
"""How many positions go through the model at once: fixed, because another number gives other bits."""
WITHOUT_VALIDATION = 131_072
"""Targets of the training split that are evaluated where there is no validation split to set the number."""

Blocks = list[tuple[np.ndarray, int]]


class Evaluation(NamedTuple):
    """Mean losses in nats; None where the split does not exist."""

    train_loss: float | None
    val_loss: float | None


class Evaluator:
    """Knows its blocks from the start of the run; calling it leaves the model as it was."""

    def __init__(
        self,
        *,
        train: Tokens,
        val: Tokens | None,
        T: int,
        tokens: int,
        newline: int | None,
        device: torch.device,
        autocast: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._T, self._newline, self._device, self._autocast = T, newline, device, autocast
        self._train, self._val = train, val
        self._val_blocks = self.blocks(val, tokens) if val else []
        targets = sum(len(starts) * (length if newline is None else 1) for starts, length in self._val_blocks)
        self._train_blocks = self._spread(train, targets or tokens or WITHOUT_VALIDATION)

    def __call__(self, model: Model, step: Callable[[], None] = lambda: None) -> Evaluation:
        """Evaluate; `step` is called between batches, so that a worker can stay responsive."""
        was_training = model.training
        model.eval()
        try:
            train = self.mean_loss(model, self._train, self._train_blocks, step)
            val = self.mean_loss(model, self._val, self._val_blocks, step) if self._val else None
        finally:
            model.train(was_training)
        return Evaluation(train, val)

    def mean_loss(
        self, model: Model, split: Tokens, blocks: Blocks, step: Callable[[], None] = lambda: None
    ) -> float | None:
        """The mean over every target of those blocks: summed in fp64, divided once."""
        total, count = 0.0, 0
        with torch.no_grad():
            for starts, length in blocks:
                for part in self._batches(starts, length):
                    x, y = batch(split, part, length, self._newline)
                    total += self._sum_of_losses(model, torch.from_numpy(x), torch.from_numpy(y))
                    count += y.size
                    step()
        return total / count if count else None

    def _sum_of_losses(self, model: Model, x: Tensor, y: Tensor) -> float:
        """A function of its own, so that its logits are gone before there are others: they may be all that counts."""
        with self._autocast():
            logits = model(x.to(self._device))
        return losses_of(logits, y.to(self._device)).to("cpu", torch.float64).sum().item()

    def blocks(self, split: Tokens, tokens: int) -> Blocks:
        """Blocks that ask for each of the split's first `tokens` targets (0: all of them) exactly once."""
        targets = split.n if self._newline is not None else split.n - 1
        targets = min(targets, tokens) if tokens else targets
        if targets < 1:
            return []
        if self._newline is not None:
            return [(np.arange(targets, dtype=np.int64), self._T)]
        whole = [(np.arange(targets // self._T, dtype=np.int64) * self._T, self._T)] if targets >= self._T else []
        rest = targets % self._T
        return whole + ([(np.array([targets - rest], dtype=np.int64), rest)] if rest else [])

    def _spread(self, split: Tokens, targets: int) -> Blocks:
        per_block = 1 if self._newline is not None else self._T
        starts = split.n if self._newline is not None else split.n - self._T
        blocks = min(max(1, round(targets / per_block)), max(1, starts // per_block))
        return [(np.arange(blocks, dtype=np.int64) * (starts - 1) // max(1, blocks - 1), self._T)]

    def _batches(self, starts: np.ndarray, length: int) -> Iterator[np.ndarray]:
        rows = max(1, TOKENS_A_BATCH // (1 if self._newline is not None else length))
        for begin in range(0, len(starts), rows):
            yield starts[begin : begin + rows]
