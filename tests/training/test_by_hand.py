"""The mlp's gradient, written out: autograd's within rounding, and the same bits however its steps are made."""

import copy
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import MLP as DOC
from tiny_runs import Train, bits, document, weights

from workbench import preset as presets
from workbench.training import device
from workbench.training.by_hand import ByHand
from workbench.training.models import MLP, build
from workbench.training.optimizers import Optimizer
from workbench.training.step import optimizer_step

V, T = 27, 3
PLAIN = {"kind": "sgd", "lr": 0.1, "weight_decay": 0.0, "clip": 0.0}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": PLAIN,
    "sgd with decay and clip": {**PLAIN, "weight_decay": 0.1, "clip": 0.2},
    "momentum": {**PLAIN, "momentum": 0.9},
    "adamw": {"kind": "adamw", "lr": 0.01, "clip": 0.3},
}


@pytest.fixture
def random() -> np.random.Generator:
    """The same rows for every test, whichever ran before it."""
    return np.random.default_rng(5)


def made(optimizer: dict[str, Any], dtype: torch.dtype) -> tuple[MLP, Optimizer, presets.Preset]:
    preset = presets.from_document(document(DOC, optimizer=optimizer, batch__B=8), source="test")
    model = build(preset.model, vocab=V, T=T, seed=1).to(dtype)
    assert isinstance(model, MLP)
    return model, Optimizer(model, preset.optimizer), preset


@pytest.mark.parametrize("accum", [1, 3])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 1e-13)])
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_fifty_steps_are_autograds(
    optimizer: dict[str, Any], dtype: torch.dtype, tolerance: float, accum: int, random: np.random.Generator
) -> None:
    (one, first, preset), (two, second, _) = made(optimizer, dtype), made(optimizer, dtype)
    by_hand = ByHand(two, second, None, newline=0, preset=preset)  # type: ignore[arg-type]  # rows are given here
    how: dict[str, Any] = {
        "targets": 8 * accum, "weight_decay": preset.optimizer.weight_decay, "clip": preset.optimizer.clip,
    }  # fmt: skip
    for step in range(50):
        xs, ys = random.integers(0, V, (accum, 8, T)), random.integers(0, V, (accum, 8))
        lr = preset.optimizer.lr * (1 - step / 60)
        pairs = [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in zip(xs, ys, strict=True)]
        wanted = optimizer_step(one, first, pairs, lr=lr, **how)
        got = by_hand.step(zip(xs, ys, strict=True), lr=lr, **how)
        assert got.loss == pytest.approx(wanted.loss, rel=tolerance)
        assert got.grad_norm == pytest.approx(wanted.grad_norm, rel=tolerance * 10)
        assert got.clipped == wanted.clipped
    for (name, p), q in zip(one.named_parameters(), two.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=0, atol=tolerance * 10), name


def test_what_is_watched_is_autograds(random: np.random.Generator) -> None:
    (one, first, preset), (two, second, _) = made(PLAIN, torch.float64), made(PLAIN, torch.float64)
    by_hand = ByHand(two, second, None, newline=0, preset=preset)  # type: ignore[arg-type]
    seen: list[list[Any]] = [[], []]
    xs, ys = random.integers(0, V, (2, 8, T)), random.integers(0, V, (2, 8))
    how: dict[str, Any] = {"targets": 16, "lr": 0.1, "weight_decay": 0.0, "clip": 0.0}

    def watcher(into: list[Any], of: torch.nn.Module) -> Any:
        def watch(index: int, *tensors: torch.Tensor) -> None:
            into.append([t.clone() for t in tensors] + [p.grad.clone() for p in of.parameters() if p.grad is not None])

        return watch

    pairs = [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in zip(xs, ys, strict=True)]
    optimizer_step(one, first, pairs, watch=watcher(seen[0], one), **how)
    by_hand.step(zip(xs, ys, strict=True), watch=watcher(seen[1], two), **how)
    assert len(seen[0]) == len(seen[1]) == 2
    for a, b in zip(*(itertools.chain(*told) for told in seen), strict=True):
        assert torch.allclose(a.double().squeeze(), b.double().squeeze(), rtol=1e-12)


def test_a_run_takes_this_way_and_looking_into_it_changes_no_bit(train: Train) -> None:
    calm = train(DOC)
    steered = train(
        DOC,
        at_start=[{"command": "inspect", "at": 5}, {"command": "pace", "rate": 400}],
        after={9: [{"command": "pace", "rate": 0}], 20: [{"command": "eval"}, {"command": "save"}]},
    )
    assert bits(steered.records) == bits(calm.records)
    assert weights(steered.path) == weights(calm.path)
    preset = presets.from_document(DOC, source="test")
    assert device.resolve(preset).steps == "by hand"


def test_not_for_every_preset() -> None:
    def steps(**changes: Any) -> str:
        return device.resolve(presets.from_document(document(DOC, **changes), source="test")).steps

    assert steps(model__norm="batch") == steps(batch__B=32_768) == steps(device={"compile": "on"}) == "eager"
    assert steps(device={"precision": "bf16"}) == "eager"
    assert steps(device={"precision": "fp64"}) == "by hand"


def test_a_loss_that_is_no_number_changes_nothing(random: np.random.Generator) -> None:
    model, optimizer, preset = made(PLAIN, torch.float32)
    by_hand = ByHand(model, optimizer, None, newline=0, preset=preset)  # type: ignore[arg-type]
    with torch.no_grad():
        model.output.bias[3] = torch.nan
    before = copy.deepcopy(model.state_dict())
    x, y = random.integers(0, V, (8, T)), random.integers(0, V, 8)
    update = by_hand.step([(x, y)], targets=8, lr=0.1, weight_decay=0.0, clip=0.0)
    assert not update.applied
    assert all(torch.equal(p.nan_to_num(), before[name].nan_to_num()) for name, p in model.state_dict().items())


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_gradients_that_were_let_go_of_are_there_again(optimizer: dict[str, Any], random: np.random.Generator) -> None:
    (one, its, preset), (two, other, _) = made(optimizer, torch.float32), made(optimizer, torch.float32)
    first = ByHand(one, its, None, newline=0, preset=preset)  # type: ignore[arg-type]
    second = ByHand(two, other, None, newline=0, preset=preset)  # type: ignore[arg-type]
    for _ in range(3):
        x, y = random.integers(0, V, (8, T)), random.integers(0, V, 8)
        other.zero_grad()
        for by_hand in (first, second):
            by_hand.step([(x, y)], targets=8, lr=0.1, weight_decay=0.0, clip=0.3)
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), two.parameters(), strict=True))
