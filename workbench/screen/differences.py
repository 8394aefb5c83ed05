"""What tells runs apart that are drawn over each other: the settings that differ, and nothing else."""

from collections.abc import Sequence

from workbench import preset as presets
from workbench.preset import Preset
from workbench.screen.follow import Followed
from workbench.screen.glyphs import plain
from workbench.screen.runs_table import middle
from workbench.screen.shelf_of_runs import short

MOST = 2
"""Settings that are named; of more, how many."""
NAME = 22
"""Cells of a run's name where no setting tells it apart."""
_FIRST = ("batch.B", "batch.T", "batch.accum", "optimizer.lr", "optimizer.kind", "model.kind")
"""What people compare, the likeliest first; after these in the order of the preset."""
_QUIET = ("eval.", "checkpoint.", "sample.", "device.")
"""Tables that do not change what is learnt, or by a hair: told where nothing else differs."""


def labels(own: Preset, own_edited: bool, others: Sequence[Followed]) -> tuple[str, list[str]]:
    """A few words for the open run, "" where no other is there, and for each of the others."""
    if not others:
        return "", []
    every = [own, *(run.preset for run in others)]
    keys = _differing(every)
    edited = [own_edited, *(bool(run.of("edit")) for run in others)]
    texts = [_told(preset, keys) for preset in every]
    first, *rest = texts
    # Two that differ in nothing are told apart by their names.
    rest = [
        text if text and texts.count(text) == 1 else f"{text} {middle(plain(run.name), NAME)}".strip()
        for text, run in zip(rest, others, strict=True)
    ]
    first, *rest = [
        f"{text} edited".strip() if changed else text for text, changed in zip((first, *rest), edited, strict=True)
    ]
    return first, rest


def _differing(every: Sequence[Preset]) -> list[str]:
    """The keys that not all of them share, the most telling ones first."""
    found = {key: None for a in every for b in every for key in presets.changes(a, b) if key != "name"}
    loud = [key for key in found if not key.startswith(_QUIET)]
    order = [*_FIRST, *(key for key in presets.KEYS if key not in _FIRST)]
    return sorted(loud or found, key=order.index)


def _told(preset: Preset, keys: Sequence[str]) -> str:
    held = presets.to_document(preset)
    parts = []
    for key in keys[:MOST]:
        table, _, leaf = key.rpartition(".")
        value = held.get(table, {}).get(leaf) if table else held.get(leaf)
        if value is not None:
            parts.append(f"{leaf}={_value(value)}")
    if parts and len(keys) > MOST:
        parts.append(f"+{len(keys) - MOST}")
    return " ".join(parts)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    text = short(value) if isinstance(value, float) else str(value)
    return middle(plain(text), NAME)
