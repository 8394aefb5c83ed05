"""The learning rate: golden tables, its ends to the bit, and its shape whatever the settings."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_runs import GPT, Train, document

from workbench.plan.schedule import curve, lr, lr_of
from workbench.preset import apply, from_document

KINDS = ["cosine", "constant", "step", "wsd"]


def every(kind: str, steps: int, warmup: int, **more: Any) -> list[float]:
    settings = {"peak": 1.0, "min_lr": 0.1, **more}
    return [lr(s, kind=kind, steps=steps, warmup=warmup, **settings) for s in range(steps)]


@pytest.mark.parametrize(
    ("kind", "steps", "warmup", "more", "expected"),
    [
        # Ten steps, four of warmup: progress is 0 at record 3 and 1 at record 9, in sixths.
        (
            "cosine",
            10,
            4,
            {},
            [
                *(0.25, 0.5, 0.75, 1.0),
                *(0.1 + 0.45 * (1 + math.cos(math.pi * k / 6)) for k in (1, 2, 3, 4, 5)),
                0.1,
            ],
        ),
        ("cosine", 5, 0, {}, [1.0, 0.1 + 0.45 * (1 + math.sqrt(0.5)), 0.55, 0.1 + 0.45 * (1 - math.sqrt(0.5)), 0.1]),
        ("cosine", 5, 1, {}, [1.0, 0.1 + 0.45 * (1 + math.sqrt(0.5)), 0.55, 0.1 + 0.45 * (1 - math.sqrt(0.5)), 0.1]),
        ("cosine", 1, 0, {}, [1.0]),
        ("cosine", 1, 1, {}, [1.0]),
        ("cosine", 2, 0, {}, [1.0, 0.1]),
        ("cosine", 4, 4, {}, [0.25, 0.5, 0.75, 1.0]),
        ("cosine", 3, 6, {}, [1 / 6, 2 / 6, 3 / 6]),
        ("constant", 4, 2, {}, [0.5, 1.0, 1.0, 1.0]),
        ("constant", 3, 0, {}, [1.0, 1.0, 1.0]),
        ("step", 6, 0, {"milestones": (2, 4), "gamma": 0.5}, [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]),
        ("step", 4, 2, {"milestones": (1,), "gamma": 0.5}, [0.5, 0.5, 0.5, 0.5]),
        ("step", 3, 0, {"milestones": (3,), "gamma": 0.5}, [1.0, 1.0, 1.0]),
        # The last two of ten fall: halfway, then min_lr.
        ("wsd", 10, 2, {}, [0.5, *[1.0] * 7, 0.55, 0.1]),
        ("wsd", 10, 0, {"decay_fraction": 0.5}, [*[1.0] * 5, 0.82, 0.64, 0.46, 0.28, 0.1]),
        ("wsd", 4, 0, {"decay_fraction": 1.0}, [1.0, 0.7, 0.4, 0.1]),
        ("wsd", 6, 4, {"decay_fraction": 1.0}, [0.25, 0.5, 0.75, 1.0, 0.55, 0.1]),
        ("wsd", 5, 0, {"decay_fraction": 1e-9}, [1.0, 1.0, 1.0, 1.0, 0.1]),
        ("wsd", 1, 0, {}, [1.0]),
        ("wsd", 3, 3, {}, [1 / 3, 2 / 3, 1.0]),
    ],
)
def test_golden_tables(kind: str, steps: int, warmup: int, more: dict[str, Any], expected: list[float]) -> None:
    assert every(kind, steps, warmup, **more) == pytest.approx(expected, rel=1e-12)


def test_the_run_of_the_lessons() -> None:
    preset = from_document({}, source="defaults")
    assert lr_of(preset, 0) == pytest.approx(1e-5)
    assert lr_of(preset, 99) == 1e-3
    assert lr_of(preset, 100) < 1e-3
    assert lr_of(preset, 2549) == pytest.approx(5.5e-4, rel=1e-12)  # halfway from record 99 to 4999
    assert lr_of(preset, 4999) == 1e-4


def test_makemores_two_rates() -> None:
    rates = every("step", 30_000, 0, peak=0.1, milestones=(20_000,), gamma=0.1)
    assert rates[:20_000] == [0.1] * 20_000
    assert rates[20_000:] == pytest.approx([0.01] * 10_000, rel=1e-12)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="expected cosine, constant, step or wsd"):
        lr(0, kind="linear", peak=1, min_lr=0, steps=1, warmup=0)


def rates() -> st.SearchStrategy[float]:
    return st.floats(0, 10**6, allow_subnormal=False)


@st.composite
def schedules(draw: st.DrawFn) -> dict[str, Any]:
    steps = draw(st.integers(1, 60))
    peak = draw(rates())
    return {
        "kind": draw(st.sampled_from(KINDS)),
        "peak": peak,
        "min_lr": draw(st.floats(0, 1)) * peak,
        "steps": steps,
        "warmup": draw(st.integers(0, steps)),
        "milestones": tuple(sorted(draw(st.sets(st.integers(1, steps), max_size=3)))),
        "gamma": draw(st.floats(0, 1, exclude_min=True)),
        "decay_fraction": draw(st.floats(0, 1, exclude_min=True)),
    }


@settings(max_examples=400, deadline=None)
@given(schedules())
def test_it_rises_through_warmup_never_after_and_meets_its_ends_exactly(schedule: dict[str, Any]) -> None:
    N, W, peak = schedule["steps"], schedule["warmup"], schedule["peak"]
    rates = [lr(s, **schedule) for s in range(N)]
    rounding = 1e-14 * peak
    # What `step` does at a milestone within warmup is a drop, so its rise is not asked for.
    if schedule["kind"] != "step":
        assert all(b >= a - rounding for a, b in pairwise(rates[:W]))
        assert rates[max(W, 1) - 1] == pytest.approx(peak, rel=1e-15, abs=0)
    assert all(b <= a + rounding for a, b in pairwise(rates[max(W, 1) - 1 :]))
    assert all(0 <= rate <= peak + rounding for rate in rates)
    if schedule["kind"] in ("cosine", "wsd") and max(W, 1) < N:
        assert rates[-1] == schedule["min_lr"]
        assert lr(N + 7, **schedule) == schedule["min_lr"]


def test_a_chart_has_the_very_floats_of_training() -> None:
    for kind in KINDS:
        preset = apply(from_document({}, source="defaults"), {"schedule.kind": kind, "schedule.steps": 300})
        columns = np.array([0, 5, 99, 100, 101, 250, 299])
        drawn = curve(preset, columns)
        assert drawn.dtype == np.float64
        assert drawn.tolist() == [lr_of(preset, int(step)) for step in columns]


@pytest.mark.parametrize(
    "keys",
    [
        {"kind": "cosine", "warmup": 5},
        {"kind": "cosine", "warmup": 0},
        {"kind": "constant", "warmup": 3},
        {"kind": "step", "warmup": 2, "milestones": [8, 15], "gamma": 0.5},
        {"kind": "wsd", "warmup": 4, "decay_fraction": 0.4},
    ],
    ids=lambda keys: f"{keys['kind']}, warmup {keys['warmup']}",
)
def test_a_run_takes_the_lr_that_the_plan_draws(train: Train, keys: dict[str, Any]) -> None:
    doc = document(GPT, schedule={"steps": 20, **keys}, eval__every=0, sample__every=0, optimizer={"lr": 2e-3})
    ran = train(doc, at_start=[{"command": "set", "at": 12, "changes": {"optimizer.lr": 4e-3}}])
    before = from_document(doc, source="test")
    after = apply(before, {"optimizer.lr": 4e-3})
    expected = [*curve(before, np.arange(12)), *curve(after, np.arange(12, 20))]
    assert ran.records["lr"].tolist() == expected  # to the bit
