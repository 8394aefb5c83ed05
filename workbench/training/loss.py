"""−ln p(y), and its gradient.

Of a large vocabulary a few rows are taken at a time. All at once, n rows of V logits would be there as the head made
them, as fp32, as log-probabilities, and as the gradients of each: 1.4 GB for 2,048 rows of GPT-2's vocabulary in bf16,
where 0.4 do. On a CPU loss and gradient take 0.72 of the time in bf16, 0.88 in fp32 (2026-11-22).
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.plan.memory import LARGE_VOCABULARY, LOSS_CHUNK, LOSS_CHUNK_ON_A_CARD

NO_TARGET = -1
"""A y that is no target: it adds nothing to the loss and is not counted."""


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """The loss of each row, (n,), in fp32 (or fp64): logits (n, V), y (n,); 0 where y is NO_TARGET."""
    if logits.shape[-1] >= LARGE_VOCABULARY:
        losses: Tensor = _ByParts.apply(logits, y)  # type: ignore[no-untyped-call]
        return losses
    return F.cross_entropy(_wide(logits), y, ignore_index=NO_TARGET, reduction="none")


def _wide(logits: Tensor) -> Tensor:
    return logits if logits.dtype in (torch.float32, torch.float64) else logits.float()


class _ByParts(torch.autograd.Function):
    """A row's figures depend on that row alone, so the parts' sizes change no bit."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, y: Tensor) -> Tensor:
        at = y.clamp(min=0)[:, None]
        losses, normalisers = [], []
        for rows in _parts(logits):
            z = _wide(logits[rows])
            log_p = torch.log_softmax(z, dim=1).gather(1, at[rows])[:, 0]
            normalisers.append(z.gather(1, at[rows])[:, 0] - log_p)  # ln Σ exp z
            losses.append(-log_p)
        ctx.save_for_backward(logits, y, torch.cat(normalisers))
        return torch.where(y == NO_TARGET, 0, torch.cat(losses))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """g·p, less g where the target is; g is the gradient of the row's loss, and goes into the exponent:
        g·p = exp(z − ln Σ exp z + ln g), which is one pass over the logits instead of two."""
        logits, y, normalisers = ctx.saved_tensors
        g = gradients[0] * (y != NO_TARGET)
        shift = (normalisers - g.abs().log())[:, None]
        signs = g.sign()[:, None] if g.is_cuda or bool((g < 0).any()) else None  # a card is not waited for to ask it
        out = torch.empty_like(logits)
        for rows in _parts(logits):
            z, at = logits[rows], y[rows].clamp(min=0)
            p = torch.sub(z, shift[rows], out=out[rows]) if z.dtype == g.dtype else z.to(g.dtype).sub_(shift[rows])
            p.exp_()
            if signs is not None:
                p.mul_(signs[rows])
            p[torch.arange(len(p), device=p.device), at] -= g[rows]
            if z.dtype != g.dtype:
                out[rows] = p
            del p  # before there is another
        return out, None


def _parts(logits: Tensor) -> Iterator[slice]:
    n, V = logits.shape
    number = max(4, logits.element_size())  # in fp32 at least
    rows = max(1, (LOSS_CHUNK_ON_A_CARD if logits.is_cuda else LOSS_CHUNK) // (V * number))
    for begin in range(0, n, rows):
        yield slice(begin, begin + rows)
