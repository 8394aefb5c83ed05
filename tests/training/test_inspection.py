"""A step seen from inside: what is told of its micro-batches, what `inspect` answers, and that neither moves a bit."""

import math
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tiny_runs import GPT, MLP, Ran, Train, bits, document, weights

from workbench.runs import commands, inspections, status
from workbench.runs.inspections import Inspected
from workbench.runs.status import Status
from workbench.training import inspection
from workbench.training.inspection import Inspection, MicroBatches

ACCUM = 3
DOC = document(GPT, batch__accum=ACCUM, batch__B=3, schedule__steps=12, eval__every=0, sample__every=0,
               checkpoint__every=0, optimizer__clip=0.1, model__dropout=0.1)  # fmt: skip


class Stepper(threading.Thread):
    """A person at the Step pane: waits for the pause, inspects the next step, takes it by micro-batches."""

    def __init__(self, runs: Path) -> None:
        super().__init__(daemon=True)
        self._runs = runs
        self.seen: list[Status] = []
        """After each micro-batch, and when the step is done."""
        self.file = ""
        self.weights: list[dict[str, Any]] = []
        """Before the step and after it."""

    def run(self) -> None:
        paused = self._until(lambda s: s.state == "paused")
        run = next(self._runs.iterdir())
        self._save(run)
        inspect = commands.send(run, "inspect")
        for micro in range(1, ACCUM + 1):
            commands.send(run, "step", micro=True)
            self.seen.append(self._until(lambda s, m=micro: s.inside is not None and s.inside["micro"] == m))
        commands.send(run, "step", micro=True)  # and now the update
        self.seen.append(self._until(lambda s: s.inside is None and s.step == paused.step + 1))
        self.file = commands.wait(run, inspect, timeout=60)["file"]
        self._save(run)
        commands.send(run, "unpause")

    def _save(self, run: Path) -> None:
        n = commands.wait(run, commands.send(run, "save"), timeout=60)["step"]
        self.weights.append(load_file(run / "checkpoints" / f"step-{n:08d}" / "model.safetensors"))

    def _until(self, what: Any) -> Status:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for run in self._runs.glob("*"):
                told = status.read(run)
                if told and what(told):
                    return told
            time.sleep(0.005)
        raise AssertionError("it did not become true in time")


@pytest.fixture
def stepped(train: Train, tmp_path: Path) -> tuple[Ran, Stepper]:
    stepper = Stepper(tmp_path / "runs")
    stepper.start()
    ran = train(DOC, at_start=[{"command": "pause", "at": 5}])
    stepper.join()
    return ran, stepper


def test_a_step_in_micro_batches_and_inspected_has_the_same_bits(stepped: tuple[Ran, Stepper], train: Train) -> None:
    ran, stepper = stepped
    told = inspections.read(ran.path, stepper.file)
    plain = train(DOC)
    assert bits(ran.records) == bits(plain.records)
    assert weights(ran.path) == weights(plain.path)

    *inside, after = stepper.seen
    assert [s.state for s in inside] == ["paused"] * ACCUM
    assert after.state == "paused"  # the step is over, and the run still waits
    for n, s in enumerate(inside, start=1):
        assert s.inside == {"micro": n, "accum": ACCUM, "first": 0, "losses": told.micro_losses[:n].tolist(),
                            "norms": told.micro_norms[:n].tolist()}  # fmt: skip
        assert s.phase == f"after micro-batch {n} of {ACCUM}"

    record = ran.records[5]
    assert (told.step, told.rows_before) == (5, record["rows_before"])
    assert (told.loss, told.grad_norm, told.lr) == (record["loss"], record["grad_norm"], record["lr"])
    assert (told.B, told.T, told.accum, told.world) == (3, 16, ACCUM, 1)
    assert told.losses.shape == told.x.shape == told.y.shape == (9, 16)
    assert told.guesses.shape == told.chances.shape == (9, 16, 5)
    own = told.losses.astype("f8").reshape(ACCUM, -1).mean(1)  # of each micro-batch, from its cells
    assert told.micro_losses == pytest.approx(own, rel=1e-6)
    assert told.micro_losses.mean() == pytest.approx(told.loss, rel=1e-6)
    assert told.micro_norms[-1] == told.grad_norm
    assert told.micro_norms.dtype == np.float64
    assert told.clip_coefficient == pytest.approx(0.1 / told.grad_norm)
    before, now = stepper.weights
    moved = math.sqrt(sum(float(((now[k] - before[k]).astype("f8") ** 2).sum()) for k in before))
    size = math.sqrt(sum(float((before[k].astype("f8") ** 2).sum()) for k in before))
    assert told.update_ratio == pytest.approx(moved / size, rel=1e-4)


def read(ran: Ran, n: int = 0) -> Inspected:
    return inspections.read(ran.path, ran.answers(n)[-1]["file"])


def test_weights_too_large_to_copy_have_no_ratio(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "LARGEST_COPY", 1000)
    assert read(train(DOC, at_start=[{"command": "inspect", "at": 2}])).update_ratio is None


def test_windows_have_one_target_a_row_and_a_step_that_diverges_is_still_told(train: Train) -> None:
    # With plain SGD and no clip the update is lr·g.
    wild = document(MLP, optimizer__lr=0.5, schedule__milestones=[])
    told = read(train(wild, at_start=[{"command": "inspect", "at": 4}]))
    assert (told.losses.shape, told.y.shape, told.guesses.shape) == ((8,), (8,), (8, 5))
    assert told.clip_coefficient == 1.0
    assert told.micro_losses.tolist() == pytest.approx([told.loss], rel=1e-6)

    broken = document(GPT, optimizer={"kind": "sgd", "lr": 1e6, "clip": 0.0}, schedule__warmup=0, eval__every=0,
                      sample__every=0)  # fmt: skip
    ran = train(broken, at_start=[{"command": "inspect", "at": n} for n in range(1, 40)])
    assert ran.outcome.state == "diverged"
    last = int(ran.records["step"][-1])
    told = read(ran, last - 1)
    assert not math.isfinite(told.loss) or not math.isfinite(told.grad_norm)
    assert told.update_ratio == 0  # it was not applied


def test_an_inspection_that_no_step_follows_is_answered(train: Train) -> None:
    ran = train(DOC, at_start=[{"command": "inspect", "at": 4}, {"command": "stop", "at": 4}])
    assert ran.outcome.state == "stopped"
    assert ran.answers(0)[-1]["state"] == "expired"
    assert not list((ran.path / "commands").glob("*.json"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_guesses_made_in_parts_are_those_of_the_whole(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    B, T, V = 3, 5, 11
    logits = torch.randn(B, T, V, generator=torch.Generator().manual_seed(1)).to(dtype)
    monkeypatch.setattr(inspection, "CHUNK", 4 * V * 4)  # four rows of 15 at a time
    parts = Inspection(top=3)
    parts.losses(logits, torch.zeros(B, T))
    chances, guesses = logits.float().softmax(-1).topk(3, dim=-1)
    assert torch.equal(parts._guesses[0], guesses)
    assert torch.equal(parts._chances[0], chances)


def test_what_is_told_inside_is_bounded_and_holds_no_nan() -> None:
    """status.json is strict JSON, and is written at every micro-batch."""
    micro = MicroBatches(accum=1000)
    micro.losses, micro.norms = [float(n) for n in range(100)], [math.nan, math.inf] * 50
    told = micro.told()
    assert (told["micro"], told["accum"], told["first"]) == (100, 1000, 36)
    assert told["losses"] == [float(n) for n in range(36, 100)]
    assert told["norms"] == [None] * 64
