"""lr by rule when tokens a step change, and schedules rescaled whole."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import preset as presets
from workbench.plan import scaling, schedule
from workbench.plan.scaling import default_rule, lr_factor, rescaled, scaled_lr, why
from workbench.preset import PresetError


@pytest.mark.parametrize(("rule", "lr"), [("none", 3e-4), ("linear", 1.2e-3), ("sqrt", 6e-4)])
def test_from_16K_to_64K_tokens(rule: scaling.Rule, lr: float) -> None:
    assert scaled_lr(3e-4, 65_536 / 16_384, rule) == lr


@given(st.floats(1e-3, 1e3), st.sampled_from(scaling.RULES))
def test_going_back_undoes_it(factor: float, rule: scaling.Rule) -> None:
    assert lr_factor(factor, rule) * lr_factor(1 / factor, rule) == pytest.approx(1)


def test_the_default_is_the_square_root_but_for_sgd_and_each_says_why_and_who_says_so() -> None:
    assert {kind: default_rule(kind) for kind in ("adamw", "muon", "sgd")} == {
        "adamw": "sqrt", "muon": "sqrt", "sgd": "linear",
    }  # fmt: skip
    assert set(presets.KEYS["optimizer.kind"].choices) == {"adamw", "muon", "sgd"}
    assert "2205.10287" in why("adamw")
    assert "not for Muon" in why("muon")
    assert "1706.02677" in why("sgd")
    assert all("linear" in why(k) if default_rule(k) == "linear" else "square root" in why(k) for k in ("sgd", "adamw"))


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="none, linear, sqrt"):
        lr_factor(2, "cubic")  # type: ignore[arg-type]


def test_names_at_32_times_the_steps_keeps_every_proportion() -> None:
    p = presets.load("names").preset
    r = rescaled(p, 32, 1 / 32)
    assert r.notes == []
    assert presets.changes(p, r.preset) == {
        "optimizer.lr": (0.1, 0.003125),
        "schedule.steps": (30_000, 960_000),
        "schedule.milestones": ((20_000,), (640_000,)),
        "eval.every": (2000, 64_000),
        "checkpoint.every": (5000, 160_000),
        "sample.every": (5000, 160_000),
    }


def test_min_lr_goes_with_lr_where_the_schedule_ends_there() -> None:
    p = presets.load("char").preset
    changed = presets.changes(p, rescaled(p, Fraction(1, 4), 2).preset)
    assert changed["optimizer.lr"] == (2e-3, 4e-3)
    assert changed["schedule.min_lr"] == (2e-4, 4e-4)
    assert changed["schedule.warmup"] == (100, 25)
    assert changed["schedule.steps"] == (1000, 250)


@pytest.mark.parametrize("kind", ["cosine", "wsd"])
def test_the_curve_keeps_its_shape(kind: str) -> None:
    """At the same share of the way every lr is the old one times the factor, but for what one step is long."""
    p = presets.apply(presets.load("char").preset, {"schedule.kind": kind})
    long = rescaled(p, 4, 0.5).preset
    at = np.arange(p.schedule.steps)
    ours = schedule.curve(long, 4 * at + 3)
    assert np.allclose(ours, 0.5 * schedule.curve(p, at), rtol=0, atol=0.01 * p.optimizer.lr)
    assert schedule.lr_of(long, long.schedule.steps - 1) == pytest.approx(0.5 * p.schedule.min_lr)


def test_what_rounding_moves_is_told_and_what_a_float_cannot_say_is_not() -> None:
    p = presets.apply(presets.load("char").preset, {"schedule.steps": 900, "schedule.warmup": 9, "eval.every": 90})
    r = rescaled(p, 1 / 3)
    assert (r.preset.schedule.steps, r.preset.schedule.warmup, r.preset.eval.every) == (300, 3, 30)
    assert [note.split(":")[0] for note in r.notes] == ["checkpoint.every", "sample.every"]
    assert "83.3333 is not whole: 83" in r.notes[0]


def test_what_is_off_stays_off_and_what_is_on_stays_on() -> None:
    p = presets.apply(presets.load("char").preset, {"schedule.warmup": 0, "eval.every": 0, "sample.every": 3})
    after = rescaled(p, Fraction(1, 100)).preset
    assert (after.schedule.warmup, after.eval.every, after.sample.every) == (0, 0, 1)


@given(st.fractions(Fraction(1, 500), 500))
def test_any_factor_makes_a_preset_with_warmup_within_its_steps(factor: Fraction) -> None:
    p = presets.load("char").preset
    after = rescaled(p, factor).preset.schedule
    assert after.steps == max(1, math.floor(1000 * factor + Fraction(1, 2)))
    assert after.warmup <= after.steps


def test_milestones_that_fall_on_one_step_are_refused_not_merged() -> None:
    p = presets.apply(presets.load("names").preset, {"schedule.milestones": (20_000, 20_001)})
    with pytest.raises(PresetError, match="milestones"):
        rescaled(p, Fraction(1, 100))


@pytest.mark.parametrize("factors", [(0, 1), (-1, 1), (1, 0)])
def test_factors_are_over_0(factors: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="over 0"):
        rescaled(presets.load("char").preset, *factors)
