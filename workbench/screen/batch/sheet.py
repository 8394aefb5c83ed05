"""The rows of one step as a sheet to look at: which they are, their tokens where someone looks, and their hash."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from workbench.data.batches import batch, fingerprint
from workbench.data.corpus import Corpus
from workbench.data.rows import Rows
from workbench.data.store import Split
from workbench.errors import WorkbenchError
from workbench.plan.arithmetic import tokens_per_step_of
from workbench.preset import Preset
from workbench.runs.inspections import Inspected
from workbench.screen.bench.rows import held_at, rows_of, shown_step
from workbench.screen.bench.text import Text

if TYPE_CHECKING:
    from workbench.screen.bench.bench import Bench

Offsets = npt.NDArray[np.int64]

MOST_ROWS = 65_536
"""Rows of a step that are listed: more than anyone scrolls through, and a millisecond's work."""
MOST_HASHED = 65_536
"""Tokens of a step up to which its rows are hashed here: some milliseconds."""
FOLLOWED_EVERY = 2.0
"""Seconds for which rows stay while a run flies past: nobody reads faster, and a slow link carries them."""


@dataclass(frozen=True, eq=False)
class Page:
    """Some neighbouring rows with their tokens' text."""

    begin: int
    x: list[list[int]]
    """(rows, T) ids"""
    y: list[list[int]]
    """(rows, T), or (rows, 1) with the `windows` layout."""
    pieces: dict[int, str]
    """The text of every token that occurs."""


