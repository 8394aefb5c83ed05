"""What is measured inside one step, for who asks: its micro-batches as they come, and the answer to `inspect`.

Nothing here takes part in the step's arithmetic: it reads tensors, and keeps copies on the CPU.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from workbench.data.batches import fingerprint
from workbench.runs.status import INSIDE_KEPT, Inside
from workbench.training import checkpoints
from workbench.training.optimizers import Optimizer

CHUNK = 32 * 2**20
"""Bytes of probabilities made at once: those of a whole (64, 1024, 50257) would be 13 GB, on a GPU that is full."""
LARGEST_COPY = 2**30
"""Bytes of weights that are copied to measure their update."""


class MicroBatches:
    """One step's micro-batches: each one's own mean loss in nats, and the norm of the gradient accumulated so far."""

    def __init__(self, accum: int) -> None:
        self._accum = accum
        self.losses: list[float] = []
        self.norms: list[float] = []

    def add(self, loss: float, optimizer: Optimizer) -> None:
        self.losses.append(loss)
        self.norms.append(float(get_total_norm([p.grad for p in optimizer.parameters if p.grad is not None])))

    def told(self) -> Inside:
        """As status.json has it."""
        done = len(self.losses)
        return {
            "micro": done,
            "accum": self._accum,
            "first": max(0, done - INSIDE_KEPT),
            "losses": [x if math.isfinite(x) else None for x in self.losses[-INSIDE_KEPT:]],
            "norms": [x if math.isfinite(x) else None for x in self.norms[-INSIDE_KEPT:]],
        }


class Inspection:
    """Collects one step: the very tensors that it trained on, what each target cost, what was guessed, the update."""

    def __init__(self, top: int) -> None:
        self.ids: list[str] = []
        """The commands that it answers: all that came before the same step."""
        self._top = top
        self._x: list[Tensor] = []
        self._y: list[Tensor] = []
        self._losses: list[Tensor] = []
        self._guesses: list[Tensor] = []
        self._chances: list[Tensor] = []
        self._weights: list[Tensor] = []

    def weights(self, optimizer: Optimizer) -> None:
        """Before the step: keep what its update is measured against, unless it is over LARGEST_COPY."""
        if sum(p.numel() * p.element_size() for p in optimizer.parameters) <= LARGEST_COPY:
            self._weights = [p.detach().to("cpu", copy=True) for p in optimizer.parameters]

    def rows(self, x: Tensor, y: Tensor) -> None:
        self._x.append(x.cpu())
        self._y.append(y.cpu())

    def losses(self, logits: Tensor, losses: Tensor) -> None:
        """One micro-batch's logits, (B, T, V) or (B, V), and its losses per target, (B, T) or (B,)."""
        if logits.dim() == 3 and losses.dim() == 1:
            logits = logits[:, -1]
        V = logits.shape[-1]
        top = min(self._top, V)
        parts = [
            [t.cpu() for t in part.softmax(-1, dtype=torch.float32).topk(top, dim=-1)]
            for part in torch.split(logits.reshape(-1, V), max(1, CHUNK // (4 * V)))
        ]
        chances, guesses = (torch.cat(t).view(*losses.shape, top) for t in zip(*parts, strict=True))
        self._losses.append(losses.cpu())
        self._guesses.append(guesses)
        self._chances.append(chances)

    def update_ratio(self, optimizer: Optimizer) -> float | None:
        """‖Δw‖/‖w‖ of the update that was made since `weights`; None where it was not kept, or w was all zeros."""
        if not self._weights:
            return None
        norm = float(get_total_norm(self._weights))
        for w, p in zip(self._weights, optimizer.parameters, strict=True):
            w.sub_(p.detach().cpu())  # −Δw, where w was: there is no third copy
        return float(get_total_norm(self._weights)) / norm if norm else None

    def write(self, run: Path, micro_batches: MicroBatches, about: Mapping[str, float | None]) -> tuple[Path, str]:
        """The file in inspect/, and the hash of the rows; `runs.inspections` reads it back.

        Shapes: x (rows, T); y and losses (rows, T), or (rows,) for windows; guesses and chances one axis more, (…,
        top); micro_losses and micro_norms (accum,).
        """
        hash_ = fingerprint([t.numpy() for t in self._x], [t.numpy() for t in self._y])
        tensors = {
            "x": torch.cat(self._x).to(torch.int32),
            "y": torch.cat(self._y).to(torch.int32),
            "losses": torch.cat(self._losses),
            "guesses": torch.cat(self._guesses).to(torch.int32),
            "chances": torch.cat(self._chances),
            "micro_losses": torch.tensor(micro_batches.losses, dtype=torch.float64),
            "micro_norms": torch.tensor(micro_batches.norms, dtype=torch.float64),
        }
        told = {"format": "1", "hash": hash_} | {key: "" if v is None else str(v) for key, v in about.items()}
        name = f"step-{about['step']:08d}-{self.ids[0][-8:]}"
        return checkpoints.inspect_write(run, name, tensors, told), hash_
