"""Which part of a run the charts show, and how one moves through it. No Textual; an x is as in `curves`."""

from dataclasses import dataclass
from typing import Literal

from workbench.plan.arithmetic import tokens_per_step_of
from workbench.screen.bench.bench import Bench
from workbench.screen.charts.axes import Range, follow_range, pan, zoom
from workbench.screen.charts.curves import Axis, Curves
from workbench.screen.charts.decimation import SMOOTHING

Mode = Literal["", "cursor", "zoom"]

ZOOM = 2.0
"""How many times narrower or wider a zoom makes the range."""
PAN = 0.125
"""Of the range's width, moved by one key."""
LEAST = 8
"""Steps that the closest zoom shows."""
FIRST_SECONDS = 8.0
"""The range that a run is first followed in, on an axis of time; 64 steps on the others."""


@dataclass
class View:
    """What the keys of the charts have chosen."""

    axis: Axis = "step"
    level: float = SMOOTHING[0]
    """Of the loss's smoothing; 0 draws the loss as it is."""
    log: bool = False
    mode: Mode = ""
    zoomed: Range | None = None
    """A range that someone has chosen; None follows the run."""
    whole: bool = False
    """Follows with the whole run in sight, its steps to come included."""
    cursor: int | None = None
    """The record that the cursor stands on."""

    def next_level(self) -> None:
        """Off, 0.9, 0.99, 0.999, off."""
        levels = (0.0, *SMOOTHING)
        self.level = levels[(levels.index(self.level) + 1) % len(levels)]

    def next_axis(self) -> None:
        """Step, tokens, FLOPs, time. A chosen range is of the old axis, and goes."""
        axes: tuple[Axis, ...] = ("step", "tokens", "flops", "time")
        self.axis, self.zoomed = axes[(axes.index(self.axis) + 1) % len(axes)], None

    def follow(self) -> None:
        """Back to following; from there to the whole run, and back."""
        self.whole = not self.whole if self.zoomed is None else False
        self.zoomed = None


@dataclass(frozen=True)
class Extent:
    """How far the runs on the charts reach on an axis, and what there is to show of it."""

    axis: Axis
    now: float
    """The end of the open run's records."""
    limit: float
    """The end of all: the open run's steps to come, and the other runs."""
    a_step: float
    """What a step takes, about."""
    shown: Range


def extent(bench: Bench, view: View) -> Extent:
    """Where the runs are now. Without a time to tell, or a price of tokens, such an axis is one of steps."""
    run = bench.run
    reach = max((curves for curves in _drawn(bench)), key=len, default=None)
    priced = bool(reach) and all(curves.spent for curves in _drawn(bench))
    axis: Axis = "step" if (view.axis == "time" and not reach) or (view.axis == "flops" and not priced) else view.axis
    n = len(run.curves) if run else 0
    now = run.curves.x_of(n, axis) if run else 0.0
    there = now * (n + run.curves.behind) / n if run and n else now  # with what has not been read yet
    others = max((curves.x_of(len(curves), axis) for curves in _drawn(bench)), default=0.0)
    a_step = 1.0
    if axis in ("tokens", "flops"):
        last = run.curves.last if run else None
        a_step = float(tokens_per_step_of(bench.now, world=last["world"] if last else bench.world))
        if axis == "flops" and reach and reach.spent:
            spent = run.curves.spent if run and run.curves.spent else reach.spent
            a_step *= spent.price
    elif axis == "time" and reach:
        a_step = now / n if n else others / len(reach)
    if run is not None and run.over:
        end = max(there, others)
        limit = end or a_step * run.steps
        natural = (0.0, limit)
    else:
        to_come = bench.now.schedule.steps - n
        end = now + max(to_come, 0) * a_step
        limit = max(end, others)
        if not n and axis != "time":
            natural = (0.0, limit)
        elif axis == "time":  # what is to come is a guess: a range that follows it exactly would tremble
            unit = FIRST_SECONDS / 64
            natural = _scaled(follow_range((limit if view.whole else there) / unit, 0), unit)
        else:
            natural = (0.0, limit) if view.whole else _scaled(follow_range(there / a_step, end / a_step), a_step)
    return Extent(axis, now, max(limit, natural[1]), a_step, view.zoomed or natural)


