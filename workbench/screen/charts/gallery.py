"""The charts of a run: which ones there is room for, what each shows, and from where to where. No Textual.

One `Gallery` belongs to one pane: it remembers the y-ranges, so that an axis does not tremble as data come in.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from workbench.plan import schedule
from workbench.plan.arithmetic import tokens_per_step_of
from workbench.preset import Preset
from workbench.screen.bench.bench import Bench
from workbench.screen.charts import loss_chart
from workbench.screen.charts.axes import Range, number, y_range
from workbench.screen.charts.canvas import Run
from workbench.screen.charts.curves import Axis, Columns
from workbench.screen.charts.marks import Marks
from workbench.screen.charts.moment import Moment
from workbench.screen.charts.plotting import GUTTER, Cursor, Floor, Plot, Series, columns_of, draw
from workbench.screen.charts.view import Extent, View, extent

Name = Literal["loss", "lr", "grad", "speed"]

RECENT = 100
"""Steps of which the share that was clipped is told."""
_LOW = 8
"""Rows of curves of a chart in which a title takes much of the room."""
_ZERO = Columns.of(0, 1, [0.0])
_DEEP = 4
"""Times below its column's mean at which a value is left below a logarithmic chart: it would take half of it."""
_NEAR = 0.5
"""Heights of a chart: a line no further away than this is brought into it."""


class Box(NamedTuple):
    """Where a chart lies in the pane, in cells."""

    x: int
    y: int
    width: int
    height: int


