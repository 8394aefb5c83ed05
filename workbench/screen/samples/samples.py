"""What a run has written: its samples in order, each with the loss of its step, and how the run ended."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.runs.events import Event
from workbench.screen.bench.follow import Followed


@dataclass(frozen=True)
class Sample:
    """A text that a model wrote after `step` updates. Neither prompt nor text is fit for a terminal yet."""

    step: int
    prompt: str
    text: str
    val_loss: float | None
    """Of the eval at the same step, nats per token."""


def samples_of(events: Sequence[Event]) -> list[Sample]:
    """The samples among a run's events, the oldest first."""
    losses = {e.get("step"): e.get("val_loss") for e in events if e.get("type") == "eval"}
    return [
        Sample(int(e["step"]), str(e.get("prompt", "")), str(e.get("text", "")), losses.get(e["step"]))
        for e in events
        if e.get("type") == "sample" and isinstance(e.get("step"), int)
    ]


def last_at(samples: Sequence[Sample], step: int) -> int:
    """The index of the last sample at or before a step; 0 where there is none that early."""
    return max((i for i, sample in enumerate(samples) if sample.step <= step), default=0)


def ending(run: Followed) -> list[tuple[str, str]]:
    """What an ended run came to: (name, value), values not yet fit for a terminal."""
    last, end, evaluated = run.curves.last, run.last("end") or {}, run.last("eval") or {}
    told = [("step", f"{run.step:,} of {run.steps:,}")]
    if last:
        told.append(("loss", f"{last['loss']:.4f}"))
    val = end.get("val_loss", evaluated.get("val_loss"))
    if isinstance(val, float):
        told.append(("val loss", f"{val:.4f}"))
        told.append(("perplexity", f"{math.exp(val):.2f}" if val < 700 else "over 1e304"))
    seconds = end.get("seconds", last["time"] if last else None)
    if isinstance(seconds, int | float):
        told.append(("time", duration(seconds)))
    return told


def duration(seconds: float) -> str:
    """Seconds as people say them: 8.3 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds) // 60
    return f"{minutes} min {int(seconds) % 60:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