def _drawn(bench: Bench) -> list[Curves]:
    runs = [bench.run, *bench.overlays] if bench.run else bench.overlays
    return [run.curves for run in runs if run is not None and len(run.curves)]


def _scaled(shown: Range, unit: float) -> Range:
    return shown[0] * unit, shown[1] * unit


# ----------------------------------------------------------------------------------- moving


def magnify(bench: Bench, view: View, by: int, at: float | None = None) -> None:
    """Zoom in (1) or out (−1) around `at`, else the cursor, else the end of what is there."""
    e = extent(bench, view)
    begin, end = e.shown
    if at is None:
        at = (begin + end) / 2
        if view.mode == "cursor" and view.cursor is not None and bench.run:
            at = bench.run.curves.x_of(view.cursor, e.axis)
    wanted = zoom(e.shown, ZOOM**-by, at, e.limit, least=LEAST * e.a_step)
    # All of it is what following shows anyway.
    view.zoomed = None if by < 0 and wanted[1] - wanted[0] >= e.limit * (1 - 1e-9) else wanted
    view.whole |= view.zoomed is None


def shift(bench: Bench, view: View, share: float) -> None:
    """Pan by a share of the width, to the right if it is positive."""
    e = extent(bench, view)
    moved = pan(e.shown, share, e.limit)
    if moved != e.shown:
        view.zoomed = moved


def first_cursor(bench: Bench, view: View) -> int | None:
    """Where the cursor begins: at the last record in sight; None of no records."""
    run = bench.run
    if run is None or not len(run.curves):
        return None
    e = extent(bench, view)
    return run.curves.step_of(e.axis, min(e.shown[1], e.now))


def moved(bench: Bench, view: View, by: int, cells: int) -> int:
    """The step that lies `by` cells from the cursor, of `cells` over the range; at least one step away."""
    assert bench.run is not None
    assert view.cursor is not None
    curves, e = bench.run.curves, extent(bench, view)
    width = (e.shown[1] - e.shown[0]) / max(cells, 1)
    cell = int((curves.x_of(view.cursor, e.axis) - e.shown[0]) // width) + by
    step = landmark(bench, view, e.shown[0] + cell * width, e.shown[0] + (cell + 1) * width)
    if by > 0 and step <= view.cursor:
        step = view.cursor + 1
    elif by < 0 and step >= view.cursor:
        step = view.cursor - 1
    return min(max(step, 0), len(curves) - 1)


def landmark(bench: Bench, view: View, begin: float, end: float) -> int:
    """The step in [begin, end) that someone would point at: not finite, a spike, an edit; else the middle one."""
    assert bench.run is not None
    run, e = bench.run, extent(bench, view)
    middle = run.curves.step_of(e.axis, (begin + end) / 2)
    first, last = (run.curves.step_of(e.axis, x) for x in (begin, end))
    if last - first < 2:
        return middle
    first += run.curves.x_of(first, e.axis) < begin
    if (flagged := run.curves.landmark(first, last)) is not None:
        return flagged
    edits = [event["step"] for event in run.of("edit") if first <= event["step"] < last]
    return edits[0] if edits else middle


def keep_in_sight(bench: Bench, view: View) -> None:
    """Pan so far that the cursor is on the charts."""
    if view.cursor is None or bench.run is None:
        return
    e = extent(bench, view)
    x, (begin, end) = bench.run.curves.x_of(view.cursor, e.axis), e.shown
    if not begin <= x < end:
        over = x - begin if x < begin else x + e.a_step - end
        shift(bench, view, over / (end - begin))
