"""A chart as rows of styled text: what is in it, and how it is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from workbench.screen.charts.axes import Axes, Range, Scale, labels, number, short, ticks, y_range
from workbench.screen.charts.canvas import Canvas, Pattern, Run, single
from workbench.screen.charts.curves import Axis, Columns
from workbench.screen.charts.decimation import Matrix

GUTTER = 7  # cells left of the curves: six for a number, one for the axis; fixed, so that charts below each other align

Look = Literal["raw", "line", "plan"]
Event = Literal["checkpoint", "eval", "edit", "spike", "nonfinite"]

GLYPHS: dict[Event, str] = {"checkpoint": "▪", "eval": "◆", "edit": "▲", "spike": "!", "nonfinite": "✗"}
"""What stands on the axis; where two fall into one cell, the later of these is seen."""

_PATTERNS: dict[Look, Pattern] = {"raw": "thin", "line": "solid", "plan": "dashes"}
_SAMPLES: dict[Look, tuple[str, str]] = {"raw": ("⠪⠪", "··"), "line": ("⠒⠒", "▄▄"), "plan": ("⠒ ⠒", "· ·")}
_CUT = "▲"


@dataclass(frozen=True)
class Series:
    """A curve: raw is thin dots from least to most in a column, line is solid, plan is dashed.

    Another run's curve has a letter, which stands at its end. Without a label the legend is silent.
    """

    label: str
    style: str
    columns: Columns
    look: Look = "line"
    letter: str = ""


@dataclass(frozen=True, eq=False)
class Points:
    """Single values, such as validation losses: a mark in a cell for each. Without a label the legend is silent."""

    label: str
    style: str
    x: Matrix
    y: Matrix
    glyph: str = "◆"


@dataclass(frozen=True)
class Floor:
    """A horizontal line with its name and value."""

    value: float
    label: str


@dataclass(frozen=True)
class Cursor:
    """A vertical line, and the words beside it."""

    x: float
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plot:
    """A chart over x in [begin, end). Series have `columns_of(width)` columns over the same range."""

    title: str
    begin: float
    end: float
    series: tuple[Series, ...] = ()
    points: tuple[Points, ...] = ()
    floors: tuple[Floor, ...] = ()
    marks: tuple[tuple[Event, float], ...] = ()
    cursor: Cursor | None = None
    notes: tuple[str, ...] = ()  # lines in the middle, where there is nothing to see yet
    x: Axis = "step"
    unit: str = ""
    """What stands before the axis; "": the name of x."""
    y: Range | None = None  # None: `y_range` of all that is drawn
    log: bool = False
    braille: bool = True
    thick: bool = False


def columns_of(width: int) -> int:
    """How many columns a series needs for a chart `width` cells wide."""
    return 2 * max(width - GUTTER, 1)


def draw(plot: Plot, width: int, height: int) -> list[list[Run]]:
    """`height` rows of `width` cells, as runs of text and style name; from 20 × 3 up.

    Styles besides those of the series: axis, label, title, floor, note, cursor, and mark-… for each event.
    """
    below = 2 if height >= 5 else 1
    canvas = Canvas(width - GUTTER, height - below, braille=plot.braille, thick=plot.thick)
    axes = _axes(plot)
    floors = [(axes.rows(np.array([f.value]), canvas.levels)[0], f) for f in plot.floors]
    floors = [(row, floor) for row, floor in floors if 0 <= row < canvas.levels]
    for row, _ in floors:
        canvas.hline(row, "floor")
    for series in plot.series:
        _curve(canvas, axes, series)
    for points in plot.points:
        rows = axes.rows(points.y, canvas.levels)
        there = ~np.isnan(rows)
        canvas.points(axes.columns(points.x, canvas.columns)[there], rows[there], points.glyph, points.style)
    for y, words in enumerate(plot.notes, start=max((canvas.height - len(plot.notes)) // 2, 1)):
        shown = f" {single(words)} "[: canvas.width]
        canvas.text((canvas.width - len(shown)) // 2, y, shown, "note")
    if plot.cursor is not None and plot.begin <= plot.cursor.x <= plot.end:
        _cursor(canvas, axes, plot.cursor)
    legend = _legend(canvas, plot)
    lines = {canvas.cell_row(row) for row, _ in floors}
    for row, floor in floors:
        y = canvas.cell_row(row)
        name = f" {single(floor.label)}"
        any(_name_floor(canvas, y, words, lines - {y}) for words in (f"{name} {number(floor.value)}", name))
    _cut(canvas, axes, plot.series, legend)
    _letters(canvas, axes, plot.series, legend)
    left = _y_labels(axes, canvas)
    rows_above = [[(f"{label:>{GUTTER - 1}}", "label"), ("┤" if label else "│", "axis")] for label in left]
    body = [gutter + row for gutter, row in zip(rows_above, canvas.rows(), strict=True)]
    return body + _x_axis(plot, axes, canvas.width, below)


def _axes(plot: Plot) -> Axes:
    points = [Columns.of(plot.begin, plot.end, p.y[(p.x >= plot.begin) & (p.x <= plot.end)]) for p in plot.points]
    low, high = plot.y or (0, 0)
    if not high > low or (plot.log and low <= 0):
        low, high = y_range([*(s.columns for s in plot.series), *points], log=plot.log)
    return Axes(plot.begin, plot.end, low, high, plot.log)


def _curve(canvas: Canvas, axes: Axes, series: Series) -> None:
    columns = series.columns
    # A chart that has just been resized may still hold columns of its old width.
    fit = np.arange(canvas.columns) * len(columns.mean) // canvas.columns
    top, bottom = axes.rows(columns.high, canvas.levels)[fit], axes.rows(columns.low, canvas.levels)[fit]
    if axes.log:
        bottom = np.where(np.isnan(bottom), np.where(np.isnan(top), np.nan, canvas.levels - 1), bottom)
    broken, pattern = columns.broken[fit], _PATTERNS[series.look]
    canvas.line(top, bottom, broken, series.style, pattern=pattern, above=series.look == "line")


def _letters(canvas: Canvas, axes: Axes, series: Sequence[Series], legend: int) -> None:
    """Other runs' letters, at the ends of their curves."""
    for one in series:
        ends = np.flatnonzero(one.columns.present)
        if one.letter and len(ends):
            x = int(ends[-1]) * canvas.width // len(one.columns.mean)
            row = axes.rows(one.columns.mean[ends[-1] :], canvas.levels)[0]
            top = int(x >= legend and canvas.height > 1)
            canvas.text(
                x, min(max(canvas.cell_row(np.nan_to_num(row)), top), canvas.height - 1), one.letter[0], one.style
            )


