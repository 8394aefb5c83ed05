"""The lines around the grid: what is counted, where rows were cut, what cells say together, which rows these are."""

from functools import lru_cache

import numpy as np

from workbench.runs.inspections import Inspected
from workbench.screen.batch.cuts import NOTHING, ONE, SHARED, Cuts, Marks, cells_of, cuts, spread, strip
from workbench.screen.batch.grid import BARS, SHADES, merged
from workbench.screen.batch.sheet import Sheet
from workbench.screen.frame.lined import Run
from workbench.screen.glyphs import cell, width_of

CLOSE = 1e-5
"""How far, relatively, the mean of the cells may be from the logged loss: both are sums of fp32."""
_STRIP = {NOTHING: ("·", "train"), ONE: ("▄", "train"), SHARED: ("█", "warn")}  # few inks: few bytes


def header(sheet: Sheet, width: int) -> list[Run]:
    """B·T = 4·8 = 32 predictions, and the shapes."""
    b = sheet.preset.batch
    factors = [("B", sheet.rows if sheet.typed else b.B)]
    if not sheet.windows:
        factors.append(("T", sheet.T))
    if not sheet.typed:
        factors += [(name, n) for name, n in (("accum", b.accum), ("world", sheet.world)) if n > 1]
    names, numbers = "·".join(name for name, _ in factors), "·".join(f"{n:,}" for _, n in factors)
    counted = f"{names} = {numbers} = " if len(factors) > 1 else f"{names} = "
    each = ", one a row" if sheet.windows else ""
    line: list[Run] = [(counted, ""), (f"{sheet.predictions:,}", "value"), (f" predictions{each}", "")]
    B, V = factors[0][1], sheet.vocab
    shapes = f"[{B}, {sheet.T}] → [{B}, {V:,}]" if sheet.windows else f"[{B}, {sheet.T}] → [{B}, {sheet.T}, {V:,}]"
    micro = 1 if sheet.typed else b.accum * sheet.world
    times = f" ×{micro}" if micro > 1 else ""
    general = "[B,T] → [B,V]  " if sheet.windows else "[B,T] → [B,T,V]  "
    used = sum(len(text) for text, _ in line) + 2
    for shown in (general + shapes + times, shapes + times, shapes):
        if used + len(shown) <= width:
            return [*line, (" " * (width - used - len(shown) + 2), ""), (shown, "dim")]
    return line


def labels(sheet: Sheet, row: int, *, short: bool, done: int) -> tuple[str, str]:
    """What stands before x and before y: which row this is, and where it was cut. `done`: micro-batches trained on."""
    micro, rank, _ = sheet.place(row)
    parts = [f"row {row}"]
    if not sheet.typed and sheet.preset.batch.accum > 1:
        parts.append(f"m{micro + 1}" + ("✓" if micro < done else ""))
    if not sheet.typed and sheet.world > 1:
        parts.append(f"r{rank}")
    offset = int(sheet.offsets[row])
    return " ".join(parts).removeprefix("row " if short else ""), f"@{offset}" if short else f"@{offset:,}"


def means(told: Inspected, logged: float | None) -> tuple[float, float, bool]:
    """(the mean of the cells, the logged loss, whether they agree)."""
    mean = float(np.mean(told.losses, dtype=np.float64))
    record = told.loss if logged is None else logged
    both_nan = mean != mean and record != record
    return mean, record, both_nan or abs(mean - record) <= CLOSE * max(1.0, abs(record))


def mean_line(told: Inspected, logged: float | None, vocab: int, width: int, *, plain: bool) -> list[Run]:
    """The mean of the cells beside the loss that was logged, and what the shades mean."""
    mean, record, agree = means(told, logged)
    line: list[Run] = [
        (f"mean of {told.losses.size:,} cells ", "dim"),
        (f"{mean:.4f}", "value"),
        (f" {'=' if agree else '≠'} logged ", "dim"),
        (f"{record:.4f}", "value"),
        (" ✓" if agree else " ✗", "good" if agree else "bad"),
    ]
    scale = f" ln V = {np.log(vocab):.2f} nats"
    used = sum(len(text) for text, _ in line)
    if used + len(scale) + SHADES + 5 <= width:
        blocks: list[Run] = [(BARS, "val")] if plain else [(" ", f"shade-{n}") for n in range(SHADES)]
        line += [(" " * (width - used - len(scale) - SHADES - 2), ""), ("0 ", "dim"), *blocks, (scale, "dim")]
    return line


