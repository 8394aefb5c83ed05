"""The trials of `workbench check`, in this process, on models small enough to take a moment."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tiny_runs import GPT, LINES, MLP, document

from workbench.errors import UsageError
from workbench.training.step import Update, optimizer_step
from workbench.training.trials import accum, gradient, last_position
from workbench.training.trials.bare import Bare, apart
from workbench.training.trials.bare import gradient as gradient_of

Told = dict[str, Any]
STREAM = document(GPT, batch={"B": 8, "T": 8}, model={"kind": "gpt", "layers": 1, "heads": 1, "width": 8})


def silent(**told: Any) -> None: ...


@pytest.fixture(scope="module", autouse=True)
def _few_steps() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accum, "STEPS", 10)
        patch.setattr(gradient, "LARGEST", 256)
        yield


@pytest.fixture(scope="module", params=[STREAM, MLP], ids=["gpt", "mlp"])
def split(request: pytest.FixtureRequest, _few_steps: None) -> Told:
    """What the accum trial tells of a preset."""
    return accum.run({"preset": request.param}, silent)


# ---------------------------------------------------------------------------------------------- accum


def test_a_split_step_is_the_same_step_within_the_tolerances(split: Told) -> None:
    told = split
    assert len({row["hash"] for row in told["rows"]}) == 1
    assert {(row["B"], row["accum"]) for row in told["rows"]} == {(64, 1), (8, 8), (1, 64)}
    for what, fp32 in (("gradients", 1e-6), ("weights", 1e-5)):
        assert max(told[what]["fp32"].values()) < fp32
        assert max(told[what]["fp64"].values()) < 1e-12
    assert max(told["gradients"]["fp32"].values()) > 0  # other sums: bits differ
    assert told["averages"]["kept"] < 1e-12


def test_what_goes_wrong_is_seen_and_has_its_size(split: Told) -> None:
    told = split
    by = {(u["optimizer"], bool(u["clip"])): u for u in told["undivided"]}
    assert by["sgd", False]["norm_ratio"] == pytest.approx(8, rel=1e-5)
    assert by["sgd", False]["update_ratio"] == pytest.approx(8, rel=1e-4)  # SGD takes it as it comes
    assert by["adamw", False]["update_ratio"] == pytest.approx(1, abs=0.02)  # AdamW divides by the gradient's size
    assert by["sgd", False]["gap"] > 20 * by["adamw", False]["gap"]
    assert by["sgd", True]["update_ratio"] < 8
    averages = told["averages"]
    assert len(set(averages["counts"])) > 1
    assert averages["difference"] > 1e-3
    assert averages["loss"] != averages["loss_averaged"]
    norm = told["batchnorm"]
    assert norm["batch"]["8x8"] > 0.01 > 1e-5 > norm["none"]["8x8"]
    assert norm["batch"]["2x32"] > norm["batch"]["8x8"]
    assert norm["refused"] == "1x64"
    dropout = told["dropout"]
    assert dropout["split"] == pytest.approx(dropout["reseeded"], rel=0.5)  # no worse than another seed
    assert dropout["averaged"] < dropout["split"] / 2  # noise: it averages out


def test_the_micro_batches_add_up_to_the_step(split: Told) -> None:
    told = split["micro_batches"]
    assert len(told["losses"]) == 8
    assert told["divided"] == pytest.approx([norm / 8 for norm in told["undivided"]])
    assert told["undivided"][0] == pytest.approx(told["norms"][0])
    assert told["undivided"][-1] <= sum(told["norms"])


def test_a_step_that_forgets_to_divide_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(model: Any, optimizer: Any, micro_batches: Any, *, targets: int, **more: Any) -> Update:
        return optimizer_step(model, optimizer, micro_batches, targets=targets // len(micro_batches), **more)

    monkeypatch.setattr(accum, "optimizer_step", forgetful)
    bare = Bare.open(STREAM, silent)
    told = accum._gradients(bare)
    assert told["fp64"]["8x8"] == pytest.approx(7)  # 8 times as long: 7 of itself away
    assert told["fp64"]["1x64"] == pytest.approx(63)
    assert accum._weights(bare, silent)["fp64"]["8x8"] > 1e-12


def test_a_step_that_leaves_a_micro_batch_out_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(model: Any, optimizer: Any, micro_batches: Any, **more: Any) -> Update:
        return optimizer_step(model, optimizer, micro_batches[: max(1, len(micro_batches) - 1)], **more)

    monkeypatch.setattr(accum, "optimizer_step", short)
    assert min(accum._gradients(Bare.open(STREAM, silent))["fp32"].values()) > 1e-3


# ---------------------------------------------------------------------------------------------- gradient


def test_a_larger_mini_batch_has_more_of_the_whole_gradient() -> None:
    told = gradient.run({"preset": MLP, "after": 20}, silent)
    assert told["all_rows"]
    assert told["rows"] == Bare.open(MLP, silent).rows.starts
    levels = told["levels"]
    assert [level["B"] for level in levels] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    means = [sum(level["cosines"]) / level["draws"] for level in levels]
    assert means[0] < means[3] < means[6] < means[8] <= 1
    errors = [sum(e * e for e in level["errors"]) / level["draws"] for level in levels]
    assert errors[0] / errors[8] == pytest.approx(256, rel=0.4)  # trace Σ / B
    traces = [B * e * told["norm_squared"] for B, e in zip((1, 256), (errors[0], errors[8]), strict=True)]
    assert levels[8]["alone"]["trace"] == pytest.approx(traces[1], rel=0.2)  # without the whole: the same
    assert levels[8]["alone"]["G2"] == pytest.approx(told["norm_squared"], rel=0.2)
    assert [look["step"] for look in told["looks"]] == [16, 17, 18, 19]


def test_the_whole_gradient_is_that_of_every_row_at_once() -> None:
    bare = Bare.open(MLP, silent)
    model = bare.model(torch.float32)
    starts, exact = gradient._whole_rows(bare)
    chunked, loss = gradient._whole(bare, model, starts, silent)
    at_once, same = gradient_of(model, [bare.read(starts)], targets=len(starts))
    assert exact
    assert apart(chunked, at_once) < 1e-5
    assert loss == pytest.approx(same, rel=1e-5)


def test_the_noise_scale_of_a_known_noise() -> None:
    """g = G + N(0, σ²/B): tr Σ = d·σ², |G|² = ‖G‖²."""
    generator = torch.Generator().manual_seed(1)
    d, sigma, B = 400, 2.0, 16
    G = torch.randn(d, generator=generator)
    noise = gradient.Noise(B, groups=8)
    for _ in range(64):
        noise.add(G + torch.randn(d, generator=generator) * sigma / B**0.5)
    told = noise.told()
    assert told["trace"] == pytest.approx(d * sigma**2, rel=0.05)
    assert abs(told["G2"] - float(G @ G)) < 3 * told["G2_error"]
    assert 0 < told["G2_error"] < 0.1 * told["G2"]


def test_training_before_the_gradient_changes_what_is_found() -> None:
    losses = [gradient.run({"preset": MLP, "after": n}, silent)["loss"] for n in (1, 40)]
    assert losses[1] < losses[0] - 0.05


@pytest.mark.parametrize(
    ("doc", "after", "message"),
    [
        (document(MLP, model={"kind": "mlp", "hidden": 20, "norm": "batch"}), None, "model.norm"),
        (MLP, 41, "--set steps=41"),
        (document(GPT, model={"kind": "gpt", "layers": 48, "heads": 8, "width": 4096}), None, "a smaller model"),
    ],
)
def test_gradient_refuses_what_it_cannot_answer(doc: Told, after: int | None, message: str) -> None:
    if message == "a smaller model":  # by arithmetic alone: nothing of that size is built
        bare = Bare.open(doc, silent)
        assert bare.affords(gradient._SECONDS["whole"]) / bare.operations(1) < 64
        return
    with pytest.raises(UsageError, match=message):
        gradient.run({"preset": doc, "after": after}, silent)


# ---------------------------------------------------------------------------------------------- last position


def test_the_last_target_alone_teaches_less() -> None:
    phases: list[str] = []
    told = last_position.run({"preset": STREAM, "steps": 40}, lambda **told: phases.append(told["phase"]))
    every, last = told["curves"]["all"], told["curves"]["last"]
    assert every[0] == last[0]  # the same weights, the same validation rows
    assert [point[0] for point in every] == [0, 10, 20, 30, 40]
    assert every[-1][1] < last[-1][1]
    assert every[-1][1] < every[0][1]
    assert told["own"]
    assert told["steps"] == 40
    assert {"training on all targets", "training on the last target"} <= set(phases)


def test_all_targets_is_what_a_run_trains_on(train: Any) -> None:
    """The first update's loss of a real run of the preset, from the trial's own pieces."""
    ran = train(STREAM)
    told = last_position.run({"preset": STREAM, "steps": 40}, silent)
    evaluated = [e["val_loss"] for e in ran.of("eval") if e["step"] == 40]
    assert told["curves"]["all"][-1][1] == pytest.approx(evaluated[0], abs=0.15)  # other validation rows


@pytest.mark.parametrize(
    ("doc", "message"),
    [
        (MLP, "use a preset of layout stream"),
        (document(STREAM, data={"text": "To be or not to be.", "val_fraction": 0.0}), "needs a row of 9"),
        (document(STREAM, data={"text": LINES[:60], "val_fraction": 0.1}), "there are 6 tokens"),
    ],
)
def test_last_position_refuses_what_has_no_answer(doc: Told, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        last_position.run({"preset": doc, "steps": None}, silent)
