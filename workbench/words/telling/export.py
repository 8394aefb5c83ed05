"""`workbench export`: everything in steps.bin and events.jsonl, for other tools."""

import csv as csv_
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench import preset as presets
from workbench.errors import WorkbenchError
from workbench.runs import vocabulary
from workbench.runs.events import Event, event, read_events
from workbench.runs.files import dump
from workbench.runs.records import StepReader, as_object


def csv(run: Path) -> int:
    """One line a step, with a header. A number that is not finite is written as Python and NumPy read it."""
    writer = csv_.writer(sys.stdout, lineterminator="\n")
    header: list[str] | None = None
    for values in _steps(run):
        if header is None:
            header = list(values)
            writer.writerow(header)
        writer.writerow(values.values())
    if header is None:
        writer.writerow([*(StepReader(run).dtype.names or ()), "tokens_per_s"])
    return 0


def jsonl(run: Path) -> int:
    """The objects of `--json`, in their order: an event at step n comes before record n, the end after all."""
    events = [e for e in read_events(run) if e.get("type") != "step"]
    at = events[-1].get("at", "") if events else ""
    waiting = iter(events)
    following = next(waiting, None)
    for values in _steps(run):
        while following is not None and following.get("type") != "end" and _step(following) <= values["step"]:
            sys.stdout.write(_line(run, following))
            at = following.get("at", at)
            following = next(waiting, None)
        told = event("step", values.pop("time"), **values)
        told["at"] = at  # records carry training time; the wall clock is the last event's
        sys.stdout.write(_line(run, told))
    while following is not None:
        sys.stdout.write(_line(run, following))
        following = next(waiting, None)
    return 0


def _step(document: Event) -> int:
    """The boundary at which an event happened; one of a type that is not known here may tell none."""
    return int(document["step"]) if vocabulary.count(document.get("step")) else 0


def _line(run: Path, document: Event) -> str:
    try:
        return dump(document) + "\n"
    except ValueError:  # read as infinity, deep in an event
        raise WorkbenchError(
            f"{run / 'events.jsonl'}: an event of type {document.get('type')} holds a number that is not finite, as no "
            "worker writes it; the file was changed or damaged"
        ) from None


def _steps(run: Path) -> Iterator[dict[str, Any]]:
    windows = presets.load(str(run / "preset.toml")).preset.data.layout == "windows"
    reader = StepReader(run)
    names = reader.dtype.names or ()
    for records in reader.pieces():
        for record in records.tolist():
            yield as_object(dict(zip(names, record, strict=True)), windows=windows)
