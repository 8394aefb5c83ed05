"""The memory estimate, counted by hand. `tests/training/test_memory.py` holds it against what processes use."""

from typing import Any

import pytest

from workbench.plan.memory import LARGE_VOCABULARY, LOSS_CHUNK, Moment, estimate, moments, peak
from workbench.plan.parameters import total
from workbench.preset import Preset, apply, from_document

P = 804_096  # parameters of the default gpt over 65 characters: 4 layers, 4 heads, width 128, T = 64
MIB = 1024**2
BUFFERS = MIB
UNIT = 2 * MIB  # width numbers of fp32 for each of 64 × 64 tokens
MLP = {"model.kind": "mlp", "data.layout": "windows", "batch.T": 3, "batch.B": 8192}
LAST = "backward through the last layer"
LOSS = "the gradient of the loss"


def preset_of(edits: dict[str, Any] | None = None) -> Preset:
    return apply(from_document({}, source="defaults"), {"batch.B": 64, **(edits or {})})


def at(name: str, edits: dict[str, Any] | None = None, *, vocab: int = 65, precision: str = "fp32") -> dict[str, int]:
    """The items of one moment; of the two of evaluation, the larger."""
    found = [m for m in moments(preset_of(edits), vocab, precision=precision) if m.name == name]
    assert found, name
    return items_of(max(found, key=lambda m: total(m.items)))


def items_of(moment: Moment) -> dict[str, int]:
    return {item.name: item.count for item in moment.items}


def test_the_bill_of_the_default_gpt_item_by_item() -> None:
    statistics, heads = 2 * 4096 * 4, 4 * 4096 * 4
    # attention: its norm's output, q, k, v, its result, the stream; feed-forward: its norm's output, 4 + 4, the stream
    assert items_of(peak(preset_of(), 65)) == {
        "weights": 4 * P,
        "gradients": 4 * (65 * 128 + 4 * 128**2),
        "optimizer state (adamw)": 8 * P,
        "activations, embeddings": UNIT,
        "activations, attention (4 layers)": 4 * (6 * UNIT + statistics + heads),
        "activations, feed-forward (4 layers)": 4 * (10 * UNIT + statistics) - UNIT,
        "activations, final norm": 0,
        "logits and loss": 4096 * 65 * 4,
        "x and y": 2 * 4096 * 8,
        "workspace": 5 * UNIT + BUFFERS,
    }
    assert peak(preset_of(), 65).name == LAST


@pytest.mark.parametrize(("precision", "number", "times"), [("fp32", 4, 4), ("bf16", 4, 3.5), ("fp64", 8, 4)])
def test_a_large_vocabulary_pays_for_its_logits_four_times(precision: str, number: int, times: float) -> None:
    """The logits (in bf16 half as large), their log-probabilities, and the gradients of both; then a loss for each."""
    V = LARGE_VOCABULARY - 1
    largest = peak(preset_of(), V, precision=precision)
    assert largest.name == LOSS
    items = items_of(largest)
    assert items["logits and loss"] == times * number * 4096 * V + number * 4096
    assert items["gradients"] == 0  # of the step before they are gone, of this one there are none yet
    assert items["activations, final norm"] == 4096 * 128 * (2 if precision == "bf16" else number) + 2 * 4096 * number


@pytest.mark.parametrize(("precision", "size", "number"), [("fp32", 4, 4), ("bf16", 2, 4), ("fp64", 8, 8)])
def test_a_larger_one_pays_twice(precision: str, size: int, number: int) -> None:
    """The logits and their gradient, and of bf16 a part of it in fp32; then a loss for each."""
    logits, part = size * 4096 * 50_257, LOSS_CHUNK if precision == "bf16" else 0
    assert at(LOSS, vocab=50_257, precision=precision)["logits and loss"] == 2 * logits + part + number * 4096
    # Of windows the last position of each row alone has a target: its slice has a gradient of its own.
    windows = at(LOSS, {"data.layout": "windows", "data.split": "lines"}, vocab=50_257, precision=precision)
    assert windows["logits and loss"] == 2 * logits + 64 * 50_257 * size + number * 64


@pytest.mark.parametrize(("precision", "size", "wide"), [("fp32", 4, 4), ("bf16", 2, 4), ("fp64", 8, 8)])
def test_of_few_rows_no_part_is_larger_than_they_are(precision: str, size: int, wide: int) -> None:
    """Two rows: the logits and their gradient; or of bf16, which is more, the log-probabilities and all in fp32."""
    items = at(LOSS, {"batch.B": 2, "batch.T": 1}, vocab=50_257, precision=precision)
    held = size + 2 * wide if precision == "bf16" else 2 * size
    assert items["logits and loss"] == 2 * 50_257 * held + wide * 2


