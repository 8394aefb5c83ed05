"""What tells presets apart: the keys that differ, and a few words for each preset that name nothing else."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from workbench.data.visible import visible
from workbench.preset import KEYS, Preset, to_document

APART = ("name", "seed")
"""Keys that make another run of the same settings."""
QUIET = ("eval.", "checkpoint.", "sample.", "device.", "schedule.steps", "schedule.warmup", "schedule.milestones")
"""What does not change what is learnt, or is rescaled with the batch: named where nothing else tells two apart."""
_FIRST = ("batch.B", "batch.T", "batch.accum", "optimizer.lr", "optimizer.kind", "model.kind", "data.dataset")
_LONGEST = 24


def flat(preset: Preset) -> dict[str, Any]:
    """Every key of its document by its dotted name."""
    out: dict[str, Any] = {}
    for name, value in to_document(preset).items():
        out |= {f"{name}.{leaf}": inner for leaf, inner in value.items()} if isinstance(value, dict) else {name: value}
    return out


def differing(given: Sequence[dict[str, Any]]) -> list[str]:
    """The keys that some of these `flat` presets hold otherwise, or lack, but for name and seed; what tells most first.

    min_lr is left out where it differs with lr alone, by the same factor.
    """
    keys = [key for key in KEYS if key not in APART and any(held.get(key) != given[0].get(key) for held in given)]
    if "optimizer.lr" in keys and "schedule.min_lr" in keys:
        ratios = {f"{held['schedule.min_lr'] / held['optimizer.lr']:.6g}" for held in given if held["optimizer.lr"]}
        if len(ratios) == 1:
            keys.remove("schedule.min_lr")
    order = [*_FIRST, *(key for key in KEYS if key not in _FIRST)]
    return sorted(keys, key=order.index)


def labels(given: Sequence[dict[str, Any]]) -> list[str]:
    """A label for each, such as "B=32 lr=0.1": equal ones for equal presets, "" where nothing differs."""
    keys = differing(given)
    loud = [key for key in keys if not key.startswith(QUIET)]
    told = [label(held, loud) for held in given]
    distinct = {tuple(str(held.get(key)) for key in keys) for held in given}
    return told if len(set(told)) == len(distinct) else [label(held, keys) for held in given]


def label(held: dict[str, Any], keys: Collection[str]) -> str:
    """These keys of a `flat` preset, those that it has."""
    return " ".join(f"{KEYS[key].leaf}={written(held[key])}" for key in keys if key in held)


def written(value: Any) -> str:
    """A value in a label: short, and without anything that a terminal would obey."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return f"[{','.join(written(item) for item in value)}]"
    text = str(value)
    if text.startswith("/"):
        text = Path(text).stem
    text = visible(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def slug(text: str) -> str:
    """A label as part of a figure's name: "B=32 lr=0.1" is B32_lr0_1."""
    return re.sub(r"[^A-Za-z0-9]+", "_", text.replace("=", "")).strip("_")
