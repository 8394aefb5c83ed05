"""Memory and tokens/s against B, over B's logarithm: what was measured, and nothing between. No Textual."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.screen.charts.curves import Columns
from workbench.screen.charts.plotting import GUTTER, Floor, Plot, Points, Series, columns_of
from workbench.screen.charts.plotting import draw as draw_plot
from workbench.screen.frame.lined import Run
from workbench.screen.frame.units import amount
from workbench.screen.lab.asking import Told
from workbench.screen.lab.view import number

Line = list[Run]
INKS = {"label": "dim", "note": "", "cursor": "mark"}
SIDE = 0.25
"""Of a doubling of B, left and right of the points."""
GAP = 1
FAR = 3.0


@dataclass(frozen=True)
class Measure:
    """One of the two charts: its title, its ink, and what a probe says of it."""

    title: str
    ink: str
    key: str
    scale: float = 1.0


def lines(probes: Sequence[Told], limit: float | None, width: int, height: int) -> list[Line]:
    """Both charts in `height` rows of `width` cells: one above the other, or beside each other where it is low."""
    unit, name = unit_of(probes)
    memory = Measure(f"memory, {name}", "grad", "memory_bytes", 1 / unit)
    speed = Measure("tokens/s", "speed", "tokens_per_s")
    most = max((number(probe, "memory_bytes") or 0.0 for probe in probes), default=0.0)
    # A limit that is far away would press the curve flat.
    floors = (Floor(limit / unit, "limit"),) if limit and limit < FAR * most else ()
    if width >= 64 and height < 14:
        half = (width - GAP) // 2
        left, right = _chart(probes, memory, half, height, floors), _chart(probes, speed, width - GAP - half, height)
        return [[*a, (" " * GAP, ""), *b] for a, b in zip(left, right, strict=True)]
    above = height // 2
    return _chart(probes, memory, width, above, floors) + _chart(probes, speed, width, height - above)


def unit_of(probes: Sequence[Told]) -> tuple[float, str]:
    """The unit in which the largest amount has one to three digits."""
    held = [value for probe in probes if (value := number(probe, "memory_bytes")) is not None]
    _, _, name = amount(max([*held, 1.0])).rpartition(" ")
    return 1024.0 ** ("B", "KiB", "MiB", "GiB", "TiB", "PiB").index(name), name


def _chart(
    probes: Sequence[Told], what: Measure, width: int, height: int, floors: tuple[Floor, ...] = ()
) -> list[Line]:
    found = [(math.log2(p["B"]), value * what.scale) for p in probes if (value := number(p, what.key)) is not None]
    every = [math.log2(p["B"]) for p in probes]
    begin, end = min(every, default=0.0) - SIDE, max(every, default=1.0) + SIDE
    x, y = (np.array(values, dtype=np.float64) for values in zip(*found, strict=True)) if found else (np.empty(0),) * 2
    highest = max([*y.tolist(), *(floor.value for floor in floors)], default=1.0)
    notes = () if found else ("not measured yet",)
    plot = Plot(
        what.title, begin, end, (Series("", what.ink, _joined(x, y, begin, end, columns_of(width))),),
        (Points("", what.ink, x, y, "●"),), floors, notes=notes, y=(0.0, highest * 1.25 or 1.0),
    )  # fmt: skip
    drawn = draw_plot(plot, width, height)
    body = drawn[: height - (2 if height >= 5 else 1)]
    below = _axis([p["B"] for p in probes], begin, end, width)
    return [[(text, INKS.get(ink, ink)) for text, ink in row] for row in body] + below[-(height - len(body)) :]


def _joined(x: "np.ndarray[tuple[int], np.dtype[np.float64]]", y: "np.ndarray[tuple[int], np.dtype[np.float64]]",
            begin: float, end: float, n: int) -> Columns:  # fmt: skip
    """Straight lines from point to point."""
    middle = begin + (np.arange(n) + 0.5) * (end - begin) / n
    values = np.full(n, np.nan)
    if len(x) > 1:
        inside = (middle >= x[0]) & (middle <= x[-1])
        values[inside] = np.interp(middle[inside], x, y)
    return Columns(begin, end, values, values, values, np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_))


def _axis(sizes: Sequence[int], begin: float, end: float, width: int) -> list[Line]:
    """A tick for every B that was tried, and their names where there is room; the largest and the smallest first."""
    inner = width - GUTTER
    axis, names = ["─"] * inner, [" "] * inner
    for B in sizes:
        axis[_cell(B, begin, end, inner)] = "┬"
    order = [*sizes[:1], *sizes[-1:], *sorted(sizes[1:-1], key=lambda B: (B & (B - 1) != 0, B))]
    for B in order:
        text, at = f"{B:,}", _cell(B, begin, end, inner)
        x = min(max(at - len(text) // 2, 0), max(inner - len(text), 0))
        if all(c == " " for c in names[max(x - 1, 0) : x + len(text) + 1]) and x + len(text) <= inner:
            names[x : x + len(text)] = text
    return [
        [(" " * (GUTTER - 1) + "└" + "".join(axis), "axis")],
        [(f"{'B':>{GUTTER - 1}} ", "dim"), ("".join(names), "dim")],
    ]


def _cell(B: int, begin: float, end: float, cells: int) -> int:
    return min(int((math.log2(B) - begin) / (end - begin) * cells), cells - 1)
