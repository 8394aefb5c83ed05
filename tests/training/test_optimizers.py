"""Optimizers: what decays, what Muon takes, and that a saved state goes on to the bit."""

from typing import Any

import pytest
import torch
from torch import Tensor

from workbench.preset import ModelTable, OptimizerTable
from workbench.training.models import Model, build
from workbench.training.optimizers import Optimizer

V, T = 11, 8
GPT = ModelTable(kind="gpt", layers=2, heads=2, width=16, bias=True)
MLP = ModelTable(kind="mlp", hidden=12, norm="batch")
KINDS: dict[str, dict[str, Any]] = {
    "adamw": {"kind": "adamw"},
    "sgd": {"kind": "sgd"},
    "sgd with momentum": {"kind": "sgd", "momentum": 0.9},
    "muon": {"kind": "muon"},
}


def made(table: ModelTable, keys: dict[str, Any], dtype: torch.dtype = torch.float32) -> tuple[Model, Optimizer]:
    model = build(table, vocab=V, T=T, seed=1).to(dtype)
    return model, Optimizer(model, OptimizerTable(**keys))


def gradients(model: Model, step: int) -> None:
    """The same made-up gradients for the same step, whatever the weights."""
    generator = torch.Generator().manual_seed(step)
    for p in model.parameters():
        p.grad = torch.randn(p.shape, generator=generator).to(p.dtype)


def steps(model: Model, optimizer: Optimizer, first: int, last: int, lr: float = 0.01, decay: float = 0.1) -> None:
    for step in range(first, last):
        gradients(model, step)
        optimizer.set(lr=lr * (1 + step % 3), weight_decay=decay)
        optimizer.step()


