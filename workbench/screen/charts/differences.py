"""What tells runs apart that are drawn over each other: the settings that differ, and nothing else."""

from collections.abc import Iterable, Sequence

from workbench import preset as presets
from workbench.preset import Preset
from workbench.screen.bench.follow import Followed
from workbench.screen.glyphs import middle, plain
from workbench.screen.runs.shelf_of_runs import short

MOST = 2
"""Settings that are named; of more, how many."""
NAME = 22
"""Cells of a run's name where no setting tells it apart."""
_FIRST = (
    "data.dataset", "data.text", "data.tokenizer", "batch.B", "batch.T", "batch.accum", "optimizer.lr",
    "optimizer.kind", "model.kind",
)  # fmt: skip
"""What makes losses incomparable, then what people compare; after these in the order of the preset."""
_QUIET = ("eval.", "checkpoint.", "sample.", "device.", "schedule.steps", "schedule.milestones")
"""What does not change what is learnt, or is seen on the axis anyway: told where nothing else differs."""


def labels(own: Preset, own_edited: bool, others: Sequence[Followed]) -> tuple[str, list[str]]:
    """A few words for the open run, "" where no other is there, and for each of the others: its own differences.

    The open run is told by what sets any of the others apart from it.
    """
    differing = [_ranked(presets.changes(own, run.preset)) for run in others]
    shared = _ranked({key for keys in differing for key in keys[:MOST]})
    first = _told(own, shared, most=len(shared))
    texts = [_told(run.preset, keys) for run, keys in zip(others, differing, strict=True)]
    named = [
        text if text and texts.count(text) == 1 else f"{text} {middle(plain(run.name), NAME)}".strip()
        for text, run in zip(texts, others, strict=True)
    ]
    edited = [own_edited and bool(others), *(bool(run.of("edit")) for run in others)]
    first, *named = [
        f"{text} edited".strip() if changed else text for text, changed in zip((first, *named), edited, strict=True)
    ]
    return first, named


def _ranked(keys: Iterable[str]) -> list[str]:
    """The most telling ones first; the quiet ones only where no other differs."""
    found = [key for key in keys if key != "name"]
    loud = [key for key in found if not key.startswith(_QUIET)]
    order = [*_FIRST, *(key for key in presets.KEYS if key not in _FIRST)]
    return sorted(loud or found, key=order.index)


def _told(preset: Preset, keys: Sequence[str], most: int = MOST) -> str:
    held = presets.to_document(preset)
    parts = []
    for key in keys[:most]:
        table, _, leaf = key.rpartition(".")
        value = held.get(table, {}).get(leaf) if table else held.get(leaf)
        if value is not None:
            parts.append(f"{leaf}={_value(value)}")
    if parts and len(keys) > most:
        parts.append(f"+{len(keys) - most}")
    return " ".join(parts)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    text = short(value) if isinstance(value, float) else str(value)
    return middle(plain(text), NAME)
