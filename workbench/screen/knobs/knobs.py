"""The knobs: which keys there are in which order, and what `less` and `more` make of each."""

from bisect import bisect_left, bisect_right
from typing import Any

from workbench import preset as presets
from workbench.preset import Key, Preset, PresetError
from workbench.screen.bench.edits import flat

FIRST = ("batch.B", "batch.T", "batch.accum", "optimizer.lr")
_TABLES = ("optimizer", "schedule", "data", "eval", "checkpoint", "sample")
"""Of the other live keys, as they are listed."""
_CYCLES = {
    "data.tokenizer": ("char", "byte", "bpe:1024", "gpt2"),
    "device.name": ("auto", "cpu", "cuda", "mps"),
}
"""Text that is one of a few words most of the time."""
_BY_TENTHS = {"sample.temperature": 0.1, "eval.target": 0.1, "data.val_fraction": 0.05, "model.dropout": 0.05,
              "optimizer.momentum": 0.05, "schedule.decay_fraction": 0.05}  # fmt: skip
_BY_TWO = frozenset((*FIRST[:3], "model.width", "data.stride", "model.context"))
_BY_ONE = frozenset(("seed", "sample.seed", "device.threads", "model.layers"))
_SERIES = tuple(float(f"{m}e{e}") for e in range(-8, 13) for m in (1, 2, 3, 5))
"""Under its first a number that may be 0 is 0, and one that may not stays."""
_WHOLE = tuple(int(m * 10**e) for e in range(13) for m in (1, 2, 5))


def keys_of(preset: Preset) -> tuple[list[Key], list[Key]]:
    """The keys that a running run takes, the most turned first; and those that need a new run. Only of its kinds."""
    held = [presets.KEYS[name] for name in flat(preset) if name in presets.KEYS and name != "format"]
    if not preset.data.text:
        held.insert(next(n for n, key in enumerate(held) if key.name == "data.dataset") + 1, presets.KEYS["data.text"])
    live = sorted((key for key in held if key.live), key=_place)
    return live, [key for key in held if not key.live]


def _place(key: Key) -> tuple[int, int]:
    return (FIRST.index(key.name), 0) if key.name in FIRST else (len(FIRST), _TABLES.index(key.table))


def nudged(preset: Preset, name: str, by: int) -> dict[str, Any]:
    """The changes that one step less (−1) or more (1) of a key makes; none where it has no less or more.

    lr takes min_lr down with it, where the schedule could not end above its peak.
    """
    key, value = presets.KEYS[name], presets.get(preset, name)
    if not can_nudge(name):
        return {}
    if key.choices or name in _CYCLES:
        return _next_that_fits(preset, name, value, key.choices or _CYCLES[name], by)
    if isinstance(value, bool):
        return {name: not value}
    new = _whole(preset, name, value, by) if isinstance(value, int) else _number(name, value, by)
    if new is None or new == value:
        return {}
    if name == "optimizer.lr":
        return lr_changes(preset, new)
    return {name: new}


def lr_changes(preset: Preset, lr: float) -> dict[str, Any]:
    """A peak, and min_lr with it where it would end above the peak."""
    below = preset.schedule.min_lr > lr and preset.schedule.kind in ("cosine", "wsd")
    return {"optimizer.lr": lr, **({"schedule.min_lr": lr} if below else {})}


def can_nudge(name: str) -> bool:
    """Whether a key has a less and a more, and not only a text or a list to be typed."""
    return name in _CYCLES or presets.KEYS[name].kind_of_value in ("whole number", "number", "choice", "yes or no")


def _next_that_fits(preset: Preset, name: str, value: Any, choices: tuple[str, ...], by: int) -> dict[str, Any]:
    """The next choice that the other settings bear; one that none bears has to be typed, and is told why not."""
    at = choices.index(value) if value in choices else (-1 if by > 0 else 0)
    for n in range(1, len(choices)):
        new = choices[(at + n * by) % len(choices)]
        try:
            presets.apply(preset, {name: new})
        except PresetError:
            continue
        return {name: new}
    return {name: choices[(at + by) % len(choices)]}


def _whole(preset: Preset, name: str, value: int, by: int) -> int | None:
    if name == "model.heads":
        divisors = [n for n in range(1, preset.model.width + 1) if preset.model.width % n == 0]
        return next(iter(sorted((n for n in divisors if (n - value) * by > 0), key=lambda n: abs(n - value))), None)
    low = 1 if name in ("batch.B", "batch.T", "batch.accum", "schedule.steps") or name in _MODEL_SIZES else 0
    if name in _BY_ONE:
        return max(low, value + by)
    if name == "model.context" and value == 0:
        return 2 * preset.batch.T if by > 0 else None
    if name in _BY_TWO:
        new = (value * 2 or 1) if by > 0 else value // 2
        return 0 if name == "model.context" and new < preset.batch.T else max(low, new)
    new_whole = _neighbour(_WHOLE, value, by)
    return max(low, new_whole) if new_whole is not None else low


_MODEL_SIZES = frozenset(("model.layers", "model.width", "model.embedding", "model.hidden"))


def _number(name: str, value: float, by: int) -> float | None:
    if name in _BY_TENTHS:
        step = _BY_TENTHS[name]
        new = round(round(value / step) * step + by * step, 10)
        return new if new >= (step if name == "schedule.decay_fraction" else 0) else None
    new_number = _neighbour(_SERIES, value, by)
    if new_number is not None:
        return new_number if name != "schedule.gamma" or new_number <= 1 else 1.0
    return None if name in ("optimizer.lr", "schedule.gamma") else 0.0


def _neighbour(series: Any, value: Any, by: int) -> Any:
    """The member of a rising series next to a value; None past its end."""
    at = bisect_right(series, value) if by > 0 else bisect_left(series, value) - 1
    return series[at] if 0 <= at < len(series) else None
