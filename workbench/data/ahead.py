"""Rows on disk are drawn ahead: while a micro-batch is trained on, a thread reads the next one's.

Rows at random places of a large corpus wait for memory, or for the disk, and a small corpus's do not; drawn ahead,
neither is waited for. Nothing is guessed: rows are a pure function of their numbers, and what was drawn counts only
for the very rows that are asked for next. After an edit, a step back or a search they are others, and drawn anew.
"""

from concurrent.futures import Future, ThreadPoolExecutor

from workbench.data.batches import Ids, batch
from workbench.data.rows import Rows
from workbench.data.store import Split

Pair = tuple[Ids, Ids]


class Ahead:
    """The (x, y) of a run's rows of one split; `newline` pads windows, None for a stream."""

    def __init__(self, split: Split, newline: int | None) -> None:
        self._split, self._newline = split, newline
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="rows")
        self._begun: tuple[tuple[Rows, int, int], Future[Pair]] | None = None

    def draw(self, rows: Rows, first: int, count: int, *, then: int) -> Pair:
        """Of rows first … first+count−1 of `rows`; as many from row `then` on are begun with.

        Rows held in memory are drawn when they are asked for: that takes no longer than to hand them over.
        DataError if these rows cannot be read; if only the next ones cannot, the next draw says so.
        """
        asked, begun = (rows, first, count), self._begun
        pair = begun[1].result() if begun and begun[0] == asked else self._drawn(*asked)
        if not self._split.in_memory:
            coming = (rows, then, count)
            self._begun = coming, self._pool.submit(self._drawn, *coming)
        return pair

    def _drawn(self, rows: Rows, first: int, count: int) -> Pair:
        return batch(self._split, rows.offsets(first, count), rows.T, self._newline)
