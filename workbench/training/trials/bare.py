"""A preset's rows, models, steps and gradients without a run directory: what the trials share.

What a check can afford is decided from the arithmetic of the preset and the kind of device, by a fixed rule, so that
the same command does the same work wherever it runs.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench import preset as presets
from workbench.data.batches import batch, fingerprint
from workbench.data.corpus import Corpus, open_corpus
from workbench.data.rows import Rows
from workbench.errors import UsageError
from workbench.plan import flops
from workbench.plan.schedule import lr_of
from workbench.preset import ModelTable, Preset
from workbench.training import device
from workbench.training.device import Resolved
from workbench.training.engines import settled
from workbench.training.loss import NO_TARGET
from workbench.training.models import Model, build, drops, seed_dropout
from workbench.training.optimizers import Optimizer
from workbench.training.step import losses_of, optimizer_step

Pair = tuple[Tensor, Tensor]
Tell = Callable[..., None]

_OPERATIONS_A_SECOND = {"cuda": 2e13}
"""What a check may ask of a second of a GPU; of anything else, 1e11: far under what two cores do."""

_LEAST = 25_000
"""Of one target: looking up, softmax and loss take as long as so many, even where nothing is multiplied."""


@dataclass(frozen=True)
class Bare:
    """A preset with its corpus open and its device resolved."""

    preset: Preset
    corpus: Corpus
    resolved: Resolved
    notes: tuple[str, ...] = ()
    """What `device.resolve` told of a measured choice."""

    @classmethod
    def open(cls, document: dict[str, Any], tell: Tell) -> "Bare":
        """Raises UsageError and DataError as a run of the preset would."""
        preset = presets.pin_context(presets.from_document(document, source="the request"))
        notes: list[str] = []
        resolved = device.resolve(preset, notes.append)
        device.take(resolved)

        def progress(what: str, share: float | None) -> None:
            tell(type="phase", phase=what, percent=None if share is None else round(100 * share))

        corpus = open_corpus(preset.data, progress=progress)
        return cls(preset, corpus, settled(resolved, corpus.splits["train"]), tuple(notes))

    def with_model(self, table: ModelTable, *, T: int) -> "Bare":
        """The same rows' text under another model, cut at another T."""
        pinned = table.model_copy(update={"context": T})
        batch_ = self.preset.batch.model_copy(update={"T": T})
        return replace(self, preset=self.preset.model_copy(update={"model": pinned, "batch": batch_}))

    @property
    def windows(self) -> bool:
        return self.preset.data.layout == "windows"

    @property
    def newline(self) -> int | None:
        """What pads a window that begins before its example; None for a stream."""
        return self.corpus.newline if self.windows else None

    @property
    def device(self) -> torch.device:
        return self.resolved.torch_device

    @property
    def vocab(self) -> int:
        return self.corpus.tokenizer.vocab_size

    @property
    def rows(self) -> Rows:
        return Rows.of(self.preset, tokens=self.corpus.splits["train"].n)

    def model(self, dtype: torch.dtype) -> Model:
        """The preset's model as a run would start it, in `dtype`, on the device."""
        p = self.preset
        T, attention = p.model.context or p.batch.T, self.resolved.attention
        made = build(p.model, vocab=self.vocab, T=T, seed=p.seed, attention=attention)
        return made.to(device=self.device, dtype=dtype)

    def read(self, offsets: np.ndarray) -> Pair:
        """The (x, y) of those rows of the training split, on the device."""
        x, y = batch(self.corpus.splits["train"], offsets, self.preset.batch.T, self.newline)
        return torch.from_numpy(x).to(self.device), torch.from_numpy(y).to(self.device)

    def step(self, model: Model, optimizer: Optimizer, step: int, pair: Pair) -> None:
        """Train on a step's rows as a run of the preset would, in fp32. Raises UsageError where it diverges."""
        p = self.preset
        if drops(p.model):
            seed_dropout(p.seed, step)
        update = optimizer_step(
            model, optimizer, cut(pair, p.batch.B), targets=valid(pair[1]), lr=lr_of(p, step),
            weight_decay=p.optimizer.weight_decay, clip=p.optimizer.clip,
        )  # fmt: skip
        if not update.applied:
            raise UsageError(
                f"training diverged at step {step:,}: try a lower lr, as in --set lr={p.optimizer.lr / 10:g}"
            )

    def targets(self, rows: int) -> int:
        """How many targets so many rows have."""
        return rows if self.windows else rows * self.preset.batch.T

    def operations(self, rows: int) -> int:
        """Floating-point operations of one gradient over so many rows, or what takes as long as so many."""
        return max(_LEAST, flops.per_token(self.preset, self.vocab)) * self.targets(rows)

    def affords(self, seconds: float) -> float:
        """The operations that a check may spend in a part that is to take so many seconds."""
        return seconds * _OPERATIONS_A_SECOND.get(self.device.type, 1e11)

    def told(self) -> str:
        """The model in words: what it is, its T, its parameters."""
        p = self.preset
        m = p.model
        shape = {
            "gpt": f", {m.layers} layer{'' if m.layers == 1 else 's'} of width {m.width}",
            "mlp": f", {m.hidden} hidden units{', batch norm' if m.norm == 'batch' else ''}",
        }.get(m.kind, "")
        parameters = sum(tensor.numel() for tensor in self.model(torch.float32).parameters())
        return f"{m.kind}{shape}, T = {p.batch.T}, {parameters:,} parameters"


def cut(pair: Pair, B: int) -> list[Pair]:
    """Micro-batches of B rows, in the rows' order."""
    x, y = pair
    return [(x[part], y[part]) for part in parts(len(x), B)]


def hash_of(micro_batches: Iterable[Pair]) -> str:
    """The hash of a step's rows, from the tensors that the model is given."""
    xs, ys = zip(*((x.cpu().numpy(), y.cpu().numpy()) for x, y in micro_batches), strict=True)
    return fingerprint(xs, ys)


def gradient(model: Model, micro_batches: Iterable[Pair], *, targets: int) -> tuple[Tensor, float]:
    """The gradient of the summed loss divided by `targets`, as one vector, and that loss in nats."""
    model.zero_grad(set_to_none=True)
    total = 0.0
    for x, y in micro_batches:
        loss = losses_of(model(x), y).sum() / targets
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    return flat(p.grad if p.grad is not None else torch.zeros_like(p) for p in model.parameters()), total


def flat(tensors: Iterable[Tensor]) -> Tensor:
    """One vector of all of them, which shares nothing with them."""
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def apart(a: Tensor, b: Tensor) -> float:
    """‖a − b‖ / ‖b‖."""
    return float((a - b).norm() / b.norm())


def valid(y: Tensor) -> int:
    """How many y are targets."""
    return int((y != NO_TARGET).sum())


def parts(n: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover n."""
    for begin in range(0, n, size):
        yield slice(begin, min(n, begin + size))


def percent(done: float, of: float) -> int:
    return min(100, int(100 * done / max(1, of)))
