"""The answer to `inspect`: the very tensors that one step trained on, what each target cost, what was guessed."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from workbench.data.batches import fingerprint
from workbench.training import checkpoints


class Inspection:
    """Collects one step's micro-batches. It only keeps references: the step's arithmetic is untouched."""

    def __init__(self, top: int) -> None:
        self.ids: list[str] = []
        """The commands that it answers: all that came before the same step."""
        self._top = max(0, min(top, 20))
        self._x: list[Tensor] = []
        self._y: list[Tensor] = []
        self._losses: list[Tensor] = []
        self._guesses: list[Tensor] = []
        self._chances: list[Tensor] = []

    def rows(self, x: Tensor, y: Tensor) -> None:
        self._x.append(x.cpu())
        self._y.append(y.cpu())

    def losses(self, logits: Tensor, losses: Tensor) -> None:
        if logits.dim() == 3 and losses.dim() == 1:
            logits = logits[:, -1]
        chances, guesses = logits.float().softmax(-1).topk(min(self._top, logits.shape[-1]), dim=-1)
        self._losses.append(losses.cpu())
        self._guesses.append(guesses.cpu())
        self._chances.append(chances.cpu())

    def write(self, run: Path, loss: float, about: dict[str, int]) -> tuple[Path, str]:
        """The file in inspect/ and the hash of the rows. Shapes: x, y, losses (rows, T); guesses (rows, T, top)."""
        hash_ = fingerprint([t.numpy() for t in self._x], [t.numpy() for t in self._y])
        tensors = {
            "x": torch.cat(self._x).to(torch.int32),
            "y": torch.cat(self._y).to(torch.int32),
            "losses": torch.cat(self._losses),
            "guesses": torch.cat(self._guesses).to(torch.int32),
            "chances": torch.cat(self._chances),
        }
        name = f"step-{about['step']:08d}-{self.ids[0][-8:]}"
        told = {"format": "1", "hash": hash_, "loss": repr(np.float64(loss).item())}
        path = checkpoints.inspect_write(run, name, tensors, told | {k: str(v) for k, v in about.items()})
        return path, hash_
