"""What the loss chart shows: the curves of this run and of others, validation, predictions and floors. No Textual."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.screen.bench.bench import Bench
from workbench.screen.bench.follow import Followed
from workbench.screen.charts.axes import Range
from workbench.screen.charts.curves import Columns, smoothed
from workbench.screen.charts.differences import labels
from workbench.screen.charts.marks import Marks
from workbench.screen.charts.moment import average_at
from workbench.screen.charts.plotting import Floor, Points, Series
from workbench.screen.charts.view import Extent, View
from workbench.screen.glyphs import plain

GUESS = "predicted"
INKS = 4
"""Colours that other runs' curves go through."""


@dataclass(frozen=True)
class Parts:
    series: tuple[Series, ...]
    points: tuple[Points, ...]

    def seen(self, e: Extent) -> list[Columns]:
        """All of it that lies in sight: what a y-range is made from."""
        begin, end = e.shown
        points = [Columns.of(begin, end, p.y[(p.x >= begin) & (p.x <= end)]) for p in self.points if p.label != GUESS]
        return [*(s.columns for s in self.series), *points]


def others(bench: Bench) -> list[tuple[str, str, Followed]]:
    """(letter, ink, run) of each run that is drawn over the open one."""
    there = [run for run in bench.overlays if bench.run is None or run.path != bench.run.path]
    return [(chr(ord("a") + i % 26), f"over-{i % INKS + 1}", run) for i, run in enumerate(there)]


def ema(level: float) -> str:
    """How a smoothing is called: ema .99"""
    return f"ema {level:g}".replace("0.", ".")


def parts(bench: Bench, view: View, marks: Marks, e: Extent, n: int) -> Parts:
    """The curves, the quiet ones first, and the points, in n columns."""
    run, over = bench.run, others(bench)
    base = run.preset if run else bench.draft
    own, names = labels(base, bool(run and run.of("edit")), [it for _, _, it in over])
    what = smoothed(view.level) if view.level else "loss"
    series, points = [], []
    if run is not None and len(run.curves):
        raw = run.curves.columns("loss", e.axis, *e.shown, n)
        if view.level:
            series.append(Series("train", "train", raw, "raw"))
        else:
            series.append(Series(f"train {own}".strip(), "smooth", raw))
    for (letter, ink, it), name in zip(over, names, strict=True):
        columns = it.curves.columns(what, e.axis, *e.shown, n)
        series.append(Series(plain(name), ink, columns, letter=letter))
        x, y = marks.evaluations(it, e, n // 2)
        points.append(Points("", ink, x, y, "◇"))
    if run is not None and len(run.curves) and view.level:
        average = run.curves.columns(what, e.axis, *e.shown, n)
        series.append(Series(f"{ema(view.level)} {own}".strip(), "smooth", average))
    if run is not None:
        x, y = marks.evaluations(run, e, n // 2)
        if len(x):
            points.append(Points("val", "val", x, y))
    points += _predicted(bench, e)
    return Parts(tuple(series), tuple(points))


def _predicted(bench: Bench, e: Extent) -> list[Points]:
    run = bench.run
    end = e.now + max(bench.now.schedule.steps - (len(run.curves) if run else 0), 0) * e.a_step
    if run is not None and run.over:
        end = e.now if run.state == "done" else math.inf
    made = [(x, guess) for x, guess in zip((0.0, end), bench.predicted, strict=True) if guess is not None]
    if not made:
        return []
    x, y = (np.array(values, dtype=np.float64) for values in zip(*made, strict=True))
    return [Points(GUESS, "staged", x, y, "?")]


def losses_at(bench: Bench, view: View, step: int) -> list[tuple[str, float, str]]:
    """Letter, smoothed loss and ink of each other run that has been there."""
    found = [(letter, average_at(run.curves, step, view.level or 0.9), ink) for letter, ink, run in others(bench)]
    return [(letter, loss, ink) for letter, loss, ink in found if loss is not None]


# ------------------------------------------------------------------------------------------ floors


def floors(bench: Bench) -> tuple[Floor, ...]:
    """What a model that only counts would score, the most telling first."""
    if bench.lesson == "asks":
        return ()
    text = bench.text
    out = []
    if text.exact is not None:
        out.append(Floor(text.exact, "exact"))
    if (V := log_vocabulary(bench)) is not None:
        out.append(Floor(V, "ln V"))
    if (known := text.floors) is not None and known.scored:
        out += [Floor(known.trigram, "trigram"), Floor(known.bigram, "bigram"), Floor(known.unigram, "unigram")]
    return tuple(out)


def log_vocabulary(bench: Bench) -> float | None:
    """ln V of the text on the screen, None while there is none."""
    corpus = bench.text.corpus
    return math.log(corpus.tokenizer.vocab_size) if corpus else None


def apart(floors: Sequence[Floor], y: Range, rows: int) -> tuple[Floor, ...]:
    """Those in sight, one a row at most; on a low chart with a row between them."""
    low, high = y
    gap = 1 if rows >= 8 else 2
    taken: dict[int, Floor] = {}
    for floor in floors:
        if low <= floor.value <= high:
            row = int((high - floor.value) / (high - low) * rows)
            if not any(abs(row - other) < gap for other in taken):
                taken[row] = floor
    return tuple(taken.values())


def notes(bench: Bench, width: int) -> tuple[str, ...]:
    """What to do next, while there is no curve."""
    run = bench.run
    if (run is not None and len(run.curves)) or any(len(it.curves) for it in bench.overlays):
        return ()
    if bench.starting or (run is not None and (run.alive or run.reading)):
        doing = run.phase if run else bench.launch.phase if bench.launch else ""
        return (f"starting: {plain(doing)}" if doing else "starting",)
    if run is not None:
        return (f"{run.state} before its first step",)
    if bench.lesson:
        return ("predict first",) if bench.lesson == "asks" else ()
    V = log_vocabulary(bench)
    starts = ["space starts"]
    if V is not None:
        told = f"space starts; ln V = {V:.3f}"
        starts = [f"{told} is where an untrained model begins", told, *starts]
    return next(line for line in starts if len(line) + 2 <= width or line == starts[-1]), "p: predict the loss first"
