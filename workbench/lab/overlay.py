"""The losses of compared runs over each other, in characters: a letter a group, each point a column's mean."""

import string
from collections.abc import Sequence

import numpy as np

from workbench.data.visible import visible
from workbench.lab.compare import Comparison, Group
from workbench.lab.figures import pieces_along
from workbench.lab.flops import Numbers

_CLIP = 1.5
"""Times the largest first point of all curves: what a curve has above it is not drawn, and that is said."""


def letters(c: Comparison) -> list[str]:
    """The mark of each group: a, b, c …"""
    names = string.ascii_letters + string.digits
    return [names[i % len(names)] for i in range(len(c.groups))]


def curves(c: Comparison, columns: int) -> tuple[Numbers, list[Numbers]]:
    """The middles of so many columns over x, and each group's mean training loss in them, over its sound runs.

    NaN where no record of a group lies.
    """
    end = max((run.figures.get(c.x, 0.0) for run in c.runs), default=0.0) or 1.0
    middles = (np.arange(columns) + 0.5) * end / columns
    return middles, [_mean(group, c, end, columns) for group in c.groups]


def _mean(group: Group, c: Comparison, end: float, columns: int) -> Numbers:
    total, count = np.zeros(columns), np.zeros(columns)
    for run in group.sound or group.runs:
        for x, loss in pieces_along(run.path, c.x):
            finite = np.isfinite(loss)
            where = np.minimum((x[finite] * (columns / end)).astype(np.int64), columns - 1)
            total += np.bincount(where, loss[finite], columns)
            count += np.bincount(where, minlength=columns)
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / count, np.nan)


def chart(c: Comparison, *, width: int, height: int = 20) -> list[str]:
    """Lines of at most `width` cells with no colour in them; none where nothing was recorded."""
    columns = max(20, (width - 10) * 3 // 4)
    x, ys = curves(c, columns)
    if not any(np.isfinite(y).any() for y in ys):
        return []
    import plotext  # half a second that only this chart needs

    firsts = [float(y[np.isfinite(y)][0]) for y in ys if np.isfinite(y).any()]
    top = min(max(float(np.nanmax(y)) for y in ys if np.isfinite(y).any()), _CLIP * max(firsts))
    low = min(float(np.nanmin(y)) for y in ys if np.isfinite(y).any())
    plotext.clear_figure()
    plotext.plot_size(width, height)
    plotext.theme("clear")
    hidden = False
    for letter, group, y in zip(letters(c), c.groups, ys, strict=True):
        there = np.isfinite(y) & (y <= top)
        hidden |= bool((np.isfinite(y) & ~there).any())
        if there.any():
            plotext.scatter(x[there].tolist(), y[there].tolist(), marker=letter, label=visible(group.label))
    margin = 0.02 * (top - low) or 0.1
    plotext.ylim(low - margin, top + margin)
    _ticks(plotext, x, len(x))
    above = f", what is over {top:.2f} left out" if hidden else ""
    plotext.title(f"training loss, nats: the mean of each column{above}")
    plotext.xlabel(c.unit)
    text: str = plotext.uncolorize(plotext.build())
    return [line.rstrip() for line in text.rstrip().split("\n")]


def _ticks(plotext: object, x: Sequence[float] | Numbers, columns: int) -> None:
    end = float(x[-1]) * columns / (columns - 0.5)
    places = [end * part / 4 for part in range(5)]
    plotext.xlim(0, end)  # type: ignore[attr-defined]
    plotext.xticks(places, [f"{place:,.0f}" if 20 <= end < 1e7 else f"{place:.2g}" for place in places])  # type: ignore[attr-defined]
