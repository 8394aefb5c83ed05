"""x above y in columns that stand under each other: how rows of tokens become runs of text.

Column j of y stands under column j of x, so y reads as x moved one to the left: y[j] = x[j+1].
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workbench.screen.frame.lined import Run
from workbench.screen.glyphs import cell, width_of

SHADES = 8
BARS = "▁▂▃▄▅▆▇█"
"""A loss's shade where colours cannot be told apart."""
NARROWEST, WIDEST = 4, 12
"""Columns of a cell for tokens of many characters: a longer one is cut, and cut sooner where few would fit."""
AT_LEAST = 8
"""Tokens that should stand beside each other before cells become wider than NARROWEST."""


def shades(losses: npt.NDArray[np.floating], vocab: int) -> npt.NDArray[np.int64]:
    """0 … 7 for each loss in nats: eighths of ln V, what a guess that knows nothing costs; 7 for all beyond."""
    scaled = np.nan_to_num(losses.astype(np.float64) * (SHADES / math.log(max(vocab, 2))), nan=SHADES, posinf=SHADES)
    return np.clip(scaled, 0, SHADES - 1).astype(np.int64)


def merged(runs: Iterable[Run]) -> list[Run]:
    """The same text with neighbours of equal ink joined: fewer changes of colour to send."""
    joined: list[Run] = []
    for text, ink in runs:
        if joined and joined[-1][1] == ink:
            joined[-1] = (joined[-1][0] + text, ink)
        else:
            joined.append((text, ink))
    return joined


@dataclass(frozen=True)
class Columns:
    """Which columns of T fit beside the labels, and how wide each is."""

    begin: int
    end: int
    width: int
    T: int

    @classmethod
    def fitting(cls, T: int, width: int, room: int, keep: int, begin: int) -> "Columns":
        """As many as `room` takes, moved from `begin` just so far that column `keep` is among them."""
        if T * width <= room:
            return cls(0, T, width, T)
        shown = max(1, (room - 2) // width)  # a mark at either end says that there is more
        margin = min(2, (shown - 1) // 2)
        begin = min(max(begin, keep + margin - shown + 1), max(0, keep - margin))
        begin = min(max(begin, 0), T - shown)
        return cls(begin, begin + shown, width, T)

    @property
    def cut(self) -> bool:
        return self.end - self.begin < self.T

    def framed(self, runs: Sequence[Run]) -> list[Run]:
        """With marks where columns are hidden on the left and on the right."""
        if not self.cut:
            return list(runs)
        left, right = "…" if self.begin else " ", "…" if self.end < self.T else " "
        return [(left, "dim"), *runs, (right, "dim")]


@dataclass(frozen=True)
class Cells:
    """How a token is drawn: its text or its id, in how many columns, with a background that tells neighbours apart."""

    pieces: dict[int, str]
    width: int
    ids: bool
    plain: bool
    """Backgrounds do not show: a gap tells neighbours apart instead."""

    @classmethod
    def of(cls, pieces: dict[int, str], room: int, *, ids: bool, plain: bool) -> "Cells":
        """As wide as the widest of them, within the limits above, for a row of `room` columns."""
        if ids:
            return cls(pieces, max((len(str(id)) for id in pieces), default=1) + 1, True, plain)
        most = min(max(room // AT_LEAST, NARROWEST), WIDEST)
        widest = min(max((width_of(piece) for piece in pieces.values()), default=1), most)
        return cls(pieces, max(widest, 1) + (1 if plain and widest > 1 else 0), False, plain)

    @property
    def banded(self) -> bool:
        return self.width > 1 and not self.ids

    def text(self, id: int) -> str:
        if self.ids:
            return f"{id:>{self.width - 1}} "
        if self.plain and self.width > 1:
            return cell(self.pieces[id], self.width - 1) + " "
        return cell(self.pieces[id], self.width)

    def row(self, ids: Sequence[int], columns: Columns, inks: Sequence[str]) -> list[Run]:
        """A row's visible cells; `inks` has one for each column of the row, "" for none."""
        shown = range(columns.begin, columns.end)
        return merged((self.text(ids[t]), inks[t] or (f"token-{t % 2}" if self.banded else "")) for t in shown)

    def bars(self, levels: Sequence[int], columns: Columns) -> list[Run]:
        """The shades of a row as bars, one under each cell."""
        line = "".join(BARS[levels[t]].ljust(columns.width) for t in range(columns.begin, columns.end))
        return [(line, "val")]


def inks_of_x(T: int, cursor: int | None) -> list[str]:
    """What a prediction at `cursor` may see is lit, all after it dimmed; the token that it is asked for is marked."""
    if cursor is None:
        return [""] * T
    rest = ["mark"] + ["dim"] * (T - cursor - 2) if cursor + 1 < T else []
    return ["past"] * (cursor + 1) + rest


def inks_of_y(width: int, cursor: int | None, levels: Sequence[int] | None) -> list[str]:
    """Shaded by loss where it is known; y[cursor] stands out, and without losses the rest of its row is dimmed."""
    if levels is not None:
        inks = [f"shade-{level}" for level in levels]
    else:
        inks = ["" if cursor is None else "dim"] * width
    if cursor is not None:
        inks[cursor] = "target"
    return inks
