"""The runs folder as a list, read again and again: what a run's files say is kept until they change."""

import math
import os
import time
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.runs import directory
from workbench.runs.directory import Listed
from workbench.runs.events import Event, EventReader
from workbench.runs.records import StepReader
from workbench.runs.status import ENDED, LIVE
from workbench.screen.bench.follow import Followed

_REST = 0.001
"""Seconds of rest after a run that was read anew: hundreds of them at once must not hold up a key."""


@dataclass(frozen=True)
class Row:
    """A run as one line shows it; None is what nobody has said yet."""

    path: Path
    state: str
    step: int = 0
    steps: int | None = None
    loss: float | None = None
    val_loss: float | None = None
    B: int | None = None
    T: int | None = None
    accum: int | None = None
    lr: float | None = None
    """The peak that the schedule is made from, as last edited."""

    @property
    def name(self) -> str:
        return self.path.name

    @cached_property
    def cells(self) -> dict[str, str]:
        """Its columns as text; the name is as it is on the disk, and still to be made fit for a terminal."""
        shape = (self.B, self.T, self.accum)
        return {
            "run": self.name,
            "state": self.state,
            "done": f"{100 * self.step // self.steps}%" if self.steps else "–",
            "step": f"{self.step:,}/{self.steps:,}" if self.steps else "–",
            "loss": loss(self.loss),
            "val": loss(self.val_loss),
            "B·T·accum": "·".join(map(str, shape)) if None not in shape else "–",
            "lr": short(self.lr) if self.lr is not None else "–",
        }


def loss(value: float | None) -> str:
    """A loss in as many digits as a person compares; in six columns, up to 9,999."""
    if value is None:
        return "–"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.4g}"


def short(value: float) -> str:
    """A setting as a person writes it: 1e-3, 0.1, 3e-4."""
    plain = value == 0 or 0.1 <= abs(value) < 1000 or not math.isfinite(value)
    return f"{value:.4g}" if plain else _power(f"{value:.3e}")


def _power(text: str) -> str:
    digits, _, power = text.partition("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"


def of_followed(run: Followed) -> Row:
    """The run that is followed anyhow, as it was at the last look at it."""
    last, evaluated = run.curves.last, run.last("eval")
    b = run.live.batch
    return Row(
        path=run.path, state=run.state, step=run.step, steps=run.steps, loss=last["loss"] if last else None,
        val_loss=_number(evaluated.get("val_loss")) if evaluated else None,
        B=b.B, T=b.T, accum=b.accum, lr=run.live.optimizer.lr,
    )  # fmt: skip


class Shelf:
    """One thread looks; whoever wants takes what it returned."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept: dict[Path, tuple[object, Row]] = {}
        self._readers: dict[Path, EventReader] = {}
        """Of the live runs alone: theirs grow, and the events of all would be too much to keep."""

    def look(self) -> tuple[Row, ...]:
        """Every run of the folder, the newest start first. UsageError where it cannot be read."""
        kept: dict[Path, tuple[object, Row]] = {}
        rows = []
        for listed in reversed(directory.listed(self.folder)):
            signature = _signature(listed)
            known = self._kept.get(listed.path)
            if known and known[0] == signature:
                row = known[1]
            else:
                row = self._read(listed)
                time.sleep(_REST)
            kept[listed.path] = (signature, row)
            rows.append(row)
        self._kept = kept
        self._readers = {path: reader for path, reader in self._readers.items() if path in kept}
        return tuple(rows)

    def _read(self, listed: Listed) -> Row:
        path, state, status = listed
        try:
            reader = StepReader(path)
            records = len(reader)
            last = reader.read(max(records - 1, 0))
            about: dict[str, Any] = _started(path) | _told(self._events(path, live=state in LIVE))
            if len(last):
                about |= {"loss": float(last["loss"][0])} | {key: int(last[key][0]) for key in ("B", "T", "accum")}
        except (WorkbenchError, OSError, LookupError, TypeError, ValueError, AttributeError):
            return Row(path, "unreadable")
        step = status.step if status and state in ENDED else max(records, status.step if status else 0)
        return Row(path, state, step, status.steps if status and status.steps else about.pop("steps"),
                   **{key: value for key, value in about.items() if key != "steps"})  # fmt: skip

    def _events(self, path: Path, *, live: bool) -> list[Event]:
        if not live:
            self._readers.pop(path, None)
            return EventReader(path, strict=False).poll()
        return self._readers.setdefault(path, EventReader(path, strict=False)).poll()


def _signature(listed: Listed) -> object:
    """What differs when anything does that a row shows."""
    status = listed.status
    return (
        listed.state,
        (status.step, status.steps) if status else None,
        *(_stamp(listed.path / name) for name in ("steps.bin", "events.jsonl")),
    )


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _started(path: Path) -> dict[str, Any]:
    """The settings that it began with: preset.toml spells every one out."""
    document = tomllib.loads((path / "preset.toml").read_text(encoding="utf-8"))
    batch = document["batch"]
    return {
        "B": int(batch["B"]),
        "T": int(batch["T"]),
        "accum": int(batch["accum"]),
        "lr": float(document["optimizer"]["lr"]),
        "steps": int(document["schedule"]["steps"]),
    }


def _told(events: list[Event]) -> dict[str, Any]:
    """The last validation loss, and the peak lr where an edit has moved it."""
    told: dict[str, Any] = {}
    for event in events:
        if event.get("type") == "eval":
            told["val_loss"] = _number(event.get("val_loss"))
        elif event.get("type") == "edit" and "optimizer.lr" in event["changes"]:
            told["lr"] = float(event["changes"]["optimizer.lr"][1])
    return told


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not math.isnan(value) else None
