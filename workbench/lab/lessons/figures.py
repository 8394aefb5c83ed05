"""The figures that a part's expressions name: of its runs and words, its corpus, the rows it shows, its schedule."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from workbench import preset as presets
from workbench.data.batches import batch
from workbench.data.corpus import Corpus, open_corpus, open_kept
from workbench.data.floors import exact_floor, floors_of, kept_floors
from workbench.data.rows import Rows
from workbench.data.visible import visible
from workbench.errors import WorkbenchError
from workbench.lab import figures as measured
from workbench.lab.lessons import names
from workbench.lab.lessons.expressions import Index, Missing, Series, parsed, text_reference
from workbench.lab.lessons.lesson import Part
from workbench.lab.lessons.templates import filled, pieces
from workbench.plan.arithmetic import tokens_per_step_of
from workbench.plan.schedule import lr_of
from workbench.runs.events import read_events
from workbench.runs.records import StepReader

LACKING = "–"
"""Stands where a figure is not there."""


def shown(value: float, spec: str = "") -> str:
    """A figure as a person reads it: whole thousands with commas, else four digits that count."""
    if spec:
        return format(value, spec)
    if not math.isfinite(value):
        return LACKING
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _is_text(expression: str) -> bool:
    reference = text_reference(expression)
    return reference is not None and reference.name in names.TEXTS


@dataclass(frozen=True)
class Shown:
    """The rows of a part's step, or of its typed starts: in (B·accum) order."""

    starts: list[int]
    x: list[str]
    y: list[str]
    figures: dict[str, float]


