"""One optimizer step: 64×1, 8×8 and 1×64 are the same step, on the same rows."""

from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import GPT, TEXT, document

from workbench import preset as presets
from workbench.data.batches import batch, fingerprint
from workbench.data.corpus import open_corpus
from workbench.data.rows import Rows
from workbench.training.loss import NO_TARGET
from workbench.training.models import Model, build
from workbench.training.optimizers import Optimizer
from workbench.training.step import losses_of, optimizer_step

SPLITS = [(64, 1), (8, 8), (1, 64)]
T = 16


def made(dtype: torch.dtype, **optimizer: Any) -> tuple[Model, Optimizer]:
    doc = document(GPT, model__layers=1, optimizer={"lr": 1e-3, **optimizer}, schedule__min_lr=0.0)
    preset = presets.from_document(doc, source="test")
    model = build(preset.model, vocab=corpus().tokenizer.vocab_size, T=T, seed=1).to(dtype)
    return model, Optimizer(model, preset.optimizer)


def corpus() -> Any:
    return open_corpus(presets.from_document({"data": {"text": TEXT}}, source="test").data)


def rows_of(step: int, B: int, accum: int) -> list[tuple[np.ndarray, np.ndarray]]:
    train = corpus().splits["train"]
    function = Rows(tokens=train.n, T=T, seed=7)
    offsets = function.offsets(step * B * accum, B * accum)
    return [batch(train, offsets[i * B : (i + 1) * B], T, None) for i in range(accum)]


def tensors(pairs: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in pairs]


def gradients(dtype: torch.dtype, pairs: Any, targets: int) -> tuple[torch.Tensor, float]:
    """The whole gradient of one step in one vector, and the logged loss."""
    model, optimizer = made(dtype)
    update = optimizer_step(
        model, optimizer, tensors(pairs), targets=targets, lr=0.0, weight_decay=0.0, clip=0.0
    )  # fmt: skip
    return torch.cat([p.grad.flatten() for p in optimizer.parameters if p.grad is not None]), update.loss


def test_the_rows_are_the_same_however_a_step_is_split() -> None:
    hashes = set()
    for B, accum in SPLITS:
        xs, ys = zip(*rows_of(3, B, accum), strict=True)
        hashes.add(fingerprint(xs, ys))
    assert len(hashes) == 1


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_gradients_are_the_same_however_a_step_is_split(dtype: torch.dtype, tolerance: float) -> None:
    whole, loss = gradients(dtype, rows_of(0, 64, 1), 64 * T)
    for B, accum in SPLITS[1:]:
        split, split_loss = gradients(dtype, rows_of(0, B, accum), 64 * T)
        assert (split - whole).norm() / whole.norm() < tolerance
        assert split_loss == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_unequal_numbers_of_targets_are_no_average_of_averages(dtype: torch.dtype, tolerance: float) -> None:
    pairs = rows_of(0, 64, 1)
    x, y = pairs[0]
    y = y.copy()
    y[:9] = NO_TARGET  # the first micro-batch of 8×8 has no target at all, the second one row less
    y[20, 5:] = NO_TARGET
    targets = int((y != NO_TARGET).sum())
    whole, loss = gradients(dtype, [(x, y)], targets)
    for B, accum in SPLITS[1:]:
        parts = [(x[i * B : (i + 1) * B], y[i * B : (i + 1) * B]) for i in range(accum)]
        split, split_loss = gradients(dtype, parts, targets)
        assert (split - whole).norm() / whole.norm() < tolerance
        assert split_loss == pytest.approx(loss, rel=1e-6)
    averages = [gradients(dtype, [part], max(1, int((part[1] != NO_TARGET).sum())))[0]
                for part in ((x[i * 8 : i * 8 + 8], y[i * 8 : i * 8 + 8]) for i in range(8))]  # fmt: skip
    wrong = torch.stack(averages).mean(0)
    assert (wrong - whole).norm() / whole.norm() > 1e-3  # what the trap would have given


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_a_hundred_steps_end_at_the_same_weights(kind: str, dtype: torch.dtype, tolerance: float) -> None:
    options = {"kind": kind} | ({"lr": 0.1} if kind == "sgd" else {})
    ends = []
    for B, accum in SPLITS:
        model, optimizer = made(dtype, **options)
        for step in range(100):
            optimizer_step(
                model, optimizer, tensors(rows_of(step, B, accum)), targets=64 * T, lr=options.get("lr", 1e-3),
                weight_decay=0.1, clip=1.0,
            )  # fmt: skip
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    for end in ends[1:]:
        assert (ends[0] - end).abs().max() < tolerance


def test_the_step_is_what_autograd_and_the_optimizer_say() -> None:
    """Against the plain loop: one loss over all targets, clip_grad_norm_, one AdamW step."""
    model, optimizer = made(torch.float64)
    plain, _ = made(torch.float64)
    other = torch.optim.AdamW(
        [{"params": [p for p in plain.parameters() if p.dim() > 1], "weight_decay": 0.1},
         {"params": [p for p in plain.parameters() if p.dim() < 2], "weight_decay": 0.0}], lr=2e-3, betas=(0.9, 0.99),
    )  # fmt: skip
    for step in range(5):
        ((x, y),) = tensors(rows_of(step, 64, 1))
        loss = torch.nn.functional.cross_entropy(plain(x).flatten(0, 1), y.flatten())
        other.zero_grad()
        loss.backward()
        norm = torch.cat([p.grad.flatten() for p in plain.parameters()]).norm()
        for p in plain.parameters():
            p.grad *= min(1.0, 0.5 / norm)
        other.step()
        update = optimizer_step(
            model, optimizer, tensors(rows_of(step, 8, 8)), targets=64 * T, lr=2e-3, weight_decay=0.1, clip=0.5
        )  # fmt: skip
        assert update.loss == pytest.approx(loss.item(), rel=1e-12)
        assert update.grad_norm == pytest.approx(norm.item(), rel=1e-10)
        assert update.clipped == (norm.item() > 0.5)
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert (ours - theirs).abs().max() < 1e-12


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_what_is_not_finite_is_not_applied(poison: float) -> None:
    model, optimizer = made(torch.float32)
    before = [p.detach().clone() for p in model.parameters()]

    def broken(x: torch.Tensor) -> torch.Tensor:
        return model(x) * poison

    update = optimizer_step(
        broken, optimizer, tensors(rows_of(0, 8, 1)), targets=8 * T, lr=0.1, weight_decay=0.1, clip=1.0
    )  # fmt: skip
    assert not update.applied
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_losses_are_shaped_like_their_targets_and_half_precision_is_not_summed_in_half() -> None:
    logits = torch.randn(2, 3, 5, dtype=torch.bfloat16)
    y = torch.tensor([[1, 2, NO_TARGET], [0, 4, 3]])
    losses = losses_of(logits, y)
    assert losses.shape == y.shape
    assert losses.dtype == torch.float32
    assert losses[0, 2] == 0
    assert losses_of(torch.randn(2, 3, 5), torch.tensor([1, 2])).shape == (2,)  # windows: the last position's