def test_precisions() -> None:
    for precision, size in (("fp32", 4), ("bf16", 4), ("fp64", 8)):
        assert at(LAST, precision=precision)["weights"] == size * P
        assert at(LAST, precision=precision)["optimizer state (adamw)"] == 2 * size * P
    half, full, double = (at(LAST, precision=p) for p in ("bf16", "fp32", "fp64"))
    attention, ff = "activations, attention (4 layers)", "activations, feed-forward (4 layers)"
    assert double[attention] == 2 * full[attention]
    assert full[ff] - half[ff] == 4 * 9 * UNIT / 2  # all but the stream and the statistics are half as large
    # The matmuls' weights, rounded: twelve squares in each of four layers, and the head.
    assert half["copies of weights in bf16"] == 2 * (4 * 12 * 128**2 + 65 * 128)
    assert "copies of weights in bf16" not in full
    # The stream's gradient in both precisions and 4·width of GELU's.
    assert half["workspace"] == UNIT + 5 * UNIT // 2 + BUFFERS
    # Five matmuls and their gradients, of another shape than evaluation's.
    other = at(LAST, {"batch.B": 128}, precision="bf16")
    assert other["workspace"] == 2 * (UNIT + 5 * UNIT // 2) + BUFFERS + 5 * 3 * 3 * MIB // 2


@pytest.mark.parametrize(
    ("edits", "numbers"),
    [
        ({"optimizer.kind": "adamw"}, 2 * P),
        ({"optimizer.kind": "sgd"}, 0),
        ({"optimizer.kind": "sgd", "optimizer.momentum": 0.9}, P),
        ({"optimizer.kind": "muon"}, 2 * P - 4 * 12 * 128**2),
    ],
)
def test_optimizer_state_is_that_of_its_kind_at_every_moment(edits: dict[str, Any], numbers: int) -> None:
    for moment in moments(preset_of(edits), 65):
        assert items_of(moment)[f"optimizer state ({edits['optimizer.kind']})"] == 4 * numbers


@pytest.mark.parametrize(
    ("edits", "workspace"),
    [
        ({"optimizer.kind": "adamw", "optimizer.weight_decay": 0.1}, 0),
        ({"optimizer.kind": "sgd", "optimizer.weight_decay": 0.0}, 0),
        ({"optimizer.kind": "sgd", "optimizer.weight_decay": 0.1}, 4 * P),
        # 4·width²: the momentum in fp32, three in bf16; width²: two in bf16
        ({"optimizer.kind": "muon"}, 128**2 * (4 * 4 + 3 * 4 * 2 + 2 * 2)),
    ],
)
def test_what_an_update_needs_on_the_way(edits: dict[str, Any], workspace: int) -> None:
    items = at("the update", edits)
    assert items["gradients"] == 4 * P
    assert items["logits and loss"] == 4096 * 65 * 4
    assert items["workspace"] == workspace + BUFFERS


def test_accumulation_adds_the_gradients_that_are_there_and_multiplies_nothing() -> None:
    once, twice = (items_of(peak(preset_of({"batch.accum": accum}), 65)) for accum in (1, 2))
    assert twice["gradients"] - once["gradients"] == 4 * P
    assert {k: v for k, v in twice.items() if k != "gradients"} == {k: v for k, v in once.items() if k != "gradients"}
    assert items_of(peak(preset_of({"batch.accum": 1024}), 65)) == twice


def test_a_micro_batch_pays_for_its_size() -> None:
    once, twice = at(LAST, {"batch.B": 64}), at(LAST, {"batch.B": 128})
    for item in once:
        if item.startswith("activations") or item in ("logits and loss", "x and y"):
            assert twice[item] == 2 * once[item]
    assert twice["workspace"] - BUFFERS == 2 * (once["workspace"] - BUFFERS)
    assert twice["weights"] == once["weights"]


def test_a_small_batch_is_less_than_an_evaluation() -> None:
    """Gradients and moments are still there, and 4,096 positions go forward: 11 times width, one layer at a time."""
    largest = peak(preset_of({"batch.B": 2}), 65)
    assert largest.name == "evaluation"
    items = items_of(largest)
    assert items["gradients"] == items["weights"] == 4 * P
    assert items["workspace"] == 11 * UNIT + BUFFERS
    assert items["logits and loss"] == 0  # they come when a layer's have gone
    assert items["x and y"] == 2 * 4096 * 8
    V = LARGE_VOCABULARY - 1
    assert at("evaluation", vocab=V)["logits and loss"] == 2 * 4096 * V * 4
    assert at("evaluation", vocab=V, precision="bf16")["logits and loss"] == 4096 * V * (2 + 4 + 4)
    assert at("evaluation", vocab=50_257)["logits and loss"] == 4096 * 50_257 * 4 + LOSS_CHUNK
    assert at("evaluation", vocab=50_257, precision="bf16")["logits and loss"] == 4096 * 50_257 * 2 + 2 * LOSS_CHUNK
    assert at("evaluation", {"batch.T": 8192})["x and y"] == 2 * 8192 * 8  # no row is cut


def test_dropout_keeps_masks_and_three_matrices_for_each_head() -> None:
    square = 64 * 4 * 64 * 64 * 4
    without, with_ = at(LOSS), at(LOSS, {"model.dropout": 0.1})
    attention, ff = "activations, attention (4 layers)", "activations, feed-forward (4 layers)"
    # In place of one number for each head three matrices, and a mask.
    assert with_[attention] - without[attention] == 4 * (3 * square + UNIT - 4 * 4096 * 4)
    assert with_[ff] - without[ff] == 4 * UNIT
    assert with_["activations, embeddings"] == 2 * without["activations, embeddings"]
    long = {"model.dropout": 0.1, "batch.T": 512, "batch.B": 8}
    assert peak(preset_of(long), 65).name == "backward through the last attention"
    assert items_of(peak(preset_of(long), 65))["workspace"] == 8 * 4 * 512 * 512 * 4 + 3 * UNIT + BUFFERS


def test_plain_attention_keeps_its_squares_in_bf16() -> None:
    """What a CPU takes for bf16: the probabilities; with dropout what was dropped and what is left beside them."""
    square, flow, statistics = 64 * 4 * 64 * 64 * 2, UNIT // 2, 2 * 4096 * 4
    without, with_ = at(LOSS, precision="bf16"), at(LOSS, {"model.dropout": 0.1}, precision="bf16")
    attention = "activations, attention (4 layers)"
    assert without[attention] == 4 * (5 * flow + statistics + square + UNIT)
    assert with_[attention] - without[attention] == 4 * (2 * square + flow)
    back = at("backward through the last attention", precision="bf16")
    assert back["workspace"] == 2 * square + UNIT + 2 * flow + BUFFERS
    # Evaluation has a layer's scores and probabilities at once, where these are more than the feed-forward's.
    long = at("evaluation", {"batch.T": 256, "batch.B": 16}, precision="bf16")
    assert long["workspace"] == UNIT + 5 * flow + 2 * (4096 * 4 * 256 * 2) + BUFFERS
    assert at("evaluation", precision="bf16")["workspace"] == 2 * UNIT + 9 * flow + BUFFERS


def test_an_mlp_has_one_row_of_logits_for_each_prediction() -> None:
    largest = peak(preset_of(MLP), 27)
    assert largest.name == "backward through the hidden layer"
    hidden = 8192 * 200 * 4
    assert items_of(largest) == {
        "weights": 4 * 11_897,
        "gradients": 4 * 11_897,
        "optimizer state (adamw)": 8 * 11_897,
        "activations, embeddings": 8192 * 3 * 10 * 4,
        "activations, hidden layer": hidden,
        "logits and loss": 8192 * 27 * 4,
        "x and y": 2 * 8192 * 3 * 8,
        "workspace": 2 * hidden + BUFFERS,
    }
    assert items_of(peak(preset_of({**MLP, "model.norm": "batch"}), 27))["activations, hidden layer"] == 2 * hidden
    assert at(LOSS, MLP, vocab=27)["logits and loss"] == (4 * 27 + 1) * 8192 * 4


def test_a_bigram_is_its_logits() -> None:
    items = at(LOSS, {"model.kind": "bigram"})
    assert items["logits and loss"] == (4 * 65 + 1) * 4096 * 4
    assert not [name for name in items if name.startswith("activations")]
    table = at("backward through the table", {"model.kind": "bigram", "batch.accum": 2})
    assert table["logits and loss"] == 2 * 65 * 4096 * 4
    assert table["gradients"] == 2 * table["weights"]  # this micro-batch's, beside those before it
    # A look-up is no matmul: autocast leaves it alone.
    assert at(LOSS, {"model.kind": "bigram"}, precision="bf16")["logits and loss"] == items["logits and loss"]


def test_of_windows_only_the_last_position_has_a_loss() -> None:
    windows = {"data.layout": "windows", "data.split": "lines"}
    # The logits of all positions and their gradient, beside the targets' own.
    assert at(LOSS, windows)["logits and loss"] == (2 * 4096 * 65 + 64 * 65 + 64) * 4


def test_every_moment_has_the_same_items_and_the_estimate_is_the_largest() -> None:
    for edits in ({}, {"model.dropout": 0.1}, MLP, {"model.kind": "bigram"}):
        for precision in ("fp32", "bf16"):
            every = moments(preset_of(edits), 65, precision=precision)
            assert len({tuple(items_of(m)) for m in every}) == 1
            assert total(estimate(preset_of(edits), 65, precision=precision)) == max(total(m.items) for m in every)
            assert all(item.count >= 0 for m in every for item in m.items)


def test_auto_is_counted_as_fp32_and_an_unknown_precision_is_refused() -> None:
    assert estimate(preset_of(), 65) == estimate(preset_of(), 65, precision="fp32")
    assert estimate(preset_of({"device.precision": "fp64"}), 65) == estimate(preset_of(), 65, precision="fp64")
    with pytest.raises(ValueError, match="expected fp32, bf16 or fp64"):
        estimate(preset_of(), 65, precision="fp8")
