"""The memory estimate: what is counted exactly, and how it grows. Its size is for measurement to calibrate."""

from typing import Any

import pytest

from workbench.plan.memory import estimate
from workbench.plan.parameters import total
from workbench.preset import Preset, apply, from_document

P = 804_096  # parameters of the default gpt over 65 characters


def bill(edits: dict[str, Any] | None = None, *, precision: str | None = None) -> dict[str, int]:
    preset: Preset = apply(from_document({}, source="defaults"), edits or {})
    return {item.name.split(" (")[0]: item.count for item in estimate(preset, 65, precision=precision)}


def test_weights_and_gradients_are_fp32_unless_fp64() -> None:
    for precision, size in (("fp32", 4), ("bf16", 4), ("fp64", 8), (None, 4)):
        items = bill(precision=precision)
        assert items["weights"] == items["gradients"] == size * P


@pytest.mark.parametrize(
    ("edits", "numbers"),
    [
        ({"optimizer.kind": "adamw"}, 2 * P),
        ({"optimizer.kind": "sgd"}, 0),
        ({"optimizer.kind": "sgd", "optimizer.momentum": 0.9}, P),
        ({"optimizer.kind": "muon"}, 2 * P - 4 * 12 * 128**2),
    ],
)
def test_optimizer_state_is_that_of_its_kind(edits: dict[str, Any], numbers: int) -> None:
    assert bill(edits)["optimizer state"] == 4 * numbers


def test_a_micro_batch_pays_for_its_size_and_accumulation_is_free() -> None:
    once, twice = bill({"batch.B": 8}), bill({"batch.B": 16})
    for item in ("activations kept for the backward pass", "logits"):
        assert twice[item] == 2 * once[item]
    assert twice["weights"] == once["weights"]
    assert bill({"batch.B": 8, "batch.accum": 16}) == once
    assert bill({"batch.B": 8}, precision="bf16")["logits"] < once["logits"]


def test_logits_are_one_row_for_each_prediction() -> None:
    mlp = {"model.kind": "mlp", "data.layout": "windows", "batch.T": 3, "batch.B": 32}
    assert bill()["logits"] == 64 * 64 * 65 * 12
    assert bill(mlp)["logits"] == 32 * 65 * 12


def test_dropout_and_batch_norm_keep_more() -> None:
    kept = "activations kept for the backward pass"
    mlp = {"model.kind": "mlp", "data.layout": "windows"}
    assert bill({"model.dropout": 0.1})[kept] > bill()[kept]
    assert bill({**mlp, "model.norm": "batch"})[kept] > bill(mlp)[kept]
    assert bill({"model.kind": "bigram"})[kept] == 0


def test_an_unknown_precision_is_refused_and_the_total_is_the_sum() -> None:
    preset = from_document({}, source="defaults")
    items = estimate(preset, 65)
    assert total(items) == sum(item.count for item in items)
    with pytest.raises(ValueError, match="expected fp32, bf16 or fp64"):
        estimate(preset, 65, precision="fp8")
