"""The Step pane: the worker's own figures, micro-batch by micro-batch, beside the loop that runs."""

import math
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.pilot import Pilot

from workbench import preset as presets
from workbench.runs import commands
from workbench.runs.events import EventLog, event
from workbench.screen.batch.pane import Batch
from workbench.screen.pane import Pane
from workbench.screen.step import lines as step_lines
from workbench.screen.step.one_step import OneStep, splitting_matters
from workbench.screen.step.pane import Step

ACCUM = 8
DOCUMENT: dict[str, Any] = {
    "name": "tiny",
    "data": {"text": "".join(f"{n} times {m} is {n * m}.\n" for n in range(1, 30) for m in range(1, 30))},
    "batch": {"B": 3, "T": 16, "accum": ACCUM},
    "model": {"layers": 1, "heads": 1, "width": 16},
    "schedule": {"steps": 100_000, "warmup": 5},
    "eval": {"every": 0},
    "sample": {"every": 0},
    "checkpoint": {"every": 0},
    "device": {"name": "cpu", "threads": 1},
}


def drawn(pane: Pane) -> list[str]:
    """What a person reads in it."""
    return [pane.render_line(y).text for y in range(pane.size.height)]


def pane(pilot: Pilot[int]) -> Step:
    return pilot.app.screen.query_one(Step)


def step_of(losses: tuple[float, ...], norms: tuple[float, ...], accum: int, **more: Any) -> OneStep:
    return OneStep(7, presets.load("to-be").preset, accum, losses=losses, norms=norms, **more)


def text(lines: Any) -> list[str]:
    return ["".join(t for t, _ in line) for line in lines]