@dataclass(frozen=True, eq=False)
class Sheet:
    """The rows of a record, or rows at starts that somebody typed."""

    step: int
    preset: Preset
    """As it holds at that record."""
    corpus: Corpus
    offsets: Offsets
    """Where each row begins in the training split, in tokens; at most MOST_ROWS of them."""
    rows: int
    """How many there are: B·accum·world, in micro-steps, ranks in each, rows in each."""
    first: int | None
    """The number of the first row in the run; None for typed starts."""
    world: int
    trained: bool
    """The record is there: these rows have been learnt from."""

    @property
    def T(self) -> int:
        return self.preset.batch.T

    @property
    def windows(self) -> bool:
        return self.preset.data.layout == "windows"

    @property
    def typed(self) -> bool:
        return self.first is None

    @property
    def train(self) -> Split:
        return self.corpus.splits["train"]

    @property
    def vocab(self) -> int:
        return self.corpus.tokenizer.vocab_size

    @property
    def predictions(self) -> int:
        if self.typed:
            return self.rows if self.windows else self.rows * self.T
        return tokens_per_step_of(self.preset, world=self.world)

    def place(self, row: int) -> tuple[int, int, int]:
        """(micro-batch, rank, row within it) of a row of the step."""
        B = self.preset.batch.B
        return row // B // self.world, row // B % self.world, row % B

    @lru_cache(maxsize=4)  # noqa: B019 - so few of them may stay
    def page(self, begin: int, end: int) -> Page:
        """Rows begin … end−1. DataError where the corpus's file cannot be read."""
        x, y = self._read(self.offsets[begin:end])
        ids = np.unique(np.concatenate([x.ravel(), y.ravel()])).tolist()
        pieces = dict(zip(ids, self.corpus.tokenizer.pieces(ids), strict=True))
        return Page(begin, x.tolist(), y.reshape(len(y), -1).tolist(), pieces)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of all its rows, hex; "" where they are too many to be hashed between two keys."""
        if self.rows > len(self.offsets) or self.rows * self.T > MOST_HASHED:
            return ""
        x, y = self._read(self.offsets)
        return fingerprint([x], [y])

    def agrees(self, inspected: Inspected) -> bool:
        """Whether the worker trained on these very rows: by their hash, or by the first of them where they are many."""
        if self.hash:
            return self.hash == inspected.hash
        x, y = self._head
        return bool(np.array_equal(x, inspected.x[: len(x)]) and np.array_equal(y, inspected.y[: len(y)]))

    @cached_property
    def _head(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        return self._read(self.offsets[:8])

    def around(self, row: int, before: int, after: int) -> tuple[list[str], int]:
        """The running text around a row: pieces from `before` tokens before its start to `after` tokens past it, as
        far as the split reaches, and where among them the row starts."""
        start = int(self.offsets[row])
        begin = max(0, start - before)
        end = min(self.train.n, start + after)
        return self.corpus.tokenizer.pieces(self.train.read(begin, end - begin)), start - begin

    def _read(self, offsets: Offsets) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        return batch(self.train, offsets, self.T, self.corpus.newline if self.windows else None)


class Sheets:
    """The sheet to show now, made anew only when it would be another one."""

    def __init__(self, bench: "Bench") -> None:
        self._bench = bench
        self._key: tuple[object, ...] = ()
        self._made: Sheet | str = ""
        self._followed = (0, 0.0)
        """A step that a run which flies past is shown at, and since when."""
        self._logged: tuple[object, float | None] = (None, None)

    def now(self) -> Sheet | str:
        """The rows of the step that is shown, or why there are none and what to do."""
        bench, run = self._bench, self._bench.run
        if bench.text.corpus is None:
            return missing(bench.text)
        step = self._step()
        state = (len(run.events), run.status and run.status.attempt, step < len(run.curves)) if run else ()
        key = (step, run, *state, bench.text.corpus, bench.draft, bench.starts, bench.world)
        if len(key) != len(self._key) or any(a is not b and a != b for a, b in zip(key, self._key, strict=True)):
            self._key = key
            try:
                self._made = self._make(step, bench.text.corpus)
            except (WorkbenchError, OSError) as error:
                self._made = str(error)
        return self._made

    def _step(self) -> int:
        """The step to show. One that flies past stays for a while."""
        bench, run = self._bench, self._bench.run
        step = shown_step(bench)
        if bench.step is not None or run is None or run.state != "running" or bench.looking.latest is not None:
            return step
        if run.reading:  # where it is, is not known yet
            return step
        shown, since = self._followed
        now = bench.clock()
        if step < shown or now - since >= FOLLOWED_EVERY:
            self._followed = shown, since = step, now
        return shown

    def _make(self, step: int, corpus: Corpus) -> Sheet | str:
        bench, run = self._bench, self._bench.run
        held = held_at(bench, step)
        if held.fingerprint and held.fingerprint != corpus.fingerprint:
            return (
                f"{run.name if run else 'The run'} was trained on another text (its fingerprint is "
                f"{held.fingerprint[:8]}, this one's {corpus.fingerprint[:8]}), so these would be other rows. "
                "A new run (space) starts with the text that is open."
            )
        function = rows_of(bench, held)
        if function is None:
            return f"{bench.text.misfit} Lower T on the knobs (4), or open a longer text (1)."
        world = 1 if run else bench.world
        b = held.preset.batch
        rows, first = b.B * b.accum * world, held.first
        if bench.starts is not None:
            if wrong := misplaced(bench.starts, function):
                return wrong
            offsets, rows = np.array(bench.starts, dtype=np.int64), len(bench.starts)
        else:
            offsets = function.offsets(first, min(rows, MOST_ROWS))
        return Sheet(
            step=step,
            preset=held.preset,
            corpus=corpus,
            offsets=offsets,
            rows=rows,
            first=None if bench.starts is not None else first,
            world=world,
            trained=run is not None and step < len(run.curves),
        )

    def inspected(self, sheet: Sheet) -> Inspected | None:
        """What the worker told of this very step, if it was asked."""
        if sheet.typed or self._bench.run is None:
            return None
        found = self._bench.looking.of(sheet.step)
        return found if found is not None and len(found.x) == sheet.rows and found.T == sheet.T else None

    def logged(self, sheet: Sheet) -> float | None:
        """The loss in the step's record; None before it is there."""
        run = self._bench.run
        if run is None or not sheet.trained or sheet.typed:
            return None
        if self._logged[0] is not sheet:
            record = run.curves.at(sheet.step)
            self._logged = (sheet, record["loss"] if record else None)
        return self._logged[1]


def missing(text: Text) -> str:
    """Why there is no corpus yet, and what to do about it."""
    if text.phase:
        return f"{text.data.dataset if not text.data.text else 'the text'}: {text.phase} …"
    if text.to_fetch:
        return f"{text.data.dataset} is not on this machine yet: enter on Data (1) fetches it. {text.error}".rstrip()
    if text.error:
        return f"{text.error} Choose another text on Data (1), or type one (t)."
    return "No text is open: choose one on Data (1), or type one (t)."


def misplaced(starts: tuple[int, ...], rows: Rows) -> str:
    """What is wrong with typed starts, "" where every one of them has room."""
    last = rows.starts - 1
    over = [start for start in starts if start > last]
    if not over:
        return ""
    return f"A row of T = {rows.T} cannot start at {over[0]:,}: starts go from 0 to {last:,}. g types others."
