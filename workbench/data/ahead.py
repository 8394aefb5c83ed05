"""Rows are drawn ahead: while a step is trained on, a thread draws those of the next ones, many in one go.

Rows at random places of a large corpus wait for memory, or for the disk, and a small corpus's do not; drawn ahead,
neither is waited for. Nothing is guessed: rows are a pure function of their numbers, and what was drawn counts only
for the very rows that are asked for next. After an edit, a step back or a search they are others, and drawn anew.
"""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from workbench.data.batches import Ids, batch
from workbench.data.rows import Rows
from workbench.data.store import Split
from workbench.errors import DataError, UsageError

Pair = tuple[Ids, Ids]

AT_ONCE = 2**17
"""Ids of x that are drawn in one go: 2 MB of x and y. Two such are there at most."""
MOST = 64
"""Draws in one go."""


class Draw(NamedTuple):
    """Rows first … first+n−1 of `rows`."""

    rows: Rows
    first: int
    n: int

    def after(self, stride: int) -> "Draw":
        return self._replace(first=self.first + stride)


class Ahead:
    """The (x, y) of a run's rows of one split; `newline` pads windows, None for a stream."""

    def __init__(self, split: Split, newline: int | None) -> None:
        self._split, self._newline = split, newline
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="rows")
        self._there: deque[tuple[Draw, Pair]] = deque()
        self._coming: tuple[Draw, Future[deque[tuple[Draw, Pair]]]] | None = None

    def draw(self, rows: Rows, first: int, count: int, *, then: int) -> Pair:
        """Of rows first … first+count−1 of `rows`; as many from row `then` on, and so forth, are begun with.

        DataError if these rows cannot be read; if only later ones cannot, the draw of those says so.
        """
        asked = Draw(rows, first, count)
        if not self._there or self._there[0][0] != asked:
            self._there = self._come(asked)
        _, pair = self._there.popleft()
        last = self._there[-1][0] if self._there else asked
        following = last.after(then - first)
        if not self._coming or self._coming[0] != following:
            self._coming = following, self._pool.submit(self._drawn, following, then - first)
        return pair

    def _come(self, asked: Draw) -> deque[tuple[Draw, Pair]]:
        """What was begun, if it begins so; else these rows alone."""
        if self._coming and self._coming[0] == asked:
            try:
                return self._coming[1].result()
            except (DataError, UsageError):  # perhaps for a later draw's sake
                pass
        return self._drawn(asked, 0)

    def _drawn(self, first: Draw, stride: int) -> deque[tuple[Draw, Pair]]:
        """`first`, and where a stride leads on, as many more as are drawn in one go."""
        rows, count = first.rows, first.n
        n = max(1, min(MOST, AT_ONCE // (count * rows.T))) if stride else 1
        draws = [first.after(i * stride) for i in range(n)]
        offsets = np.concatenate([rows.offsets(draw.first, count) for draw in draws])
        x, y = batch(self._split, offsets, rows.T, self._newline)
        cuts = [slice(i * count, (i + 1) * count) for i in range(n)]
        return deque((draw, (x[cut], y[cut])) for draw, cut in zip(draws, cuts, strict=True))
