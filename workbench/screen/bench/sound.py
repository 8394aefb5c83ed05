"""Whether an event is one that a worker writes: a run directory may hold anything, and every pane reads events."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from workbench import preset as presets
from workbench.preset import Preset, PresetError
from workbench.runs import settings
from workbench.runs.events import Event

_MOST = 2**63
"""No count of a run is as large."""
_DEEPEST = 8
Check = Callable[[Any], bool]


class Sound:
    """The events of a run that panes may read without a second look; each is judged once, however many there are."""

    def __init__(self, preset: Preset) -> None:
        """`preset` is what the run began with, its context pinned."""
        self._preset = preset
        self._seen = 0
        self._last: Event | None = None
        self._judged: tuple[Event, ...] = ()
        self._kept: tuple[Event, ...] = ()
        self._live = preset

    def of(self, events: Sequence[Event]) -> tuple[tuple[Event, ...], Preset]:
        """Those of `events` that are sound, and the preset with their edits. They are the events of the last call and
        some more, the very objects; or, where a resume has taken some back, others."""
        grown = self._seen <= len(events) and (not self._seen or events[self._seen - 1] is self._last)
        fresh = tuple(event for event in (events[self._seen :] if grown else events) if is_sound(event))
        self._seen, self._last = len(events), events[-1] if events else None
        self._judged = self._judged + fresh if grown else fresh
        if grown and not any(event["type"] == "edit" for event in fresh):
            self._kept += fresh
            return self._kept, self._live
        try:
            self._kept, self._live = self._judged, settings.live(self._judged, self._preset)
        except PresetError:
            self._kept, self._live = _taken(self._judged, self._preset)
        return self._kept, self._live


def is_sound(event: Event) -> bool:
    """Every field that a pane reads is of its type, and every number finite."""
    checks = _FIELDS.get(event["type"]) if isinstance(event.get("type"), str) else None
    if checks is None:
        return isinstance(event.get("type"), str) and _plain(event) and _count(event.get("step", 0))
    return _plain(event) and all(check(event.get(field, _ABSENT)) for field, check in checks.items())


def _taken(events: Iterable[Event], preset: Preset) -> tuple[tuple[Event, ...], Preset]:
    """Without the edits that the settings before them do not take."""
    kept = []
    for event in events:
        if event["type"] == "edit":
            try:
                preset = presets.apply(preset, {key: new for key, (_, new) in event["changes"].items()})
            except PresetError:
                continue
        kept.append(event)
    return tuple(kept), preset


_ABSENT = object()


def _plain(value: object, deep: int = 0) -> bool:
    """JSON without what strict JSON has not, of a depth and of numbers that can be drawn."""
    if isinstance(value, dict):
        return deep < _DEEPEST and all(_plain(inner, deep + 1) for inner in value.values())
    if isinstance(value, list):
        return deep < _DEEPEST and all(_plain(inner, deep + 1) for inner in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return -_MOST < value < _MOST if isinstance(value, int) else True


def _count(value: object) -> bool:
    return type(value) is int and 0 <= value < _MOST


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: object) -> bool:
    return isinstance(value, str)


def _or_absent(check: Check) -> Check:
    return lambda value: value is _ABSENT or value is None or check(value)


def _changes(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(pair, list) and len(pair) == 2 for pair in value.values())


def _base(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == set(settings.Base._fields) and all(map(_count, value.values()))


def _list(value: object) -> bool:
    return isinstance(value, list)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _table(value: object) -> bool:
    return isinstance(value, dict)


_ANY_NUMBER, _ANY_COUNT, _ANY_TEXT = _or_absent(_number), _or_absent(_count), _or_absent(_text)
_FIELDS: Mapping[str, Mapping[str, Check]] = {
    "start": {
        "params": _ANY_COUNT, "vocab": _count, "device": _ANY_TEXT, "precision": _ANY_TEXT, "fingerprint": _ANY_TEXT,
        "train_tokens": _ANY_COUNT, "val_tokens": _ANY_COUNT, "train_examples": _ANY_COUNT, "val_examples": _ANY_COUNT,
        "test_examples": _ANY_COUNT, "tokens_per_step": _ANY_COUNT, "steps_per_epoch": _ANY_NUMBER,
    },
    "eval": {
        "step": _count, "train_loss": _ANY_NUMBER, "val_loss": _ANY_NUMBER, "perplexity": _ANY_NUMBER,
        "target_reached": _or_absent(_number),
    },
    "sample": {"step": _count, "text": _text, "prompt": _ANY_TEXT},
    "checkpoint": {"step": _count, "path": _ANY_TEXT, "val_loss": _ANY_NUMBER},
    "edit": {"step": _count, "id": _ANY_TEXT, "changes": _changes, "base": _or_absent(_base)},
    "answer": {"id": _text, "state": _text, "step": _count, "reason": _ANY_TEXT, "file": _ANY_TEXT},
    "resume": {
        "attempt": _count, "checkpoint": _ANY_TEXT, "records": _count, "edits_again": _or_absent(_list),
        "edits_dropped": _or_absent(_list), "re_resolved": _or_absent(_texts),
    },
    "warning": {"step": _ANY_COUNT},
    "end": {
        "state": _text, "step": _count, "seconds": _number, "val_loss": _ANY_NUMBER, "reason": _ANY_TEXT,
        "offer": _or_absent(_table), "culprit": _or_absent(_table),
    },
}  # fmt: skip
"""By type, the fields that some pane reads."""
