"""`workbench export`: everything in steps.bin and events.jsonl, for other tools."""

import csv as csv_
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench import preset as presets
from workbench.runs.events import event, read_events
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
    at = events[-1]["at"] if events else ""
    waiting = iter(events)
    following = next(waiting, None)
    for values in _steps(run):
        while following is not None and following.get("type") != "end" and following.get("step", 0) <= values["step"]:
            sys.stdout.write(dump(following) + "\n")
            at = following["at"]
            following = next(waiting, None)
        told = event("step", values.pop("time"), **values)
        told["at"] = at  # records carry training time; the wall clock is the last event's
        sys.stdout.write(dump(told) + "\n")
    while following is not None:
        sys.stdout.write(dump(following) + "\n")
        following = next(waiting, None)
    return 0


def _steps(run: Path) -> Iterator[dict[str, Any]]:
    windows = presets.load(str(run / "preset.toml")).preset.data.layout == "windows"
    reader = StepReader(run)
    names = reader.dtype.names or ()
    for records in reader.pieces():
        for record in records.tolist():
            yield as_object(dict(zip(names, record, strict=True)), windows=windows)