def _cut(canvas: Canvas, axes: Axes, series: Sequence[Series], legend: int) -> None:
    """A mark at the top, or just under the legend, for each stretch that reaches over it."""
    for one in series:
        columns = one.columns
        with np.errstate(invalid="ignore"):
            cells = np.unique(np.flatnonzero(columns.high > axes.high) * canvas.width // len(columns.high))
        for x in cells[np.diff(cells, prepend=-2) > 1].tolist():
            canvas.text(x, 0 if x < legend else 1, _CUT, one.style)


def _name_floor(canvas: Canvas, y: int, words: str, others: set[int]) -> bool:
    """Where nothing is hidden and no other line runs; else on the line itself, where the least is hidden.

    False where it would hide other words or marks: then it is not drawn.
    """
    right, inside = canvas.width - len(words), canvas.emptiest(y, len(words) + 1)
    places = [(right, y), (0, y), (right, y - 1), (right, y + 1)]
    if inside is not None and canvas.free(inside, y, len(words) + 1):
        places.insert(2, (inside, y))
    for x, row in places:
        if 0 <= row < canvas.height and row not in others and canvas.free(x, row, len(words)):
            canvas.text(x, row, (words if x else words[1:]) + " ", "floor")
            return True
    if inside is not None:
        canvas.text(inside, y, f"{words} ", "floor")
    return inside is not None


def _legend(canvas: Canvas, plot: Plot) -> int:
    """The title and the series at the top right, as many as there is room for. Returns where they begin."""
    parts = [(single(plot.title), "title")]
    for series in sorted(plot.series, key=lambda s: bool(s.letter)):
        if not (series.label or series.letter):
            continue
        sample = series.letter or _SAMPLES[series.look][0 if plot.braille else 1]
        parts.append((f"{sample} {single(series.label)}", series.style))
    parts += [(f"{points.glyph} {single(points.label)}", points.style) for points in plot.points if points.label]
    while len(parts) > 1 and sum(len(text) + 2 for text, _ in parts) > canvas.width:
        parts.pop()
    begin = x = max(canvas.width - sum(len(text) + 2 for text, _ in parts), 0)
    for text, style in parts:
        canvas.text(x, 0, f" {text} ", style)
        x += len(text) + 2
    return begin


def _cursor(canvas: Canvas, axes: Axes, cursor: Cursor) -> None:
    column = float(axes.columns(np.array([cursor.x]), canvas.columns)[0])
    canvas.vline(column, "cursor")
    room = max((len(single(words)) for words in cursor.words), default=0) + 2
    x = int(column / 2) + 1
    if x + room > canvas.width:
        x -= room + 1
    for y, words in enumerate(cursor.words, start=1):
        canvas.text(x, y, f" {single(words):<{room - 1}}", "cursor")


def _y_labels(axes: Axes, canvas: Canvas) -> list[str]:
    """A label for each row, empty where there is no tick."""
    wanted = max(canvas.height // 3, 2)
    found = ticks(axes.low, axes.high, wanted, log=axes.log)
    if len(found) < 2:
        found = ticks(axes.low, axes.high, 2 * wanted, log=axes.log)
    texts: list[str] = [""] * canvas.height
    # Ticks of a logarithm are told one by one: two of them, 1 and 10,000, look like 0 and 10,000 to `labels`.
    told = [number(value) for value in found] if axes.log else labels(found)
    for value, text in zip(found, told, strict=True):
        y = canvas.cell_row(axes.rows(np.array([value]), canvas.levels)[0])
        if 0 <= y < canvas.height and not texts[y]:
            texts[y] = text if len(text) < GUTTER else short(value, GUTTER - 1)
    return texts


def _x_axis(plot: Plot, axes: Axes, width: int, below: int) -> list[list[Run]]:
    """The axis with its marks, and under it the ticks' labels; on a low chart they share a row."""
    canvas = Canvas(GUTTER + width, below)
    canvas.text(GUTTER - 1, 0, "└" + "─" * width, "axis")
    scale: Scale = "time" if plot.x == "time" else "number"
    found = ticks(plot.begin, plot.end, max(width // 14, 2), scale=scale)
    name = f"{plot.unit or plot.x:>{GUTTER - 1}}"
    canvas.text(0, below - 1, name, "label")
    taken = len(name)
    for value, text in zip(found, labels(found, scale=scale), strict=True):
        place = GUTTER + int(axes.columns(np.array([value]), width)[0])
        if below > 1:
            canvas.text(place, 0, "┬", "axis")
        x = min(max(place - len(text) // 2, GUTTER), GUTTER + width - len(text))
        if x > taken:
            canvas.text(x, below - 1, text, "label")
            taken = x + len(text) + 1
    events = [(kind, x) for kind, x in plot.marks if plot.begin <= x <= plot.end]
    order = list(GLYPHS)
    for kind, at in sorted(events, key=lambda event: order.index(event[0])):
        place = int(axes.columns(np.array([at]), width)[0])
        canvas.text(GUTTER + place, 0, GLYPHS[kind], f"mark-{kind}")
    for one in plot.series:
        for kind, flags in (("spike", one.columns.spikes), ("nonfinite", one.columns.broken)):
            for cell in np.unique(np.flatnonzero(flags) * width // len(flags)):
                canvas.text(GUTTER + int(cell), 0, GLYPHS[kind], f"mark-{kind}")
    return canvas.rows()
