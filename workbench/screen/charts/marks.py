"""A run's events as arrays of steps, sorted once however often they are drawn."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from workbench.runs.events import Event
from workbench.screen.bench.follow import Followed
from workbench.screen.charts.decimation import Matrix
from workbench.screen.charts.plotting import Event as Mark
from workbench.screen.charts.view import Extent

Steps = npt.NDArray[np.int64]
_APART = 4
"""Cells between the validation losses of a run with many: side by side they would hide the curve."""
_KINDS: tuple[Mark, ...] = ("checkpoint", "eval", "edit")


@dataclass(frozen=True, eq=False)
class Sorted:
    """The steps of each kind of event, and each evaluation's loss on the validation text: NaN where there is none."""

    of: tuple[Event, ...]
    steps: dict[Mark, Steps]
    val: Matrix


class Marks:
    """Keeps what it has sorted for each run, until the run has said more."""

    def __init__(self) -> None:
        self._sorted: dict[Path, Sorted] = {}

    def of(self, run: Followed) -> Sorted:
        found, events = self._sorted.get(run.path), run.events
        if found is None or found.of is not events:
            steps = {
                kind: np.array([e["step"] for e in events if e.get("type") == kind], dtype=np.int64) for kind in _KINDS
            }
            losses = [e.get("val_loss") for e in events if e.get("type") == "eval"]
            val = np.array([np.nan if loss is None else loss for loss in losses], dtype=np.float64)
            found = self._sorted[run.path] = Sorted(events, steps, val)
        return found

    def evaluations(self, run: Followed, e: Extent, cells: int) -> tuple[Matrix, Matrix]:
        """(x, validation loss) of those in sight that have one; where they are dense, the last in every few cells."""
        found = self.of(run)
        there = np.isfinite(found.val)
        begin, end = e.shown
        x, y = run.curves.places(found.steps["eval"][there], e.axis, begin, end), found.val[there]
        inside = (x >= begin) & (x <= end)
        x, y = x[inside], y[inside]
        bins = np.floor((x - begin) * (cells / _APART / (end - begin)))
        last = np.flatnonzero(np.diff(bins, append=np.inf) > 0)
        return x[last], y[last]

    def on(self, run: Followed, e: Extent, cells: int, *, all: bool) -> tuple[tuple[Mark, float], ...]:
        """One mark a cell at most for each kind. Without `all` only edits: what changed concerns every chart."""
        found = self.of(run)
        begin, end = e.shown
        width = (end - begin) / max(cells, 1)
        out: list[tuple[Mark, float]] = []
        for kind in _KINDS if all else ("edit",):
            steps = found.steps[kind]
            if kind == "eval":  # the others stand in the chart itself
                steps = steps[~np.isfinite(found.val)]
            x = run.curves.places(steps, e.axis, begin, end)
            x = x[(x >= begin) & (x <= end)]
            if not len(x):
                continue
            _, first = np.unique(np.floor((x - begin) / width), return_index=True)
            if kind == "edit" or len(first) <= cells / 2:  # where every cell is marked none is
                out += [(kind, at) for at in x[first].tolist()]
        return tuple(out)
