"""What an event must hold before a reader believes it: a file of a run may have been damaged, or written by hand.

Only what readers compute with is checked. Types and fields that are not known here are another version's, and pass.
"""

from collections.abc import Callable
from typing import Any

Check = Callable[[Any], bool]
MOST = 2**63 - 1
"""Of a count: what a file's length, a step or a row number can be."""


def count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST


def number(value: Any) -> bool:
    """A real number; null stands for one that is not finite. Python's reader takes 1e999 and NaN for JSON."""
    return value is None or count(value) or (isinstance(value, float) and abs(value) < float("inf")) or _negative(value)


def _negative(value: Any) -> bool:
    return type(value) is int and -MOST <= value < 0


def text(value: Any) -> bool:
    return isinstance(value, str)


def _changes(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(pair, list) and len(pair) == 2 for pair in value.values())


def base(value: Any) -> bool:
    """The row, token and epoch that a row function counts from."""
    return isinstance(value, dict) and value.keys() == {"row", "token", "epoch"} and all(map(count, value.values()))


def edits(value: Any) -> bool:
    """Edits to make, as `start`, `resume` and meta.json list them."""
    return isinstance(value, list) and all(
        isinstance(e, dict) and count(e.get("step")) and isinstance(e.get("changes"), dict) and text(e.get("id", ""))
        for e in value
    )


def _positive(value: Any) -> bool:
    return count(value) and value > 0


_EVERY: dict[str, Check] = {"time": number, "at": text}
_NEEDED: dict[str, dict[str, Check]] = {
    "start": {
        "params": count, "vocab": _positive, "train_tokens": _positive, "tokens_per_step": _positive,
        "steps_per_epoch": number,
    },
    "eval": {"step": count},
    "sample": {"step": count, "text": text},
    "checkpoint": {"step": count},
    "edit": {"step": count, "changes": _changes, "base": base},
    "answer": {"id": text, "state": text},
    "resume": {"step": count, "records": count, "events_bytes": count},
    "end": {"state": text},
}  # fmt: skip
_POSSIBLE: dict[str, Check] = {
    "step": count, "steps": count, "attempt": count, "val_tokens": count, "val_loss": number, "train_loss": number,
    "perplexity": number, "seconds": number, "reason": text, "prompt": text, "id": text, "run": text, "device": text,
    "precision": text, "fingerprint": text, "weights": text, "edits_again": edits, "edits_dropped": edits,
}  # fmt: skip
"""Of any known type, where they are there."""


def wrong(event: dict[str, Any]) -> str | None:
    """The first field of an event that is missing or holds what no worker writes; of an unknown type none is known."""
    type_ = event.get("type")
    if not isinstance(type_, str):
        return "type"
    needed = _NEEDED.get(type_)
    if needed is None:
        return None
    for name, fits in (_EVERY | needed).items():
        if name not in event or not fits(event[name]):
            return name
    return next((name for name, fits in _POSSIBLE.items() if name in event and not fits(event[name])), None)
