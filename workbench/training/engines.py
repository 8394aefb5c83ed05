"""Who makes many steps at a launch, where that pays: a card's graphs, or a small mlp's gradient written out."""

from collections.abc import Callable

from torch import Tensor

from workbench.data.batches import Tokens
from workbench.preset import Preset
from workbench.training.by_hand import ByHand
from workbench.training.device import Resolved
from workbench.training.models import MLP, Model
from workbench.training.optimizers import Optimizer
from workbench.training.replays import Replays, fits


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
) -> Replays | ByHand | None:
    """As `resolved.steps` says; None where steps are made one by one (step.py).

    `forward` is the model, compiled or not; `seed` is called with each step's number where dropout draws by it.
    """
    if resolved.steps == "by hand":
        assert isinstance(model, MLP)
        return ByHand(model, optimizer, train, newline=newline, preset=preset)
    if resolved.steps != "replayed" or not fits(train, resolved.torch_device):
        return None  # a corpus that is too large for the card: its steps are launched one by one
    drops = preset.model.kind == "gpt" and preset.model.dropout > 0
    return Replays(
        forward, optimizer, train, newline=newline, device=resolved.torch_device, autocast=resolved.autocast,
        seed=seed if drops else None,
    )  # fmt: skip