def boxes(width: int, height: int, *, big: bool = False, begun: bool = True) -> dict[Name, Box]:
    """The charts that there is room for: loss; from 10 rows lr below; from 16 gradient and speed, side by side.

    `big` keeps to the loss. A run that has not begun has no gradient and no speed.
    """
    if big or height < 10:
        return {"loss": Box(0, 0, width, height)}
    if not begun:
        below = max(height * 2 // 5, 4)
        return {"loss": Box(0, 0, width, height - below), "lr": Box(0, height - below, width, below)}
    if height < 16:
        below = 4 if height < 14 else 5
        top, y, third = Box(0, 0, width, height - below), height - below, width // 3
        if width < 120:
            return {"loss": top, "lr": Box(0, y, width, below)}
        return {
            "loss": top, "lr": Box(0, y, third, below), "grad": Box(third, y, third, below),
            "speed": Box(2 * third, y, width - 2 * third, below),
        }  # fmt: skip
    loss = (height + 1) // 2
    lr = (height - loss) // 2
    rest = height - loss - lr
    found: dict[Name, Box] = {"loss": Box(0, 0, width, loss), "lr": Box(0, loss, width, lr)}
    if width >= 70:
        left = width // 2
        return found | {
            "grad": Box(0, loss + lr, left, rest),
            "speed": Box(left, loss + lr, width - left, rest),
        }
    return found | {"grad": Box(0, loss + lr, width, rest)}


class Gallery:
    """Draws what a bench holds, as a view wants it seen."""

    def __init__(self, bench: Bench, view: View, *, big: bool = False, braille: bool = True) -> None:
        self._bench, self._view = bench, view
        self._big, self._braille = big, braille
        self._kept: dict[str, Range] = {}
        self._kept_for: tuple[object, ...] = ()
        self._marks = Marks()
        self.boxes: dict[Name, Box] = {}
        """Where the last drawing put each chart."""

    def draw(self, width: int, height: int, now: Moment | None = None) -> list[list[Run]]:
        """`height` rows of `width` cells; `now` is what the cursor stands on."""
        e = extent(self._bench, self._view)
        self._forget(e)
        self.boxes = boxes(width, height, big=self._big, begun=bool(self._bench.run and len(self._bench.run.curves)))
        rows: list[list[Run]] = [[] for _ in range(height)]
        for name, box in self.boxes.items():
            plot = self.plot(name, e, box.width, box.height, now)
            for row, drawn in zip(rows[box.y : box.y + box.height], draw(plot, box.width, box.height), strict=True):
                row += drawn
        return rows

    def plot(self, name: Name, e: Extent, width: int, height: int, now: Moment | None = None) -> Plot:
        """One chart, with everything in it."""
        made = {"loss": self._loss, "lr": self._lr, "grad": self._grad, "speed": self._speed}[name](e, width, height)
        cursor = None
        run = self._bench.run
        if now is not None and run is not None:
            cursor = Cursor(run.curves.x_of(now.step, e.axis), (_value(name, now),))
        marks = self._marks.on(run, e, width - GUTTER, all=name == "loss") if run else ()
        unit = axis_name(e.axis, self._bench)
        return replace(made, marks=marks, cursor=cursor, x=e.axis, unit=unit, braille=self._braille, thick=self._big)

    def _forget(self, e: Extent) -> None:
        """The ranges are kept only while the same thing is looked at in the same way."""
        view, run = self._view, self._bench.run
        attempt = run.status.attempt if run and run.status else 0
        what = (run.path if run else None, attempt, e.axis, view.zoomed, view.whole, view.log, bool(view.level),
                len(self._bench.overlays), self._bench.predicted)  # fmt: skip
        if what != self._kept_for:
            self._kept_for, self._kept = what, {}

    def y(self, name: str, columns: Sequence[Columns], near: Sequence[float] = (), *, log: bool = False) -> Range:
        """The range of these columns, and of the values near to it; the one before while it fits."""
        seen = [replace(c, low=np.maximum(c.low, c.mean / _DEEP)) for c in columns] if log else [*columns]
        if near:
            low, high = y_range(seen, log=log)
            there = any(c.present.any() for c in columns)
            reach = _NEAR * (high - low) if there else float("inf")
            seen.append(Columns.of(0, 1, [v for v in near if low - reach <= v <= high + reach]))
        found = y_range(seen, log=log, previous=self._kept.get(name))
        self._kept[name] = found
        return found

    # ------------------------------------------------------------------------------- the charts

    def _loss(self, e: Extent, width: int, height: int) -> Plot:
        parts = loss_chart.parts(self._bench, self._view, self._marks, e, columns_of(width))
        floors = loss_chart.floors(self._bench)
        seen = parts.seen(e)
        guesses = [v for v in self._bench.predicted if v is not None]
        y = self.y("loss", seen, [*guesses, *(f.value for f in floors)], log=self._view.log)
        return Plot(
            "loss, nats" + (", log" if self._view.log else ""), *e.shown, parts.series, parts.points,
            loss_chart.apart(floors, y, max(height - 2, 1)), notes=loss_chart.notes(self._bench, width - GUTTER),
            y=y, log=self._view.log,
        )  # fmt: skip

    def _lr(self, e: Extent, width: int, height: int) -> Plot:
        bench, run, n = self._bench, self._bench.run, columns_of(width)
        ahead = run is None or not run.over
        series = []
        plan = planned(bench.now, e, n, bench) if ahead else None
        if plan is not None and plan.present.any():
            series.append(Series("planned", "plan", plan, "plan"))
        proposed = planned(bench.proposed, e, n, bench) if bench.staged or bench.changed_since else None
        if proposed is not None and not (plan and np.array_equal(plan.mean, proposed.mean, equal_nan=True)):
            series.append(Series("staged" if bench.staged else "next run", "staged", proposed, "plan"))
        if run is not None and len(run.curves):
            series.append(Series("actual", "lr", run.curves.columns("lr", e.axis, *e.shown, n)))
        y = self.y("lr", [_ZERO, *(s.columns for s in series)])
        return Plot("learning rate", *e.shown, tuple(series), y=_below_title(y, height))

    def _grad(self, e: Extent, width: int, height: int) -> Plot:
        run = self._bench.run
        series, columns = self._body("grad_norm", "grad", e, width)
        clip = self._bench.now.optimizer.clip
        title = "grad norm"
        if run is not None and len(run.curves) and clip:
            end = len(run.curves)
            share = run.curves.clipped_share(end - RECENT, end)
            ways = ("clipped {} of the last {} steps", "{} clipped lately", "{} clipped")
            told = (f" · {way}".format(f"{share:.0%}", min(RECENT, end)) for way in ways)
            title += next((t for t in told if len(title) + len(t) <= width - GUTTER - 2), "")
        log = self._view.log
        floors = (Floor(clip, "clip"),) if clip else ()
        y = self.y("grad", columns, [clip] if clip else [], log=log)
        return Plot(title, *e.shown, series, (), floors, y=y if log else _below_title(y, height), log=log)

    def _speed(self, e: Extent, width: int, height: int) -> Plot:
        series, columns = self._body("tokens_per_s", "speed", e, width)
        return Plot("tokens/s", *e.shown, series, y=_below_title(self.y("speed", columns), height))

    def _body(self, name: str, style: str, e: Extent, width: int) -> tuple[tuple[Series, ...], list[Columns]]:
        """A noisy series: from least to most behind, its mean in front."""
        run = self._bench.run
        if run is None or not len(run.curves):
            return (), []
        found = run.curves.columns(name, e.axis, *e.shown, columns_of(width))
        mean = replace(found, low=found.mean, high=found.mean)
        spread = replace(found, spikes=np.zeros_like(found.spikes))
        return (Series("", "dim", spread, "raw"), Series("", style, mean)), [found]


def axis_name(axis: Axis, bench: Bench) -> str:
    """What an axis counts, as it is written."""
    if axis == "tokens" and bench.now.data.layout == "windows":
        return "examples"
    return "FLOPs" if axis == "flops" else axis


def _below_title(y: Range, height: int) -> Range:
    """On a low chart the range with a row left for the title, which would hide a good part of the curve."""
    rows = height - (2 if height >= 5 else 1)
    return (y[0], y[1] + (y[1] - y[0]) / (rows - 1)) if 2 <= rows <= _LOW else y


def planned(preset: Preset, e: Extent, n: int, bench: Bench) -> Columns | None:
    """The learning rate that a preset plans for the steps to come, in n columns; None where no x can be told."""
    run = bench.run
    done = len(run.curves) if run is not None and not run.over else 0
    begin, end = e.shown
    a_step = e.a_step
    if e.axis in ("tokens", "flops"):  # a token costs what it costs now, whatever T is proposed
        a_step = a_step * tokens_per_step_of(preset) / tokens_per_step_of(bench.now)
    now = e.now if done else 0.0
    x = begin + (np.arange(n) + 0.5) * (end - begin) / n
    steps = done + np.floor((x - now) / a_step).astype(np.int64)
    there = (steps >= done) & (steps < preset.schedule.steps)
    values = np.full(n, np.nan)
    values[there] = schedule.curve(preset, steps[there])
    return Columns.of(begin, end, values)


def _value(name: Name, now: Moment) -> str:
    """What stands beside the cursor."""
    v = now.values
    if name == "loss":
        return f"{v['loss']:.4f}"
    found = v[{"lr": "lr", "grad": "grad_norm", "speed": "tokens_per_s"}[name]]
    return number(found) if found is not None else "–"
