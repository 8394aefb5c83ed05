"""One optimizer step, from (x, y) to the update.

This is the page to read, and the one that the screen shows while a step runs.
"""

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from workbench.training.loss import cross_entropy
from workbench.training.optimizers import Optimizer

Watch = Callable[[int, Tensor, Tensor, Tensor], None]
"""Called after each micro-batch with its index, its share of the loss, its logits and its losses per target."""


class Update(NamedTuple):
    """What a step measured: the mean loss in nats before the update, and the gradient's norm before clipping."""

    loss: float
    grad_norm: float
    clipped: bool
    applied: bool


def optimizer_step(
    model: Callable[[Tensor], Tensor],
    optimizer: Optimizer,
    micro_batches: Iterable[tuple[Tensor, Tensor]],
    *,
    targets: int,
    lr: float,
    weight_decay: float,
    clip: float,
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
    watch: Watch | None = None,
) -> Update:
    """Train on `accum` micro-batches of x (B, T) and y, (B, T) or (B,): one update of the weights.

    `targets` is how many y of all of them together are targets. Each micro-batch's summed loss is divided by this
    one count, so the gradients add up to that of the mean over the whole step, however the step is split.
    """
    optimizer.zero_grad()
    total: Tensor | float = 0.0

    for index, (x, y) in enumerate(micro_batches):
        with autocast():
            logits = model(x)  # (B, T, V)
        losses = losses_of(logits, y)  # (B, T) nats
        loss = losses.sum() / targets  # its share of the step's mean
        loss.backward()  # type: ignore[no-untyped-call]  # gradients add up in p.grad
        total = total + loss.detach()
        if watch:
            watch(index, loss.detach(), logits.detach(), losses.detach())

    gradients = [p.grad for p in optimizer.parameters if p.grad is not None]
    grad_norm = float(torch.nn.utils.get_total_norm(gradients))  # of the whole step, before clipping
    step_loss = float(total)
    if not (math.isfinite(step_loss) and math.isfinite(grad_norm)):
        return Update(step_loss, grad_norm, clipped=False, applied=False)

    clipped = 0 < clip < grad_norm
    if clipped:
        torch._foreach_mul_(gradients, clip / grad_norm)  # the norm is now `clip`

    optimizer.set(lr=lr, weight_decay=weight_decay)
    optimizer.step()  # the update
    return Update(step_loss, grad_norm, clipped, applied=True)


def losses_of(logits: Tensor, y: Tensor) -> Tensor:
    """−ln p(y) of every target, shaped like y, in fp32 (or fp64); 0 where y is NO_TARGET."""
    if logits.dim() == 3 and y.dim() == 1:
        logits = logits[:, -1]  # windows ask for the one token that follows
    return cross_entropy(logits.reshape(-1, logits.shape[-1]), y.reshape(-1)).view(y.shape)
