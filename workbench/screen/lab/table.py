"""Tables of what a word told: whatever its columns are, in the columns that there are. No Textual."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from rich.cells import cell_len

from workbench.screen.frame.lined import Run
from workbench.screen.frame.paragraph import paragraph
from workbench.screen.glyphs import ELLIPSIS, fit, plain

Line = list[Run]
GAP = 2
NARROWEST = 10
"""Columns to which a column of text is narrowed before others are left out."""
_FIGURE = re.compile(r"[<>~≈]? ?[-−+]?[\d.,]+(e[-+]?\d+)?( ?[%×KMGT]?i?B?)?", re.ASCII)
MOST_ROWS = 400
LONGEST = 200
"""Characters of a cell that are looked at."""


@dataclass(frozen=True)
class Table:
    """Cells as they are drawn, and which columns are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[bool, ...]

    @classmethod
    def of(cls, title: str, columns: Sequence[object], rows: Sequence[Sequence[object]]) -> "Table":
        """Of cells as JSON has them: texts, numbers, true, false and null."""
        n = len(columns)
        padded = [[*row, *[None] * n][:n] for row in rows[:MOST_ROWS]]
        cells = tuple(tuple(cell(value) for value in row) for row in padded)
        numbers = tuple(_numeric([row[i] for row in cells]) for i in range(n))
        return cls(plain(title), tuple(plain(str(name)[:LONGEST]) for name in columns), cells, numbers)

    @classmethod
    def told(cls, document: Any) -> "Table | None":
        """Of `{"title", "columns", "rows"}`; None of anything else."""
        if not isinstance(document, dict):
            return None
        columns, rows = document.get("columns"), document.get("rows")
        if not isinstance(columns, list) or not isinstance(rows, list) or not columns:
            return None
        title = document.get("title")
        return cls.of(title if isinstance(title, str) else "", columns, [row for row in rows if isinstance(row, list)])


def _numeric(column: Sequence[str]) -> bool:
    """Whether most of a column's cells are figures, as numbers or already written out: then it stands to the right."""
    there = [text for text in column if text.strip("– ")]
    return bool(there) and sum(bool(_FIGURE.fullmatch(text)) for text in there) >= 0.7 * len(there)


def cell(value: object) -> str:
    """One value in a few characters."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**15 else f"{value:.3e}"
    if isinstance(value, float):
        return figure(value)
    return plain(str(value)[:LONGEST])


def figure(value: float) -> str:
    """A measured figure: four digits that count, powers of ten where they are shorter."""
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"
    return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def chosen_from(table: Table, width: int, *, inks: Sequence[str] = ()) -> tuple[list[Line], list[int]]:
    """`lines` of a table whose rows the cursor stands on: a column for its mark before them."""
    drawn, begins = lines(table, width - 1, inks=inks)
    return [[(" ", ""), *line] for line in drawn], begins


def lines(table: Table, width: int, *, inks: Sequence[str] = ()) -> tuple[list[Line], list[int]]:
    """The title, the header and every row, none wider than `width`; and at which line each row begins.

    Headers and texts are broken between words before anything is left out; what is left out is said. `inks` are the
    rows' own.
    """
    widths = _widths(table, width)
    shown = len(widths)
    out: list[Line] = [[(text, "title")] for text in paragraph(table.title, width)] if table.title else []
    out += _row(
        [paragraph(name, w) for name, w in zip(table.columns, widths, strict=False)], widths, table.right, "dim"
    )
    if shown < len(table.columns):
        left = len(table.columns) - shown
        told = f"{ELLIPSIS} {left} more column{'s' if left > 1 else ''} where there is room"
        out.append([(fit(told, min(len(told), width)), "dim")])
    begins = []
    for n, row in enumerate(table.rows):
        begins.append(len(out))
        cells = [
            [fit(text, w).strip()] if right else paragraph(text, w)
            for text, w, right in zip(row, widths, table.right, strict=False)
        ]
        out += _row(cells, widths, table.right, inks[n] if n < len(inks) else "")
    return out, begins


def _widths(table: Table, width: int) -> list[int]:
    """The columns that fit, each with its width."""
    natural, least = [], []
    for i, name in enumerate(table.columns):
        longest = max((cell_len(row[i]) for row in table.rows), default=0)
        word = max((cell_len(part) for part in name.split(" ")), default=1)
        natural.append(max(longest, word, 1))
        least.append(natural[i] if table.right[i] else min(natural[i], max(NARROWEST, min(word, 16))))
    widths = list(least)
    while len(widths) > 1 and sum(widths) + GAP * (len(widths) - 1) > width:
        widths.pop()
    widths[0] = min(widths[0], max(width, 1))
    spare = width - sum(widths) - GAP * (len(widths) - 1)
    while spare > 0 and (short := [i for i, w in enumerate(widths) if w < natural[i]]):
        for i in short:
            if spare:
                widths[i] += 1
                spare -= 1
    # A header that need not be broken is not.
    for i, w in enumerate(widths):
        more = min(max(cell_len(table.columns[i]) - w, 0), spare)
        widths[i] += more
        spare -= more
    return widths


def _row(cells: Sequence[Sequence[str]], widths: Sequence[int], right: Sequence[bool], ink: str) -> list[Line]:
    """A row of as many lines as its tallest cell has; a header's words stand at the bottom."""
    tall = max((len(part) for part in cells), default=1)
    padded = [[""] * (tall - len(part)) + list(part) if ink == "dim" else list(part) for part in cells]
    out: list[Line] = []
    for parts in zip_longest(*padded, fillvalue=""):
        told = (" " * GAP).join(
            " " * max(w - cell_len(part), 0) + part if to_right else part + " " * max(w - cell_len(part), 0)
            for part, w, to_right in zip(parts, widths, right, strict=False)
        )
        out.append([(told.rstrip(), ink)])
    return out
