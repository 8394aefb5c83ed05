"""One step of a run in words: its exact values, and what happened there."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.runs.events import Event
from workbench.runs.records import CLIPPED, NOT_FINITE, SPIKE
from workbench.screen.bench.follow import Followed
from workbench.screen.charts.axes import number
from workbench.screen.charts.curves import Curves, smoothed
from workbench.screen.runs.telling import told

_MARKS = {"edit": "▲", "eval": "◆", "checkpoint": "▪"}
_FINE = 8_192
"""Columns that an average is looked up in: every step of a short run, one in a hundred of a million."""


@dataclass(frozen=True)
class Moment:
    """What the cursor stands on. Made by a key, since it reads the run's file."""

    step: int
    values: dict[str, Any]
    """The record's fields."""
    average: float | None
    evaluated: Event | None
    """The last evaluation up to here."""
    words: str
    """What happened here, and within the cursor's cell; "" of nothing."""


def moment(run: Followed, step: int, level: float, near: tuple[int, int]) -> Moment | None:
    """The values of record `step`, and what the events say of the steps in [near); None where there is no record."""
    values = run.curves.at(step)
    if values is None:
        return None
    evals = [e for e in run.of("eval") if e["step"] <= step]
    here = [e for e in run.of(*_MARKS) if near[0] <= e["step"] < near[1] or e["step"] == step]
    average = average_at(run.curves, step, level)
    return Moment(step, values, average, evals[-1] if evals else None, _words(step, values, here))


def average_at(curves: Curves, step: int, level: float) -> float | None:
    """The smoothed loss there; None where it is off, or there is none."""
    if not level or step >= len(curves):
        return None
    n = min(len(curves), _FINE)
    value = float(curves.columns(smoothed(level), "step", 0, len(curves), n).mean[step * n // len(curves)])
    return None if math.isnan(value) else value


def _words(step: int, values: dict[str, Any], events: Sequence[Event]) -> str:
    """Of each kind of event the nearest, and how many more there are."""
    parts = []
    flags = values["flags"]
    if flags & NOT_FINITE:
        parts.append("✗ not finite")
    if flags & SPIKE:
        parts.append("! spike")
    for kind, mark in _MARKS.items():
        found = [e for e in events if e["type"] == kind]
        if not found:
            continue
        event = min(found, key=lambda e: abs(e["step"] - step))
        what = told([event])[0].what + (f" (and {len(found) - 1:,} more)" if len(found) > 1 else "")
        # An edit's own words say at which step it acts, a checkpoint's name too.
        where = f"eval at {event['step']:,}: " if kind == "eval" else "saved " if kind == "checkpoint" else ""
        parts.append(f"{mark} {where}{what}")
    if flags & CLIPPED:
        parts.append("clipped")
    return "  ".join(parts)


def figures(now: Moment, others: Sequence[tuple[str, float, str]] = ()) -> list[tuple[str, str, str]]:
    """(name, value, ink) of each figure, the most important first. `others` are letter, loss and ink of other runs."""
    v = now.values
    out = [("step", f"{now.step:,}", "value"), ("train", _loss(v["loss"]), "train"), ("ppl", perplexity(v["loss"]), "")]
    if now.average is not None:
        out.append(("ema", _about(now.average), "smooth"))
    if now.evaluated and now.evaluated.get("val_loss") is not None:
        when = "" if now.evaluated["step"] == now.step else f" at {now.evaluated['step']:,}"
        out.append(("val", _about(now.evaluated["val_loss"]) + when, "val"))
    out += [(letter, _about(loss), ink) for letter, loss, ink in others]
    out.append(("lr", number(v["lr"]), "lr"))
    out.append(("‖g‖", number(v["grad_norm"]), "grad"))
    if v["tokens_per_s"]:
        out.append(("", f"{number(v['tokens_per_s'])} tok/s", "speed"))
    return out


def perplexity(loss: float) -> str:
    """e to the loss, in three digits."""
    return number(math.exp(loss)) if loss < 700 else number(math.inf if loss == loss else math.nan)


def _about(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else number(value)


def _loss(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 100 else number(value, 4)


# ------------------------------------------------------------------------------------------ predictions


def predictions(
    run: Followed | None, predicted: tuple[float | None, float | None], level: float
) -> list[tuple[str, float, float | None]]:
    """(where, predicted, what it was) of each prediction; None for what is not known yet.

    The first is held against the loss of step 0; the last against the final validation, or the smoothed loss where
    nothing is validated.
    """
    if predicted == (None, None):
        return []
    known = known_losses(run, level)
    return [
        (where, guess, it)
        for where, guess, it in zip(("step 0", "the end"), predicted, known, strict=True)
        if guess is not None
    ]


def known_losses(run: Followed | None, level: float) -> tuple[float | None, float | None]:
    """The loss of step 0 and of the end, as far as they are known."""
    if run is None or not len(run.curves):
        return None, None
    first = float(run.curves.columns("loss", "step", 0, 1, 1).mean[0]) if len(run.curves) < _FINE else None
    if first is None:
        evaluated = next((e for e in run.of("eval") if e["step"] == 0), None)
        first = evaluated["train_loss"] if evaluated else None
    if run.state != "done":
        return first, None
    last = run.last("eval")
    value = last.get("val_loss") if last else None
    return first, value if value is not None else average_at(run.curves, len(run.curves) - 1, level or 0.9)


def verdict(found: Sequence[tuple[str, float, float | None]]) -> str:
    """How far off those were that are known by now; of none, what was predicted."""
    known = [
        f"{where}: {it:.3f}, predicted {guess:g}, off by {abs(it - guess):.3f}"
        for where, guess, it in found
        if it is not None
    ]
    return " · ".join(known or [f"{where}: predicted {guess:g}" for where, guess, _ in found])
