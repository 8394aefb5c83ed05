"""Where rows were cut out of the corpus: which of them overlap, which repeat, and a strip that shows it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Offsets = npt.NDArray[np.int64]
Marks = npt.NDArray[np.int64]

NOTHING, ONE, SHARED = 0, 1, 2
"""What a cell of the strip holds: no row; tokens of one row; tokens that several rows share."""


@dataclass(frozen=True)
class Cuts:
    """How the rows of a step lie to each other."""

    overlapping: int
    """Rows that share tokens with a row that starts elsewhere."""
    repeats: int
    """Rows that start where an earlier one of the step does."""

    def told(self) -> str:
        """In words, "" where all rows are apart."""
        parts = []
        if self.overlapping:
            parts.append(f"{self.overlapping:,} rows overlap")
        if self.repeats:
            parts.append(f"{self.repeats:,} repeat{'s' if self.repeats > 1 else ''}")
        return ", ".join(parts)


def cuts(offsets: Offsets, length: int) -> Cuts:
    """Rows of `length` tokens each, the last target not counted: blocks that only share that one do not overlap."""
    starts, counts = np.unique(offsets, return_counts=True)
    close = np.diff(starts) < length
    touched = np.zeros(len(starts), dtype=np.bool_)
    touched[1:] |= close
    touched[:-1] |= close
    return Cuts(int(counts[touched].sum()), int((counts - 1).sum()))


def strip(offsets: Offsets, length: int, tokens: int, width: int) -> Marks:
    """The training split of `tokens` scaled to `width` cells: one of NOTHING, ONE and SHARED for each, (width,)."""
    starts, counts = np.unique(offsets, return_counts=True)
    marks = np.zeros(width, dtype=np.int64)
    marks[_covered(starts, starts + length, tokens, width)] = ONE
    close, again = np.diff(starts) < length, starts[counts > 1]
    begins = np.concatenate([starts[1:][close], again])
    ends = np.concatenate([starts[:-1][close] + length, again + length])
    marks[_covered(begins, ends, tokens, width)] = SHARED
    return marks


def cells_of(start: int, length: int, tokens: int, width: int) -> tuple[int, int]:
    """The cells [begin, end) that a row covers; at least one."""
    begin = min(start * width // tokens, width - 1)
    return begin, min(max(begin + 1, -(-(start + length) * width // tokens)), width)


def _covered(begins: Offsets, ends: Offsets, tokens: int, width: int) -> npt.NDArray[np.bool_]:
    """Which cells any of the ranges [begin, end) touches."""
    first = np.minimum(begins * width // tokens, width - 1)
    last = np.clip(-(-ends * width // tokens), first + 1, width)
    steps = np.zeros(width + 1, dtype=np.int64)
    np.add.at(steps, first, 1)
    np.add.at(steps, last, -1)
    return np.cumsum(steps[:-1]) > 0


def ruler(begin: int, columns: int, width: int, every: int) -> str:
    """Positions t above columns of `width` cells, from column `begin` on: a number at every `every`-th one."""
    line = [" "] * (columns * width)
    for t in range(-(-begin // every) * every, begin + columns, every):
        number = str(t)
        at = (t - begin) * width
        if at + len(number) <= len(line):
            line[at : at + len(number)] = number
    return "".join(line)


def spread(widths: Sequence[int], middle: int, room: int) -> tuple[int, int]:
    """The pieces [begin, end) around `middle` that fit into `room` columns, as evenly to both sides as they go."""
    begin, end, used = middle, min(middle + 1, len(widths)), widths[middle] if middle < len(widths) else 0
    left = right = True
    while left or right:
        left = begin > 0 and used + widths[begin - 1] <= room
        if left:
            begin -= 1
            used += widths[begin]
        right = end < len(widths) and used + widths[end] <= room
        if right:
            used += widths[end]
            end += 1
    return begin, end