async def until(pilot: Pilot[int], what: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not become true in time"
        await pilot.pause(0.03)


# ------------------------------------------------------------------------------- the arithmetic


def test_three_losses_make_a_mean_and_their_gradients_are_told_divided_and_undivided() -> None:
    losses, gradients = text(step_lines.totals(step_of((2.5, 2.3, 2.4), (0.1, 0.2, 0.3), 3)))
    assert losses == "losses    2.5000 + 2.3000 + 2.4000 = 7.2000 → / 3 = 2.4000 = the step's loss"
    assert gradients == "gradients added up 0.9000 → / 3 = 0.3000"


def test_half_a_step_is_not_told_as_a_whole_one() -> None:
    losses, gradients = text(step_lines.totals(step_of((2.0, 3.0), (0.1, 0.2), 8, under_way=True)))
    assert "/ 2 = 2.5000 after 2 of 8" in losses
    assert "added up 1.6000 → / 8 = 0.2000 after 2 of 8" in gradients


def test_what_is_not_finite_is_named() -> None:
    it = step_of((2.0, None), (0.1, None), 2)  # type: ignore[arg-type]
    assert math.isnan(it.mean)
    assert any("NaN" in line for line in text(step_lines.totals(it)))


def test_the_update_is_told_with_its_clip_coefficient() -> None:
    it = step_of((2.0,), (4.0,), 1, loss=2.0, grad_norm=4.0, clip_coefficient=0.25, lr=1e-3, update_ratio=2e-3)
    assert text(step_lines.update(it, 100)) == [
        "‖g‖ 4.0000 → clip min(1, 1/‖g‖) 0.2500 → lr 1.00e-3 → ‖Δw‖/‖w‖ 2.00e-3"
    ]
    assert max(map(len, text(step_lines.update(it, 40)))) <= 40


def test_the_lit_line_is_where_the_step_stands_and_values_stand_at_their_lines() -> None:
    it = step_of((2.0,), (4.0,), 1, stage="update", grad_norm=4.0, clip_coefficient=0.25, lr=1e-3, update_ratio=2e-3)
    lines = text(step_lines.code(it, 100, 40))
    (lit,) = [line for line in lines if line.startswith("▸")]
    assert "optimizer.step()" in lit
    assert lit.endswith("‖Δw‖/‖w‖ 2.00e-3")
    assert any("_foreach_mul_" in line and line.endswith("× 0.2500") for line in lines)
    assert all(len(line) <= 100 for line in lines)


def test_where_splitting_changes_the_result_it_is_said() -> None:
    plain = presets.load("to-be").preset
    assert splitting_matters(plain) == ""
    assert "dropout" in splitting_matters(presets.apply(plain, {"model.dropout": 0.1}))
    names = presets.load("names").preset
    assert splitting_matters(presets.apply(names, {"model.norm": "none"})) == ""
    assert "batch norm" in splitting_matters(presets.apply(names, {"model.norm": "batch"}))


@pytest.mark.parametrize("tall", [True, False])
def test_boxes_stand_in_a_row_and_eight_fit_into_80_columns(tall: bool) -> None:
    it = step_of((2.0, 123.456), (0.5, 1e7), 8, under_way=True)
    lines = text(step_lines.boxes(it, 0, 8, None, tall=tall))
    assert {len(line) for line in lines} == {72}
    assert lines[0].count("✓") == 2
    assert lines[0].count("▸") == 1, "the one in progress is marked"


# ------------------------------------------------------------------------------- on the screen


async def test_before_a_run_the_boxes_wait_and_the_loop_begins(app: Any) -> None:
    async with app(DOCUMENT, size=(80, 24)) as pilot:
        await pilot.press("3")
        lines = drawn(pane(pilot))
        assert "8 micro-batches of [3, 16]" in lines[0]
        assert all(f" {n} " in lines[1] for n in range(1, 9)), "all eight are visible at 80×24"
        assert any("▸ optimizer.zero_grad()" in line for line in lines)


async def test_many_micro_batches_scroll(app: Any) -> None:
    document = DOCUMENT | {"batch": {"B": 1, "T": 16, "accum": 100}}
    async with app(document, size=(80, 24)) as pilot:
        await pilot.press("3")
        assert any("micro-batches 1–8 of 100" in line for line in drawn(pane(pilot)))
        pane(pilot).action_cursor(99, 0)
        assert any("97–100 of 100" in line for line in drawn(pane(pilot)))
        assert "micro-batch 100" in pane(pilot).caption()
        await pilot.press("escape")
        assert any("1–8 of 100" in line for line in drawn(pane(pilot)))


async def test_a_record_alone_is_told_without_its_micro_batches(app: Any, made_run: Any) -> None:
    run = made_run(DOCUMENT | {"eval": {"every": 10}, "sample": {"every": 10}, "checkpoint": {"every": 10}}, records=30)
    async with app(run=run, size=(80, 24)) as pilot:
        await pilot.press("3")
        lines = drawn(pane(pilot))
        record = pilot.app.bench.run.curves.at(29)
        assert "step 29" in lines[0]
        assert any("not looked at" in line for line in lines)
        assert any(f"loss {record['loss']:.4f}" in line and f"‖g‖ {record['grad_norm']:.4f}" in line for line in lines)


async def test_a_step_before_an_edit_is_told_with_what_held_then(app: Any, made_run: Any) -> None:
    changes = {"batch.B": [4, 2], "batch.accum": [1, 8], "optimizer.clip": [1.0, 0.25]}
    edit = {"step": 30, "id": "e", "changes": changes, "base": {"row": 0, "token": 0, "epoch": 0}}
    async with app(run=made_run(records=30, state="running", edit=False, events=(("edit", edit),))) as pilot:
        await pilot.press("3")
        pilot.app.bench.step = 7
        pilot.app.screen.refresh_now("rows")
        lines = "\n".join(drawn(pane(pilot)))
        assert "step 7  1 micro-batch of [4, 16]" in lines
        assert "clip min(1, 1/‖g‖)" in lines


async def test_an_edit_that_is_heard_of_after_its_step_was_shown_is_told_with_it(app: Any, made_run: Any) -> None:
    """Events are read before records: a step may be shown a moment before the edit that it was made with."""
    run = made_run(records=30, state="running", edit=False)
    base = {"row": 0, "token": 0, "epoch": 0}
    async with app(run=run) as pilot:
        bench = pilot.app.bench
        await pilot.press("3")

        def clips(step: int) -> list[str]:
            bench.step = step
            pilot.app.screen.refresh_now("rows")
            return re.findall(r"clip min\(1, (\S+)/", "\n".join(drawn(pane(pilot))))

        assert clips(20) == ["1"]
        edit = event("edit", 0.2, step=20, id="e", changes={"optimizer.clip": [1.0, 0.25]}, base=base)
        EventLog(run).append(edit)
        await until(pilot, lambda: bench.run.of("edit"))
        assert clips(20) == ["0.25"]
        assert clips(19) == ["1"]


async def test_micro_batches_of_a_real_worker_fill_their_boxes(app: Any, workbench: Any, tmp_path: Path) -> None:
    """`.` four times against a process that trains: boxes 1 to 4 hold what it told; then `>` finishes the step."""
    file = tmp_path / "tiny.toml"
    file.write_text(presets.to_toml(presets.from_document(DOCUMENT, source="test")))
    workbench.start("--headless", str(file), "--json")
    workbench.until(lambda: (workbench.run() / "steps.bin").stat().st_size, timeout=60)
    commands.send(workbench.run(), "pause")
    async with app(run=workbench.run(), size=(80, 24)) as pilot:
        bench = pilot.app.bench
        await until(pilot, lambda: bench.run.state == "paused")
        await pilot.press("3")
        for done in range(1, 5):
            await pilot.press(".")
            await until(pilot, lambda n=done: (i := bench.run.status.inside) and i["micro"] == n)
        await pilot.pause(0.1)
        inside = bench.run.status.inside
        lines = drawn(pane(pilot))
        step = len(bench.run.curves)
        assert f"step {step:,} " in lines[0]
        assert "waits after 4 of 8" in lines[0]
        boxes = [cell.split("│") for cell in lines[2:4]]
        assert re.findall(r"\d+\.\d+", " ".join(boxes[0])) == [f"{loss:.4f}" for loss in inside["losses"]]
        assert [float(g) for g in re.findall(r"g (\S+)", " ".join(boxes[1]))] == pytest.approx(
            inside["norms"], abs=5e-4
        )
        assert lines[1].count("✓") == 4
        assert "5▸" in lines[1]
        assert any(line.lstrip().startswith("▸") and "watch(" in line for line in lines)

        await pilot.press(">")
        await until(pilot, lambda: bench.looking.latest is not None and bench.looking.latest.step == step)
        await until(pilot, lambda: len(bench.run.curves) > step)
        await pilot.pause(0.3)
        told = bench.looking.latest
        lines = drawn(pane(pilot))
        assert lines[1].count("✓") == ACCUM
        assert np.allclose(told.micro_losses[:4], inside["losses"])
        record = bench.run.curves.at(step)
        assert f"{record['loss']:.4f} = the step's loss" in " ".join(lines)
        assert told.micro_losses.mean() == pytest.approx(record["loss"], abs=1e-6)
        assert any(line.lstrip().startswith("▸ optimizer.step()") for line in lines)

        await pilot.press("2")
        await pilot.pause()
        batch = pilot.app.screen.query_one(Batch)
        assert f"hash {told.hash[:8]} ✓ worker" in batch.caption()
        assert abs(float(np.mean(told.losses, dtype=np.float64)) - record["loss"]) < 1e-6
        assert any(f"= logged {record['loss']:.4f} ✓" in line for line in drawn(batch))