class Figures:
    """Evaluates the expressions of one part. What has been read of a run is kept: make another one when runs went on.

    `runs` are the run directories by the runs' names, `told` the last object of each word by its name. With `read`
    the corpus is read and its floors are counted where they are not kept, which can take seconds.
    """

    def __init__(
        self,
        part: Part,
        *,
        runs: Mapping[str, Path] | None = None,
        told: Mapping[str, Mapping[str, Any]] | None = None,
        read: bool = False,
    ) -> None:
        self._part = part
        self._directories = runs or {}
        self._told = told or {}
        self._read = read
        self._settings = {run.name: run.preset for run in part.all_runs}
        self._measured: dict[str, Mapping[str, float]] = {}

    # -------------------------------------------------------------------------------- what a part asks for

    def value(self, expression: str) -> float:
        """What an expression comes to. Raises Missing."""
        return parsed(expression).value(self)

    def text(self, expression: str) -> str:
        """One row of the step as text: `rows.x[0]`. Raises Missing."""
        reference = text_reference(expression)
        if reference is None or reference.name not in names.TEXTS:
            raise Missing(f"{expression}: no text")
        rows = self._rows
        lines = rows.x if reference.name == "rows.x" else rows.y
        try:
            return lines[reference.index]  # type: ignore[index]
        except IndexError:
            raise Missing(f"{expression}: the step has {len(lines)} rows") from None

    def written(self, expression: str, spec: str = "") -> str:
        """The figure as a text; a dash where it is missing."""
        try:
            if _is_text(expression):
                return visible(self.text(expression).replace("\n", "↵"), keep="")
            return shown(self.value(expression), spec)
        except Missing:
            return LACKING

    def fill(self, template: str) -> str:
        """A sentence with its figures in it."""
        return filled(template, self.written)

    def lacking(self, template: str) -> str:
        """Why a figure of a sentence is not there; "" where all of them are."""
        for piece in pieces(template):
            try:
                if piece.expression and not _is_text(piece.expression):
                    self.value(piece.expression)
            except Missing as missing:
                return str(missing)
        return ""

    # -------------------------------------------------------------------------------- where figures come from

    def number(self, name: str) -> float:
        """The figure of a dotted name. Raises Missing."""
        root, _, leaf = name.partition(".")
        if root in self._settings:
            return self._of_run(root, leaf)
        if root == "preset":
            return float(presets.get(self._part.preset, leaf))
        found: Mapping[str, float]
        if root == "corpus":
            found = self._corpus_figures
        elif root == "rows":
            found = self._rows.figures
        elif root == "schedule":
            found = {key: float(presets.get(self._part.preset, names.SETTINGS.get(key, f"schedule.{key}")))
                     for key in names.SCHEDULE}  # fmt: skip
        else:
            found = self._of_word(root)
        if leaf not in found:
            raise Missing(f"{name}: not measured")
        return found[leaf]

    def series(self, name: str, at: Index) -> Series:
        """Figures by step, by eval or by row. Raises Missing where there are none there."""
        root, _, leaf = name.partition(".")
        if root in self._settings and leaf in names.BY_EVAL:
            found = self._of_eval(root, leaf, at)
        elif root in self._settings:
            reader = StepReader(self._directory(root))
            first, last, _ = (at if isinstance(at, slice) else slice(at, at + 1 or None)).indices(len(reader))
            found = [float(value) for value in reader.read(first, last)[leaf]]
        elif root == "schedule":
            steps = range(self._part.preset.schedule.steps)
            chosen = steps[at] if isinstance(at, slice) else [at]
            found = [lr_of(self._part.preset, step if step >= 0 else len(steps) + step) for step in chosen]
        else:
            starts = self._rows.starts
            found = [float(start) for start in (starts[at] if isinstance(at, slice) else starts[at : at + 1 or None])]
        if not found or not all(math.isfinite(value) for value in found):
            place = at if isinstance(at, int) else f"{at.start or 0}:{'' if at.stop is None else at.stop}"
            raise Missing(f"{name}[{place}]: {'not finite' if found else 'not there'}")
        return found

    def _directory(self, run: str) -> Path:
        if run not in self._directories:
            raise Missing(f"{run}: it has not been run")
        return self._directories[run]

    def _of_run(self, run: str, leaf: str) -> float:
        if leaf in names.SETTINGS:
            return float(presets.get(self._settings[run], names.SETTINGS[leaf]))
        directory = self._directory(run)
        try:
            if leaf == "reached":
                found = measured.steps_to(directory, self._settings[run].eval.target)
                return float(self._there(found, f"{run}.{leaf}"))
            if run not in self._measured:
                self._measured[run] = measured.figures(directory)
        except (WorkbenchError, OSError) as error:
            raise Missing(f"{run}.{leaf}: {error}") from None
        return self._there(self._measured[run].get(leaf), f"{run}.{leaf}")

    def _there(self, value: float | None, name: str) -> float:
        if value is None:
            raise Missing(f"{name}: not measured")
        return value

    def _of_eval(self, run: str, leaf: str, at: Index) -> Series:
        evals = {e["step"]: e.get(leaf) for e in read_events(self._directory(run)) if e["type"] == "eval"}
        if isinstance(at, int):
            wanted = [at] if at >= 0 else sorted(evals)[at : at + 1 or None]
        else:
            first, last = at.start or 0, at.stop
            wanted = [step for step in sorted(evals) if first <= step and (last is None or step < last)]
        return [float(loss) for step in wanted if (loss := evals.get(step)) is not None]

    def _of_word(self, word: str) -> Mapping[str, float]:
        if word not in self._told:
            raise Missing(f"{word}: it has not been run")
        told = self._told[word]
        plain = {key: float(value) for key, value in told.items() if type(value) in (int, float, bool)}
        return plain | {key: float(value) for key, value in told.get("figures", {}).items() if value is not None}

    # -------------------------------------------------------------------------------- the text and its rows

    @cached_property
    def _corpus(self) -> Corpus:
        data = self._part.preset.data
        try:
            corpus = open_corpus(data) if self._read else open_kept(data)
        except WorkbenchError as error:
            raise Missing(f"corpus: {error}") from None
        if corpus is None:
            raise Missing("corpus: it has not been read yet; the first run does")
        return corpus

    @cached_property
    def _corpus_figures(self) -> dict[str, float]:
        corpus = self._corpus
        found: dict[str, float | None] = {
            "vocab": corpus.tokenizer.vocab_size,
            "characters": corpus.characters,
            "floor": exact_floor(corpus),
            "starts": Rows.of(self._part.preset, tokens=corpus.splits["train"].n).starts,
            **{split: held.n for split, held in corpus.splits.items()},
        }
        floors = floors_of(corpus) if self._read else kept_floors(corpus)
        if floors is not None:
            found |= {order: getattr(floors, order) for order in ("unigram", "bigram", "trigram")}
        return {name: float(value) for name, value in found.items() if value is not None}

    @cached_property
    def _rows(self) -> Shown:
        preset, corpus = self._part.preset, self._corpus
        b, train = preset.batch, corpus.splits["train"]
        try:
            function = Rows.of(preset, tokens=train.n)
        except WorkbenchError as error:
            raise Missing(f"rows: {error}") from None
        count = b.B * b.accum
        offsets = function.offsets((self._part.show.step or 0) * count, count)
        if self._part.show.starts:
            offsets = np.array(self._part.show.starts, dtype=np.int64)
            if offsets.max() >= function.starts:
                raise Missing(f"rows: start {offsets.max():,}; the last legal one is {function.starts - 1:,}")
        windows = preset.data.layout == "windows"
        x, y = batch(train, offsets, b.T, corpus.newline if windows else None)
        decode = corpus.tokenizer.decode
        starts, counts = np.unique(offsets, return_counts=True)
        close = np.zeros(len(starts), dtype=np.bool_)
        if not windows:  # rows share tokens where the next one starts before they end; the last target is not counted
            close[1:] |= np.diff(starts) < b.T
            close[:-1] |= np.diff(starts) < b.T
        figures = {
            "B": b.B, "T": b.T, "accum": b.accum, "predictions": tokens_per_step_of(preset),
            "starts": function.starts, "first_start": offsets.min(), "last_start": offsets.max(),
            "overlaps": counts[close].sum(), "repeats": (counts - 1).sum(),
            "shifted": float(not windows and bool((x[:, 1:] == y[:, :-1]).all())),
        }  # fmt: skip
        return Shown(
            starts=offsets.tolist(),
            x=[decode(row) for row in x],
            y=[decode(row) for row in (y if y.ndim == 2 else y[:, None])],
            figures={name: float(value) for name, value in figures.items()},
        )
