"""A canvas of character cells: curves in braille dots, marks and words above them.

A cell holds 2 × 4 dots. Where a terminal or its font has no braille, `braille=False` draws the same curves with
block characters, eight levels to a cell. Rows and dots count from the top, columns from the left.
"""

import functools
import unicodedata
from typing import Literal

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Dots = npt.NDArray[np.bool_]
Run = tuple[str, str]  # text and the name of its style
Pattern = Literal["solid", "thin", "dashes"]

PLAIN = ""  # the style of what nobody drew

_BLOCKS = np.array([ord(c) for c in " ▁▂▃▄▅▆▇█"], dtype=np.uint32)
_DOT = ord("·")
_BRAILLE = 0x2800
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of the dot at [row][column] of a cell


class Canvas:
    """`width` × `height` cells, at least one of each, at first empty. What is drawn later is above."""

    def __init__(self, width: int, height: int, *, braille: bool = True, thick: bool = False) -> None:
        self.width, self.height = max(width, 1), max(height, 1)
        self.braille, self.thick = braille, thick
        self.columns = 2 * self.width  # values that a curve has, in both modes
        self.levels = (4 if braille else 8) * self.height  # rows of dots
        self._bits = np.zeros((self.height, self.width), dtype=np.uint8)
        self._glyphs = np.full((self.height, self.width), ord(" "), dtype=np.uint32)
        self._styles = np.zeros((self.height, self.width), dtype=np.uint8)
        self._names = [PLAIN]

    def line(
        self, low: Values, high: Values, breaks: Dots, style: str, *, pattern: Pattern = "solid", above: bool = True
    ) -> None:
        """A curve of `columns` values, in rows of dots from the top: what lies between low and high in each one.

        low is the upper end (the smaller row), both are NaN where there is no value; a straight line joins what is
        left and right of it, unless a column in between breaks it. `above` hides what was drawn before in a cell.
        """
        if not self.braille:
            low, high, breaks = np.fmin(low[::2], low[1::2]), np.fmax(high[::2], high[1::2]), breaks[::2] | breaks[1::2]
        dots = _bars(*_joined(low, high, breaks, self.levels), self.levels)
        rows, columns = np.ogrid[: self.levels, : dots.shape[1]]
        if pattern == "thin":
            ends = np.zeros_like(dots)  # a bar's upper end stays: a spike of one column is always seen
            ends[0], ends[1:] = dots[0], dots[1:] & ~dots[:-1]
            dots &= ((rows + columns) % 2 == 0) | ends
        elif pattern == "dashes":
            dots &= columns % 4 < 2 if self.braille else columns % 2 == 0
        elif self.thick and self.braille:
            dots[1:] |= dots[:-1].copy()
            dots[:, 1:] |= dots[:, :-1].copy()
        self._lay(dots, style, solid=pattern == "solid", above=above)

    def points(self, columns: Values, rows: Values, glyph: str, style: str) -> None:
        """One character in each cell that holds a point; columns and rows of dots, points outside are left out."""
        across, down = columns / 2, rows / (self.levels / self.height)
        inside = (across >= 0) & (across < self.width) & (down >= 0) & (down < self.height)
        at = down[inside].astype(np.intp), across[inside].astype(np.intp)
        self._bits[at], self._glyphs[at], self._styles[at] = 0, ord(glyph), self._number(style)

    def hline(self, row: float, style: str) -> None:
        """A dashed line at a row of dots, behind all curves."""
        y = self.cell_row(row)
        if 0 <= y < self.height:
            self._fill(np.s_[y, :], "╌", style)

    def vline(self, column: float, style: str) -> None:
        """A line from top to bottom at a column of dots; the dots that it crosses stay, in its style."""
        x = int(column / 2)
        if 0 <= x < self.width:
            self._fill(np.s_[:, x], "│", style)
            self._styles[self._bits[:, x] > 0, x] = self._number(style)

    def text(self, x: int, y: int, text: str, style: str) -> None:
        """Words above everything, cut at the edges. What is not one cell wide becomes a question mark."""
        shown = single(text)[max(-x, 0) : max(self.width - x, 0)]
        if not shown or not 0 <= y < self.height:
            return
        cells = np.s_[y, max(x, 0) : max(x, 0) + len(shown)]
        codes = np.frombuffer(shown.encode("utf-32-le"), dtype="<u4")
        self._bits[cells], self._glyphs[cells], self._styles[cells] = 0, codes, self._number(style)

    def cell_row(self, row: float) -> int:
        """The row of cells that a row of dots is in."""
        return int(np.floor(row * self.height / self.levels))

    def free(self, x: int, y: int, width: int) -> bool:
        """Whether no curve, point or word is in these cells; a dashed line is no hindrance."""
        cells = np.s_[y, max(x, 0) : x + width]
        glyphs = self._glyphs[cells]
        return not (self._bits[cells].any() or ((glyphs != ord(" ")) & (glyphs != ord("╌"))).any())

    def emptiest(self, y: int, width: int) -> int | None:
        """Where in a row of cells so many hide the fewest dots, of equals the rightmost; None where all hide words."""
        if width > self.width:
            return None
        glyphs = self._glyphs[y]
        words = (glyphs != ord(" ")) & (glyphs != ord("╌")) & (self._bits[y] == 0)
        weight = np.unpackbits(self._bits[y][:, None], axis=1).sum(axis=1) + np.where(words, np.inf, 0)
        hidden = np.lib.stride_tricks.sliding_window_view(weight, width).sum(axis=1)[::-1]
        best = int(hidden.argmin())
        return len(hidden) - 1 - best if np.isfinite(hidden[best]) else None

    def rows(self) -> list[list[Run]]:
        """Each row as runs of one style, `width` characters together."""
        codes = np.where(self._bits > 0, _BRAILLE + self._bits.astype(np.uint32), self._glyphs)
        styles = np.where(codes == ord(" "), 0, self._styles)
        text = codes.astype("<u4").tobytes().decode("utf-32-le")
        changes = np.ones(styles.shape, dtype=np.bool_)
        changes[:, 1:] = styles[:, 1:] != styles[:, :-1]
        starts = np.flatnonzero(changes).tolist()
        numbers = styles.reshape(-1)[starts].tolist()
        rows: list[list[Run]] = [[] for _ in range(self.height)]
        for start, end, number in zip(starts, [*starts[1:], len(text)], numbers, strict=True):
            rows[start // self.width].append((text[start:end], self._names[number]))
        return rows

    def _lay(self, dots: Dots, style: str, *, solid: bool, above: bool) -> None:
        if self.braille:
            bits = np.zeros_like(self._bits)
            for row, pair in enumerate(_BITS):
                for column, bit in enumerate(pair):
                    bits |= dots[row::4, column::2] * np.uint8(bit)
            drawn: Dots = bits > 0
            self._bits = np.where(drawn, bits | (0 if above else self._bits), self._bits)
        else:
            cells = dots.reshape(self.height, 8, self.width)
            drawn = np.any(cells, axis=1)
            glyphs = _BLOCKS[8 - cells.argmax(axis=1)] if solid else np.uint32(_DOT)
            self._glyphs = np.where(drawn, glyphs, self._glyphs)
        self._styles[drawn] = self._number(style)

    def _fill(self, cells: tuple[int | slice, int | slice], glyph: str, style: str) -> None:
        free = (self._bits[cells] == 0) & (self._glyphs[cells] == ord(" "))
        self._glyphs[cells] = np.where(free, ord(glyph), self._glyphs[cells])
        self._styles[cells] = np.where(free, self._number(style), self._styles[cells])

    def _number(self, style: str) -> int:
        if style not in self._names:
            self._names.append(style)
        return self._names.index(style)


@functools.lru_cache(maxsize=512)  # the same labels again at every redraw
def single(text: str) -> str:
    """Text of which every character takes one cell and none is a control: others become question marks."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c
        if c.isprintable() and unicodedata.east_asian_width(c) not in "WF" and unicodedata.category(c)[0] != "M"
        else "?"
        for c in text
    )


def _joined(low: Values, high: Values, breaks: Dots, levels: int) -> tuple[Values, Values]:
    """The rows of dots, first and last, that each column covers; first > last where it covers none."""
    empty = np.isnan(low) | np.isnan(high)
    there = np.flatnonzero(~empty)
    if not len(there):
        return np.ones(len(low)), np.zeros(len(low))
    every = np.arange(len(low))
    middle = np.interp(every, there, (low[there] + high[there]) / 2)
    top = np.floor(np.clip(np.where(empty, middle, low), 0, levels - 1))
    bottom = np.floor(np.clip(np.where(empty, middle, high), 0, levels - 1))
    drawn = (every >= there[0]) & (every <= there[-1])
    stretch = np.cumsum(~empty)
    drawn &= ~(empty & np.isin(stretch, stretch[breaks & empty]))  # a stretch with a break in it stays empty
    # Neighbours meet halfway, so that a steep curve has no holes.
    first, last = top.copy(), bottom.copy()
    falls = drawn[1:] & drawn[:-1] & (top[1:] > bottom[:-1] + 1)
    half = np.floor((bottom[:-1] + top[1:]) / 2)
    last[:-1][falls], first[1:][falls] = half[falls], half[falls] + 1
    rises = drawn[1:] & drawn[:-1] & (bottom[1:] < top[:-1] - 1)
    half = np.floor((top[:-1] + bottom[1:]) / 2)
    first[:-1][rises], last[1:][rises] = half[rises] + 1, half[rises]
    first[~drawn], last[~drawn] = 1, 0
    return first, last


def _bars(first: Values, last: Values, levels: int) -> Dots:
    """(levels, columns): the dots from first to last."""
    rows = np.arange(levels)[:, None]
    return (rows >= first) & (rows <= last)
