"""Which settings held at a record of a run: the preset that it began with, and every edit that counts since.

It is computed from the run directory, for records past and to come, without asking the worker.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from workbench import preset as presets
from workbench.errors import WorkbenchError
from workbench.preset import Preset
from workbench.runs.events import Event, read_events
from workbench.runs.files import read_json, replace_json
from workbench.runs.records import StepReader


class Base(NamedTuple):
    """The row, token and epoch at which the T and order of a record began: what its row function counts from."""

    row: int = 0
    token: int = 0
    epoch: int = 0


_ORIGIN = Base()


@dataclass(frozen=True)
class Held:
    """What record N reads with: the settings that held then, how many rows were read before, and its base."""

    preset: Preset
    first: int
    """The number of its first row: rows first … first + B·accum·world − 1 are its own."""
    base: Base = _ORIGIN
    fingerprint: str | None = None
    """Of the corpus that the run was trained on; None before its worker has said so."""


def at(run: Path, step: int, *, events: Iterable[Event] | None = None, records: StepReader | None = None) -> Held:
    """What held at record `step`. Records that are there say what they read; later ones follow from the last settings.

    `events` (those that count) and `records` are read from the run where they are not given.
    """
    made = [e for e in (read_events(run) if events is None else events) if e.get("type") == "edit"]
    made = [e for e in made if e["step"] <= step]
    preset = live(made, started(run))
    base = Base(**made[-1]["base"]) if made else _ORIGIN
    reader = StepReader(run) if records is None else records
    nearest = min(step, len(reader) - 1)
    found = reader.read(max(nearest, 0), nearest + 1)
    rows_a_step = preset.batch.B * preset.batch.accum
    if not len(found):  # none is there yet, or a resume has just cut it away
        first = step * rows_a_step
    elif nearest == step:
        first = int(found[0]["rows_before"])
    else:
        used = int(found[0]["B"]) * int(found[0]["accum"]) * int(found[0]["world"])
        first = int(found[0]["rows_before"]) + used + (step - nearest - 1) * rows_a_step
    known = (resolved(run) or {}).get("corpus", {})
    return Held(preset, first, base, known.get("fingerprint"))


def resolved(run: Path) -> dict[str, Any] | None:
    """What was resolved when the last attempt began; None before that. WorkbenchError where no worker wrote it."""
    path = run / "resolved.json"
    if not os.path.lexists(path):
        return None
    document = read_json(path)
    corpus = document.get("corpus", {})
    fits = {
        "corpus": isinstance(corpus, dict) and isinstance(corpus.get("fingerprint", ""), str),
        "precision": document.get("precision") in ("fp32", "bf16", "fp64"),
        "attention": document.get("attention") in ("plain", "sdpa"),
        "compile": isinstance(document.get("compile"), bool),
        "compile_from": type(at := document.get("compile_from", 0)) is int and at >= 0,
        "device": isinstance(document.get("device"), str),
        "steps": document.get("steps", "eager") in ("eager", "by hand", "replayed"),
        "tuned": isinstance(document.get("tuned", False), bool),
        "threads": type(document.get("threads")) is int and 0 < document["threads"] <= 65_536,
    }
    strange = [name for name, holds in fits.items() if not holds]
    if strange:
        raise WorkbenchError(f"{path}: {strange[0]} holds what no worker writes; the file was changed or damaged")
    return document


def without_compiling(run: Path) -> None:
    """Record that the steps are not compiled after all: for the worker, which found that they cannot be."""
    document = resolved(run)
    if document:
        replace_json(run / "resolved.json", document | {"compile": False}, durable=True)


@lru_cache(maxsize=16)
def started(run: Path) -> Preset:
    """The preset as the run began, its context pinned as the worker pins it. The file is written once."""
    return presets.pin_context(presets.load(str(run / "preset.toml")).preset)


def live(events: Iterable[Event], preset: Preset) -> Preset:
    """`preset` with all edits among `events`, which are those that count, as `EventReader` gives them."""
    changes = {key: new for e in events if e.get("type") == "edit" for key, (_, new) in e["changes"].items()}
    return presets.apply(preset, changes) if changes else preset