def weights(model: Model) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("table", [GPT, MLP, ModelTable(kind="bigram")], ids=["gpt", "mlp", "bigram"])
@pytest.mark.parametrize("keys", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_saved_state_goes_on_to_the_bit(table: ModelTable, keys: dict[str, Any], dtype: torch.dtype) -> None:
    model, optimizer = made(table, keys, dtype)
    steps(model, optimizer, 0, 5)
    kept, state = weights(model), {k: v.clone() for k, v in optimizer.state().items()}
    steps(model, optimizer, 5, 12)

    again, other = made(table, keys, dtype)
    steps(again, other, 100, 103)  # whatever it did before is forgotten
    other.load(state)
    with torch.no_grad():
        for name, p in again.named_parameters():
            p.copy_(kept[name])
    steps(again, other, 5, 12)
    for name, p in weights(again).items():
        assert torch.equal(p, weights(model)[name]), name
    ends = optimizer.state()
    assert ends.keys() == other.state().keys()
    assert all(torch.equal(ends[key], value) for key, value in other.state().items())


@pytest.mark.parametrize("keys", KINDS.values(), ids=KINDS)
def test_the_bits_are_those_of_torchs_own_classes(keys: dict[str, Any]) -> None:
    """Which are not used: they load torch's compiler."""
    model, optimizer = made(GPT, keys)
    plain, _ = made(GPT, keys)
    matrices = plain.block_matrices() if keys["kind"] == "muon" else []
    rest = [p for p in plain.parameters() if not any(p is m for m in matrices)]
    groups = [{"params": [p for p in rest if p.dim() > 1]}, {"params": [p for p in rest if p.dim() < 2], "w": 0.0}]
    table, others = OptimizerTable(**keys), list[torch.optim.Optimizer]()
    if matrices:
        others.append(torch.optim.Muon(matrices, momentum=table.momentum, adjust_lr_fn="match_rms_adamw"))
    if keys["kind"] == "sgd":
        others.append(torch.optim.SGD(groups, momentum=table.momentum, foreach=True))
    else:
        others.append(torch.optim.AdamW(groups, betas=table.betas, fused=True))
    steps(model, optimizer, 0, 9)
    for step in range(9):
        gradients(plain, step)
        for other in others:
            for group in other.param_groups:
                group.update(lr=0.01 * (1 + step % 3), weight_decay=group.get("w", 0.1))
            other.step()
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_what_was_loaded_is_a_copy() -> None:
    model, optimizer = made(GPT, KINDS["adamw"])
    steps(model, optimizer, 0, 2)
    state = {k: v.clone() for k, v in optimizer.state().items()}
    kept = {k: v.clone() for k, v in state.items()}
    optimizer.load(state)
    steps(model, optimizer, 2, 4)
    assert all(torch.equal(state[k], kept[k]) for k in kept)


def test_a_state_is_named_after_its_parameter() -> None:
    model, optimizer = made(GPT, KINDS["adamw"])
    assert optimizer.state() == {}
    steps(model, optimizer, 0, 1)
    names = {name for name, _ in model.named_parameters()}
    assert set(optimizer.state()) == {f"{n}.{q}" for n in names for q in ("step", "exp_avg", "exp_avg_sq")}
    plain_model, plain = made(GPT, KINDS["sgd"])
    steps(plain_model, plain, 0, 3)
    assert plain.state() == {}


def test_a_state_of_other_parameters_is_refused() -> None:
    _, optimizer = made(GPT, KINDS["adamw"])
    with pytest.raises(KeyError):
        optimizer.load({"another.weight.exp_avg": torch.zeros(3)})


@pytest.mark.parametrize("keys", KINDS.values(), ids=KINDS)
def test_matrices_decay_and_vectors_do_not(keys: dict[str, Any]) -> None:
    """Two optimizers that differ in the decay alone, given the same gradients."""
    ends = []
    for decay in (0.0, 0.5):
        model, optimizer = made(GPT, keys)
        with torch.no_grad():
            for p in model.parameters():
                p.fill_(1.0)
        gradients(model, 0)
        optimizer.set(lr=0.1, weight_decay=decay)
        optimizer.step()
        ends.append(weights(model))
    for name, without in ends[0].items():
        shrunk = without - ends[1][name]
        expected = 0.1 * 0.5 if without.dim() >= 2 else 0.0  # lr·decay·w, and w was 1
        assert torch.allclose(shrunk, torch.full_like(shrunk, expected), atol=1e-6), name


def test_the_lr_is_the_one_that_was_set() -> None:
    model, optimizer = made(GPT, {"kind": "sgd", "lr": 123.0})
    before = weights(model)
    gradients(model, 0)
    optimizer.set(lr=0.25, weight_decay=0.0)
    optimizer.step()
    for name, p in model.named_parameters():
        assert p.grad is not None
        assert torch.equal(p, before[name] - 0.25 * p.grad)  # exactly w −= lr·g


def test_betas_and_momentum_are_the_presets() -> None:
    model, optimizer = made(GPT, {"kind": "adamw", "betas": (0.5, 0.75)})
    gradients(model, 0)
    first = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    optimizer.set(lr=0.0, weight_decay=0.0)
    optimizer.step()
    for name, g in first.items():
        assert torch.allclose(optimizer.state()[f"{name}.exp_avg"], 0.5 * g)
        assert torch.allclose(optimizer.state()[f"{name}.exp_avg_sq"], 0.25 * g * g)
    model, optimizer = made(GPT, {"kind": "sgd", "momentum": 0.8})
    steps(model, optimizer, 0, 1, decay=0.0)
    one = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    steps(model, optimizer, 1, 2, decay=0.0)
    for name, p in model.named_parameters():
        assert p.grad is not None
        assert torch.allclose(optimizer.state()[f"{name}.momentum_buffer"], 0.8 * one[name] + p.grad, atol=1e-6)


def test_muon_takes_the_blocks_matrices_and_adamw_the_rest() -> None:
    model, optimizer = made(GPT, KINDS["muon"])
    steps(model, optimizer, 0, 1)
    quantities: dict[str, set[str]] = {}
    for key in optimizer.state():
        name, _, quantity = key.rpartition(".")
        quantities.setdefault(name, set()).add(quantity)
    for name, p in model.named_parameters():
        by_muon = name.startswith("blocks.") and p.dim() == 2
        assert quantities[name] == ({"momentum_buffer"} if by_muon else {"step", "exp_avg", "exp_avg_sq"}), name


def test_muon_makes_an_update_orthogonal_and_as_large_as_adamws() -> None:
    model, optimizer = made(GPT, KINDS["muon"])
    before = weights(model)
    gradients(model, 0)
    optimizer.set(lr=0.01, weight_decay=0.0)
    optimizer.step()
    name = "blocks.0.attention.query_key_value.weight"  # 48×16
    update = (weights(model)[name] - before[name]) / 0.01
    singular = torch.linalg.svdvals(update)
    assert singular.max() / singular.min() < 2  # a Gaussian gradient's would be about 4
    assert update.square().mean().sqrt().item() == pytest.approx(0.2, rel=0.15)  # 0.2 is AdamW's usual


def test_a_model_without_block_matrices_has_no_muon() -> None:
    model, optimizer = made(ModelTable(kind="bigram"), KINDS["muon"])
    steps(model, optimizer, 0, 1)
    assert {key.rpartition(".")[2] for key in optimizer.state()} == {"step", "exp_avg", "exp_avg_sq"}


def test_zero_grad_forgets() -> None:
    model, optimizer = made(GPT, KINDS["muon"])
    gradients(model, 0)
    optimizer.zero_grad()
    assert all(p.grad is None for p in model.parameters())
    assert {id(p) for p in optimizer.parameters} == {id(p) for p in model.parameters()}
