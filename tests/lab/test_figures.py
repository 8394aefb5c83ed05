"""What a run measured: known figures of made runs, a real run's own, and a million records in little memory."""

import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import MLP, Train, document

from tests.lab.made_runs import TRAIN, VOCAB, made, preset
from workbench.lab import figures as f
from workbench.plan import flops
from workbench.runs.records import DTYPE


def test_the_end_of_a_run_is_its_last_tenth_and_at_most_500_records(tmp_path: Path) -> None:
    assert [f.last_records(n) for n in (1, 10, 11, 1000, 5000, 1_000_000)] == [1, 1, 2, 100, 500, 500]
    losses = [5.0] * 90 + [2.0] * 5 + [3.0] * 5
    run = made(tmp_path, preset(), losses)
    assert f.figures(run)["loss"] == pytest.approx(2.5)
    assert f.figures(run)["loss_0"] == 5.0


def test_noise_is_about_the_line_and_not_about_the_mean(tmp_path: Path) -> None:
    x = np.arange(100.0)
    line = made(tmp_path, preset(), (3 - 0.01 * x).tolist())
    assert f.noise(line) == pytest.approx(0, abs=1e-6)
    wobble = np.random.default_rng(1).standard_normal(100)
    noisy = made(tmp_path, preset(), (3 - 0.01 * x + wobble).tolist())
    residual = wobble - np.polyval(np.polyfit(x, wobble, 1), x)
    assert f.noise(noisy) == pytest.approx(math.sqrt((residual**2).sum() / 98), rel=1e-9)
    assert f.noise(noisy, -2) is None


def test_every_figure_of_a_made_run(tmp_path: Path) -> None:
    p = preset(batch__B=4, batch__T=16, optimizer__clip=1.0)
    val: dict[int, float | None] = {0: 3.3, 40: 2.0, 80: 1.5, 100: 1.7}
    run = made(tmp_path, p, [2.0] * 100, val=val, norms=[0.5] * 50 + [2.0] * 50)
    told = f.figures(run)
    a_token = flops.per_token(p, VOCAB)
    expected = {
        "steps": 100, "tokens": 6400, "seconds": 50, "tokens_per_s": 128, "tokens_per_step": 64, "epochs": 6400 / TRAIN,
        "steps_per_epoch": TRAIN / 64, "val_loss": 1.7, "val_step": 100, "train_loss": 1.6, "gap": 0.1,
        "val_loss_0": 3.3, "best_val": 1.5, "best_val_step": 80, "clipped": 0.5, "clip_coefficient": 0.75,
        "lr": p.optimizer.lr, "flops": 6400 * a_token, "flops_per_token": a_token, "ln_V": math.log(VOCAB),
        "params": 100, "spikes": 0,
    }  # fmt: skip
    assert {name: told[name] for name in expected} == pytest.approx(expected)
    assert (f.steps_to(run, 2.0), f.steps_to(run, 5.0), f.steps_to(run, 1.0)) == (40, 0, None)
    assert f.mean_loss(run, 10, 10) is None


def test_an_edit_of_t_or_clip_counts_from_its_step(tmp_path: Path) -> None:
    p = preset(batch__B=4, batch__T=16, optimizer__clip=1.0)
    run = made(tmp_path, p, [2.0] * 100, norms=[4.0] * 100, edits={50: {"batch.T": 8}, 75: {"optimizer.clip": 2.0}})
    told = f.figures(run)
    short = flops.per_token(preset(batch__B=4, batch__T=8, model__context=16, optimizer__clip=1.0), VOCAB)
    assert short < flops.per_token(p, VOCAB)
    assert told["tokens"] == 50 * 64 + 50 * 32
    assert told["flops"] == 50 * 64 * flops.per_token(p, VOCAB) + 50 * 32 * short
    assert told["clip_coefficient"] == pytest.approx(0.75 * 0.25 + 0.25 * 0.5)
    assert f.steps_at(run, "flops", 50 * 64 * flops.per_token(p, VOCAB)) == 50
    assert f.steps_at(run, "tokens", 50 * 64 + 32 * 10) == 60
    assert f.steps_at(run, "seconds", 1e9) == 100


def test_what_is_not_there_is_left_out(tmp_path: Path) -> None:
    nothing = f.figures(made(tmp_path, preset(), [], weights=None))
    assert nothing["steps"] == 0
    assert not nothing.keys() & {"loss", "noise", "val_loss", "gap", "flops"}
    wild = made(tmp_path, preset(), [3.0] * 99 + [math.nan], val={100: None}, state="diverged")
    told = f.figures(wild)
    assert not told.keys() & {"loss", "noise", "val_loss", "best_val"}
    assert all(math.isfinite(value) for value in told.values())


def test_a_real_runs_figures_are_its_own(train: Train) -> None:
    ran = train(document(MLP))
    told, records = f.figures(ran.path), ran.records
    last, start = ran.of("eval")[-1], ran.of("start")[0]
    assert told["loss"] == pytest.approx(records["loss"][-4:].mean())
    assert (told["val_loss"], told["train_loss"]) == (last["val_loss"], last["train_loss"])
    assert (told["tokens"], told["steps_per_epoch"]) == (320, start["train_examples"] / 8)
    assert len(start["weights"]) == 64


def test_a_million_records_in_little_memory(tmp_path: Path) -> None:
    run = made(tmp_path, preset(), [2.0] * 100)
    one = np.fromfile(run / "steps.bin", DTYPE)
    with (run / "steps.bin").open("wb") as file:
        for begin in range(0, 1_000_000, 100):
            one["step"] = np.arange(begin, begin + 100)
            file.write(one.tobytes())
    tracemalloc.start()
    told = f.figures(run)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert told["steps"] == 1_000_000
    assert peak < 20e6
