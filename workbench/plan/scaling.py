"""What goes with another number of tokens a step: the learning rate by a rule, and the schedule's lengths.

Runs of different batches are compared at equal tokens or equal seconds by giving each a schedule of its own
length, never by cutting one that was scheduled otherwise: a cosine that is cut ends far from its min_lr.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from workbench import preset as presets
from workbench.preset import Preset

Rule = Literal["none", "linear", "sqrt"]

RULES: tuple[Rule, ...] = ("none", "linear", "sqrt")

_DEFAULT: dict[str, tuple[Rule, str]] = {
    "adamw": (
        "sqrt",
        "square root for AdamW: it divides the gradient by its own root mean square, mostly noise that is √k "
        "smaller at k times the tokens, so a step is √k longer already and lr needs only the other √k "
        "(Malladi et al. 2022, arXiv:2205.10287)",
    ),
    "sgd": (
        "linear",
        "linear for SGD: k steps along nearly the same gradient come to one step k times as long "
        "(Goyal et al. 2017, arXiv:1706.02677)",
    ),
    "muon": (
        "sqrt",
        "square root for Muon: like Adam's, its updates have a size of their own whatever the gradient's, so "
        "Adam's rule is taken over (Malladi et al. 2022, arXiv:2205.10287, who derive it for Adam, not for Muon)",
    ),
}


def default_rule(kind: str) -> Rule:
    """The rule to start from for an optimizer.kind: sqrt for adamw and muon, linear for sgd."""
    return _DEFAULT[kind][0]


def why(kind: str) -> str:
    """One sentence: which rule is `default_rule(kind)`, its reason, and who derived it."""
    return _DEFAULT[kind][1]


def lr_factor(factor: float, rule: Rule) -> float:
    """What lr is multiplied with when tokens a step are multiplied with `factor`. ValueError for an unknown rule."""
    if rule not in RULES:
        raise ValueError(f"rule = {rule!r}: expected {', '.join(RULES)}")
    return {"none": 1.0, "linear": float(factor), "sqrt": math.sqrt(factor)}[rule]


def scaled_lr(lr: float, factor: float, rule: Rule) -> float:
    """`lr` for `factor` times the tokens a step: 3e-4 at factor 4 is 1.2e-3 by linear, 6e-4 by sqrt.

    Rounded to six digits: nobody knows an lr better, and it is read by people.
    """
    return _clean(lr * lr_factor(factor, rule))


@dataclass(frozen=True)
class Rescaled:
    """A preset on another schedule, and what had to be rounded to whole steps on the way, one sentence each."""

    preset: Preset
    notes: list[str]


def rescaled(preset: Preset, steps_factor: Fraction | float, lr_factor: float = 1.0) -> Rescaled:
    """`preset` with every length of its schedule times `steps_factor`, and every lr times `lr_factor`.

    Steps, warmup and milestones keep their proportions; so do the intervals of evals, checkpoints and samples,
    so that the curves have as many points. min_lr goes with lr where the schedule reads it. What is off (0)
    stays off, what is on stays at least one step. Raises PresetError where the result is no preset (two
    milestones on one step, an lr out of bounds), ValueError for a factor that is not over 0.
    """
    factor = Fraction(steps_factor)
    if factor <= 0 or lr_factor <= 0:
        raise ValueError(f"steps_factor = {steps_factor}, lr_factor = {lr_factor}: expected numbers over 0")
    edits: dict[str, Any] = {"optimizer.lr": _clean(preset.optimizer.lr * lr_factor)}
    if preset.schedule.kind in ("cosine", "wsd"):
        edits["schedule.min_lr"] = _clean(preset.schedule.min_lr * lr_factor)
    lengths = {name: _length(length, factor) for name, length in _lengths(preset)}
    edits |= lengths
    notes = [note for name, length in _lengths(preset) if (note := _moved(name, length, factor, lengths[name]))]
    if preset.schedule.kind == "step":
        milestones = [_length(length, factor) for length in preset.schedule.milestones]
        edits["schedule.milestones"] = milestones
        for before, after in zip(preset.schedule.milestones, milestones, strict=True):
            notes += [note] if (note := _moved("schedule.milestones", before, factor, after)) else []
    return Rescaled(presets.apply(preset, edits, source="rescaled"), notes)


def _lengths(preset: Preset) -> Iterator[tuple[str, int]]:
    yield "schedule.steps", preset.schedule.steps
    yield "schedule.warmup", preset.schedule.warmup
    yield "eval.every", preset.eval.every
    yield "checkpoint.every", preset.checkpoint.every
    yield "sample.every", preset.sample.every


def _length(steps: int, factor: Fraction) -> int:
    return max(1, math.floor(steps * factor + Fraction(1, 2))) if steps else 0


def _moved(name: str, before: int, factor: Fraction, after: int) -> str:
    """What rounding did, or "" where the product was whole, up to what a float factor can say."""
    exact = before * factor
    if abs(exact - after) <= after * Fraction(1, 10**9):
        return ""
    return f"{name}: {before:,} · {float(factor):.6g} = {float(exact):,.6g} is not whole: {after:,}"


def _clean(value: float) -> float:
    return float(f"{value:.6g}")