@lru_cache(maxsize=4)
def _strip_of(sheet: Sheet, width: int) -> tuple[Cuts, Marks, tuple[str, ...]]:
    length = 1 if sheet.windows else sheet.T
    found = cuts(sheet.offsets, length)
    ends = ("0 ", f" {sheet.train.n:,}", f"  {told}" if (told := found.told()) else "")
    room = max(8, width - sum(map(len, ends)))
    return found, strip(sheet.offsets, length, sheet.train.n, room), ends


def strip_line(sheet: Sheet, row: int, width: int) -> list[Run]:
    """The whole training split on one line: where the step's rows were cut, where they share tokens; ▲ is `row`."""
    _, marks, (left, right, told) = _strip_of(sheet, width)
    length = 1 if sheet.windows else sheet.T
    begin, end = cells_of(int(sheet.offsets[row]), length, sheet.train.n, len(marks))
    cells: list[Run] = []
    for n, mark in enumerate(marks.tolist()):
        glyph, ink = _STRIP[mark]
        cells.append(("▲", "mark") if begin <= n < end else (glyph, ink))
    return [(left, "dim"), *merged(cells), (right, "dim"), (told, "warn")]


@lru_cache(maxsize=8)
def text_line(sheet: Sheet, row: int, t: int, width: int) -> list[Run]:
    """The running text around the cut: the row's own tokens lit up to the cursor, the token that comes marked."""
    given = sheet.T if sheet.windows else t + 1
    back = sheet.T if sheet.windows else 0
    pieces, at = sheet.around(row, width + back, width + given + 1)
    start, target = (at - back, at) if sheet.windows else (at, at + given)
    last = at if sheet.windows else at + sheet.T
    room = width - 7
    widths = [width_of(piece) for piece in pieces]
    begin, end = spread(widths, min(target, len(pieces) - 1), room)
    cells: list[Run] = [("text ", "dim"), ("…" if begin or int(sheet.offsets[row]) > at else " ", "dim")]
    for n in range(begin, end):
        ink = "target" if n == target else "past" if start <= n < target else "" if start <= n <= last else "dim"
        cells.append((cell(pieces[n], widths[n]) if widths[n] else "", ink))
    cells.append(("…" if end < len(pieces) else "", "dim"))
    return merged(cells)


def caption(sheet: Sheet, told: Inspected | None, shown: tuple[int, int], *, chosen: bool, width: int) -> str:
    """Which rows these are, whose hash the worker confirms, and which of them are on the screen; the end gives way."""
    parts = ["rows at starts of your own" if sheet.typed else f"record {sheet.step:,}{_when(sheet)}"]
    if sheet.first is not None:
        parts.append(f"rows {sheet.first:,}–{sheet.first + sheet.rows - 1:,}")
    digest = sheet.hash or (told.hash if told else "")
    if digest:
        same = " ✓ worker" if sheet.hash else " ✓ first rows"
        checked = "" if told is None else same if sheet.agrees(told) else " ✗ not the worker's"
        parts.append(f"hash {digest[:8]}{checked}")
    if shown[1] - shown[0] < sheet.rows:
        parts.append(f"{shown[0] + 1}–{shown[1]} of {sheet.rows:,}")
    if chosen:
        parts.append("f follows")
    for drop in (None, "f follows", parts[1] if len(parts) > 1 else None):
        if drop in parts and drop is not None and len(" · ".join(parts)) > width:
            parts.remove(drop)
    while len(" · ".join(parts)) > width and len(parts) > 1:
        parts.pop()
    return " · ".join(parts)


def _when(sheet: Sheet) -> str:
    return "" if sheet.trained else " (to come)"
