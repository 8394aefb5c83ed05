"""What `workbench bench --tune` found to be fastest, kept for one machine and one shape.

Precision, attention and threads change bits, so the choice is a fixed one: it is read when a run is resolved, and
recorded there. A file of this cache is one choice; without it the rule of `training/device.py` holds again. The size
of a batch is no part of a shape: runs that differ in B alone have one arithmetic.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench.data import cache
from workbench.errors import WorkbenchError
from workbench.preset import Preset, pin_context, to_document

_FOLDER = "tuned"
_DIGITS = 16
_PRECISIONS, _ATTENTIONS = ("fp32", "bf16", "fp64"), ("plain", "sdpa")

Facts = dict[str, Any]


@dataclass(frozen=True)
class Choice:
    """What takes the place of the rule's."""

    precision: str
    attention: str
    threads: int


@dataclass(frozen=True)
class Kept:
    """A file of the cache that holds a choice."""

    path: Path
    machine: Facts
    shape: Facts
    choice: Choice


def shape(preset: Preset) -> Facts:
    """What a choice is for: all of a preset that a step's kernels depend on but B, and what it leaves open."""
    document = to_document(pin_context(preset))
    device = document["device"]
    return {
        "model": document["model"], "T": preset.batch.T, "layout": preset.data.layout,
        "optimizer": preset.optimizer.kind, "compile": device["compile"], "precision": device["precision"],
        "threads": device["threads"],
    }  # fmt: skip


def read(machine: Facts, shape: Facts) -> tuple[Choice | None, str]:
    """The choice that is kept for them, and why a file that is there counts for nothing ("" if none is)."""
    try:
        path = _path(machine, shape)
        if not path.exists():
            return None, ""
        kept = _kept(path)
    except (OSError, WorkbenchError) as error:
        return None, f"what `workbench bench --tune` kept cannot be read ({error}); it was not used"
    if kept is None or (kept.machine, kept.shape) != (machine, shape):
        what = "damaged, or no file of `workbench bench --tune`" if kept is None else "of another machine or shape"
        return None, f"{path}: {what}; it was not used: remove it, or tune again"
    return kept.choice, ""


def write(machine: Facts, shape: Facts, choice: Choice, measured: list[Facts]) -> Path:
    """Keep a choice, in place of any other for the same. DataError where the cache cannot be written."""
    cache.folder(_FOLDER)
    path = _path(machine, shape)
    cache.write_json(path, {"machine": machine, "shape": shape, "choice": asdict(choice), "measured": measured})
    return path


def forget(shape: Facts) -> list[Path]:
    """Remove what is kept for a shape, of any machine and version. Returns what is gone."""
    gone = []
    for path in (cache.root() / _FOLDER).glob(f"{cache.digest(shape)[:_DIGITS]}-*.json"):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise cache.unwritable(path, error) from None
        gone.append(path)
    return gone


def kept() -> Iterator[Kept]:
    """Every choice in the cache; files that hold none are passed over."""
    with contextlib.suppress(OSError, WorkbenchError):
        for path in sorted((cache.root() / _FOLDER).glob("*.json")):
            if found := _kept(path):
                yield found


def _path(machine: Facts, shape: Facts) -> Path:
    return cache.root() / _FOLDER / f"{cache.digest(shape)[:_DIGITS]}-{cache.digest(machine)[:_DIGITS]}.json"


def _kept(path: Path) -> Kept | None:
    """What a file holds; None where it is none of ours, or is damaged."""
    document = cache.read_json(path) if path.is_file() else None
    if document is None:
        return None
    machine, shape, choice = (document.get(name) for name in ("machine", "shape", "choice"))
    if not isinstance(machine, dict) or not isinstance(shape, dict):
        return None
    try:
        found = cache.typed(Choice, choice)
    except ValueError:
        return None
    if found.precision not in _PRECISIONS or found.attention not in _ATTENTIONS or not 0 < found.threads <= 65_536:
        return None
    return Kept(path, machine, shape, found)
