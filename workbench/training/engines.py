"""Who makes the steps: one by one, where someone may look into them, and many at a launch, where that pays."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from workbench.data.batches import Tokens
from workbench.preset import Preset
from workbench.training.by_hand import ByHand
from workbench.training.device import Resolved
from workbench.training.models import MLP, Model, drops
from workbench.training.optimizers import Optimizer
from workbench.training.replays import Replays, Shape, fits
from workbench.training.step import Update, optimizer_step


class OnTheirWay(Protocol):
    """Steps that were launched."""

    @property
    def n(self) -> int:
        """How many: it may be fewer than were asked for."""

    def over(self) -> bool:
        """Whether `wait` would return at once."""

    def wait(self) -> tuple[npt.NDArray[np.float64], float]:
        """Their losses and gradient norms before clipping, (n, 2), and the seconds that they took together. After one
        that is not finite no other has changed anything."""


class Many(Protocol):
    """Makes many steps at a launch."""

    @property
    def depth(self) -> int:
        """Launches that are worth having on their way at once."""

    def launch(self, shape: Shape, first: int, lrs: Sequence[float], offsets: npt.NDArray[np.int64]) -> OnTheirWay:
        """Train on rows at `offsets` (steps, B·accum) with `lrs`, from step `first` on."""


class Engine(NamedTuple):
    one: Callable[..., Update]
    """`step.optimizer_step` of this model and optimizer: micro-batches and how, to the update."""
    many: Many | None


def settled(resolved: Resolved, train: Tokens) -> Resolved:
    """How the steps will be made, with this corpus: one that is too large for the card is not replayed from it."""
    if resolved.steps == "replayed" and not fits(train, resolved.torch_device):
        return replace(resolved, steps="eager")
    return resolved


def engine(
    preset: Preset,
    resolved: Resolved,
    *,
    model: Model,
    forward: Callable[[Tensor], Tensor],
    optimizer: Optimizer,
    train: Tokens,
    newline: int | None,
    seed: Callable[[int], None],
) -> Engine:
    """As `resolved.steps` says. `forward` is the model, compiled or not; `seed` is called with each step's number."""
    if resolved.steps == "by hand":
        assert isinstance(model, MLP)  # device.py sees to it
        by_hand = ByHand(model, optimizer, train, newline=newline, preset=preset)
        return Engine(partial(_in_numpy, by_hand), by_hand)
    one = partial(optimizer_step, forward, optimizer, autocast=resolved.autocast)
    if resolved.steps != "replayed":
        return Engine(one, None)
    many = Replays(
        forward, optimizer, train, newline=newline, device=resolved.torch_device, autocast=resolved.autocast,
        seed=seed if drops(preset.model) else None,
    )  # fmt: skip
    return Engine(one, many)


def _in_numpy(by_hand: ByHand, micro_batches: Iterable[tuple[Tensor, Tensor]], **how: Any) -> Update:
    return by_hand.step(((x.numpy(), y.numpy()) for x, y in micro_batches), **how)
