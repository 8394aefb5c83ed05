"""A knob's less and more, and what its value comes to: as the plan has it, in the draft and in what is staged."""

import math
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench import preset as presets
from workbench.plan import memory, parameters, schedule
from workbench.preset import PresetError
from workbench.screen.bench.bench import Bench
from workbench.screen.bench.edits import flat
from workbench.screen.frame.units import amount
from workbench.screen.knobs import consequences, knobs

SHIPPED = sorted(presets.shipped())


# --------------------------------------------------------------------------------------- less and more


@pytest.mark.parametrize("name", SHIPPED)
def test_every_knob_of_every_preset_is_listed_and_has_its_less_and_more(name: str) -> None:
    """The most turned first. What the other settings do not bear is refused, in one direction at most."""
    preset = presets.load(name).preset
    live, dead = knobs.keys_of(preset)
    assert [key.name for key in live[:4]] == ["batch.B", "batch.T", "batch.accum", "optimizer.lr"]
    assert all(key.live for key in live)
    assert not any(key.live for key in dead)
    listed = {key.name for key in (*live, *dead)}
    assert listed == {"data.text"} | flat(preset).keys() - {"format"}
    moved = set()
    for key in (*live, *dead):
        for by in (1, -1):
            changes = knobs.nudged(preset, key.name, by)
            with suppress(PresetError):
                after = presets.apply(preset, changes)
                moved |= {key.name} if presets.get(after, key.name) != presets.get(preset, key.name) else set()
    still = {name for name in listed if not knobs.can_nudge(name)}
    alone = {"model.norm"} if preset.batch.B == 1 else set()  # no batch norm over a single row
    assert not listed - still - moved - {"model.kind", "data.layout"} - alone


@settings(deadline=None, max_examples=25)
@given(st.floats(1e-7, 10), st.integers(1, 12))
def test_lr_goes_up_and_down_the_same_stairs(lr: float, times: int) -> None:
    preset = presets.apply(presets.load("to-be").preset, {"optimizer.lr": lr, "schedule.min_lr": 0.0})
    seen = []
    for _ in range(times):
        preset = presets.apply(preset, knobs.nudged(preset, "optimizer.lr", 1))
        seen.append(preset.optimizer.lr)
    assert all(b > a for a, b in pairwise(seen))
    for value in reversed(seen[:-1]):
        preset = presets.apply(preset, knobs.nudged(preset, "optimizer.lr", -1))
        assert preset.optimizer.lr == value


def test_lr_takes_min_lr_down_with_it_and_never_reaches_zero() -> None:
    preset = presets.load("char").preset
    for _ in range(60):
        preset = presets.apply(preset, knobs.nudged(preset, "optimizer.lr", -1) or {})
    assert preset.optimizer.lr == preset.schedule.min_lr == 1e-8


@pytest.mark.parametrize(
    ("name", "key", "by", "value"),
    [
        ("char", "batch.B", 1, 96), ("char", "batch.B", -1, 24), ("to-be", "batch.accum", -1, None),
        ("char", "model.heads", 1, 8), ("char", "model.heads", -1, 2), ("char", "schedule.steps", 1, 2000),
        ("char", "eval.every", 1, 500), ("char", "optimizer.clip", -1, 0.5), ("char", "sample.temperature", 1, 0.9),
        ("char", "model.bias", 1, True), ("char", "data.order", 1, "sequential"),
        ("char", "data.order", -1, "shuffled"), ("to-be", "data.val_fraction", -1, None),
        ("char", "data.val_fraction", 1, 0.15), ("char", "model.context", 1, 128),
        ("char", "data.tokenizer", 1, "byte"),
        ("char", "model.kind", 1, "bigram"), ("char", "optimizer.betas", 1, None),
    ],
)  # fmt: skip
def test_a_step_of_a_knob(name: str, key: str, by: int, value: Any) -> None:
    """model.kind skips mlp, which a stream cannot feed."""
    assert knobs.nudged(presets.load(name).preset, key, by).get(key) == value


# --------------------------------------------------------------------------------------- consequences


def found(bench: Bench) -> dict[str, consequences.Consequence]:
    return {c.label: c for c in consequences.consequences(bench, bench.as_new, bench.proposed)}


def test_the_figures_are_those_of_the_plan(bench: Any) -> None:
    it = bench("to-be")
    told = found(it)
    assert told["B·T·accum"].before == "4·8·1 = 32"
    assert told["an epoch"].before == "0.594 steps; 337 planned"
    assert told["parameters"].before == f"{parameters.total(parameters.itemise(it.draft.model, 9, 8)):,}"
    assert told["memory"].note == "estimated"
    assert told["memory"].before == amount(parameters.total(memory.estimate(it.draft, 9)))
    assert consequences.sentence(it, it.proposed) == (
        "each step reads 32 characters, 168% of the text; 200 steps = 337 epochs"
    )


def test_windows_count_rows_and_examples(bench: Any) -> None:
    it = bench(
        {
            "data": {"text": "ab\ncd\nef\n" * 20, "layout": "windows"},
            "model": {"kind": "mlp"},
            "batch": {"B": 5, "T": 3},
        }
    )
    assert found(it)["B·accum"].before == "5·1 = 5"
    assert "5 examples" in consequences.sentence(it, it.proposed)


def test_ranks_are_a_factor(bench: Any) -> None:
    assert found(bench("to-be", world=2))["B·T·accum·world"].before == "4·8·1·2 = 64"


def test_what_is_staged_shows_both_and_when_it_acts(bench: Any, made_run: Any) -> None:
    it = bench(run=made_run(records=50, state="running", edit=False))
    it.changed(it.run, it.run.look())
    assert consequences.acts(it) == ""
    it.change({"batch.B": 8})
    it.change({"optimizer.lr": 5e-4})
    told = found(it)
    assert (told["B·T·accum"].before, told["B·T·accum"].after) == ("4·16·1 = 64", "8·16·1 = 128")
    lr = told["lr at 50"]
    assert lr.before.endswith("of peak 1e-3")
    assert lr.after.endswith("of peak 5e-4")
    assert math.isclose(float(lr.after.split()[0]), schedule.lr_of(it.proposed, 50), rel_tol=5e-3)
    assert told["parameters"].after == ""
    assert "acts at the next step" in consequences.acts(it)
    it.change({"model.width": 32})
    assert "model.width: needs a new run; the other 2 could act at the next step" in consequences.acts(it)
    assert found(it)["parameters"].after != ""


def test_a_shorter_t_makes_a_running_model_no_smaller(bench: Any, made_run: Any) -> None:
    """Its positions are embedded up to its context; a new run of the same T would have fewer of them."""
    it = bench(run=made_run(records=50, state="running", edit=False))
    it.changed(it.run, it.run.look())
    vocab = it.text.corpus.tokenizer.vocab_size
    as_built = f"{parameters.total(parameters.itemise(it.now.model, vocab, 16)):,}"
    it.change({"batch.T": 8})
    told = found(it)
    assert (told["parameters"].before, told["parameters"].after) == (as_built, "")
    it.change({"model.bias": True})
    fewer = parameters.total(parameters.itemise(it.proposed.model, vocab, 8))
    assert (found(it)["parameters"].before, found(it)["parameters"].after) == (as_built, f"{fewer:,}")
