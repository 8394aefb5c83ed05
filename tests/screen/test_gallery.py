"""Which charts there are, what is in them, and that they change little while a run grows."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.screen.conftest import DOCUMENT, MadeBench, MadeRun
from workbench import preset as presets
from workbench.plan import schedule
from workbench.runs.events import EventLog, event
from workbench.runs.records import NOT_FINITE, SPIKE, StepLog
from workbench.screen.bench.bench import Bench
from workbench.screen.bench.follow import Followed
from workbench.screen.charts import view as views
from workbench.screen.charts.gallery import Gallery, boxes
from workbench.screen.charts.moment import known_losses, moment, predictions, verdict
from workbench.screen.charts.plotting import GUTTER, Plot
from workbench.screen.charts.view import View, extent

B32 = DOCUMENT | {"name": "b32"}
B1 = DOCUMENT | {"name": "b1", "batch": {"B": 1, "T": 16}}
LR = DOCUMENT | {"name": "lr", "optimizer": {"lr": 5e-3}}


@pytest.fixture
def looked(bench: MadeBench) -> Callable[..., Bench]:
    """A bench whose runs have been read."""

    def make(run: Path | None = None, *overlays: Path, preset: object = DOCUMENT) -> Bench:
        it = bench(preset, run=run)
        it.overlays += [Followed(path) for path in overlays]
        for each in [*([it.run] if it.run else []), *it.overlays]:
            each.look()
            assert not each.error
        return it

    return make


def plot(bench: Bench, name: str, view: View | None = None, size: tuple[int, int] = (80, 20)) -> Plot:
    view = view or View()
    return Gallery(bench, view).plot(name, extent(bench, view), *size)  # type: ignore[arg-type]


def text(bench: Bench, view: View | None = None, size: tuple[int, int] = (80, 20)) -> list[str]:
    rows = ["".join(text for text, _ in row) for row in Gallery(bench, view or View()).draw(*size)]
    assert [len(row) for row in rows] == [size[0]] * size[1]
    return rows


# ------------------------------------------------------------------------------------------ arrangement


@pytest.mark.parametrize("width", [20, 40, 58, 76, 120, 196])
@pytest.mark.parametrize("height", [3, 7, 9, 10, 13, 15, 16, 20, 30, 55])
@pytest.mark.parametrize("begun", [True, False])
def test_charts_fill_the_pane_without_overlap(width: int, height: int, begun: bool) -> None:
    cells = np.zeros((height, width), dtype=int)
    for box in boxes(width, height, begun=begun).values():
        assert box.height >= 3
        cells[box.y : box.y + box.height, box.x : box.x + box.width] += 1
    assert (cells == 1).all()


def test_more_room_shows_more() -> None:
    assert list(boxes(76, 7)) == ["loss"]
    assert list(boxes(76, 11)) == ["loss", "lr"]
    assert list(boxes(76, 18)) == ["loss", "lr", "grad", "speed"]
    assert list(boxes(196, 55, big=True)) == ["loss"]
    assert boxes(86, 56)["loss"].height == 28


# ------------------------------------------------------------------------------------------ before a run


def test_before_a_run_there_are_floors_the_plan_and_what_to_do(looked: Callable[..., Bench]) -> None:
    bench = looked()
    V = bench.text.corpus.tokenizer.vocab_size  # type: ignore[union-attr]
    rows = "\n".join(text(bench, size=(80, 24)))
    assert f"space starts; ln V = {math.log(V):.3f} is where an untrained model begins" in rows
    assert "planned" in rows
    lr = plot(bench, "lr")
    (planned,) = lr.series
    assert (lr.begin, lr.end) == (0, 1000)
    step = int((20.5) * 1000 / len(planned.columns.mean))
    assert planned.columns.mean[20] == schedule.lr_of(bench.draft, step)


def test_a_prediction_stands_on_the_chart_and_is_held_against_what_came(
    looked: Callable[..., Bench], made_run: MadeRun
) -> None:
    bench = looked()
    bench.predicted = (4.6, 1.5)
    guess = next(p for p in plot(bench, "loss").points if p.glyph == "?")
    assert list(guess.x) == [0, 1000]
    assert list(guess.y) == [4.6, 1.5]
    assert verdict(predictions(None, bench.predicted, 0.9)) == "step 0: predicted 4.6 · the end: predicted 1.5"

    bench = looked(made_run(records=300))
    first, last = known_losses(bench.run, 0.9)
    assert first == bench.run.curves.at(0)["loss"]  # type: ignore[index, union-attr]
    assert last == bench.run.last("eval")["val_loss"]  # type: ignore[index, union-attr]
    assert verdict(predictions(bench.run, (first + 0.25, None), 0.9)).endswith("off by 0.250")  # type: ignore[operator]

    stopped = looked(made_run(records=300, state="stopped"))
    stopped.predicted = (None, 1.5)
    assert known_losses(stopped.run, 0.9)[1] is None
    guess = next(p for p in plot(stopped, "loss").points if p.glyph == "?")
    assert list(guess.x) == [math.inf]


# ------------------------------------------------------------------------------------------ a run


def test_a_run_has_its_curves_its_validation_and_its_marks(looked: Callable[..., Bench], made_run: MadeRun) -> None:
    bench = looked(made_run(records=300))
    loss = plot(bench, "loss")
    assert [(s.label, s.look) for s in loss.series] == [("train", "raw"), ("ema .9", "line")]
    val = next(p for p in loss.points if p.label == "val")
    assert list(val.x) == [0, 100, 200, 300]
    assert ("edit", 150.0) in loss.marks
    assert ("checkpoint", 300.0) in loss.marks
    assert not any(kind == "eval" for kind, _ in loss.marks)
    assert {kind for kind, _ in plot(bench, "lr").marks} == {"edit"}
    assert [s.label for s in plot(bench, "lr").series] == ["actual"]
    assert [s.label for s in plot(bench, "loss", View(level=0)).series] == ["train"]
    grad = plot(bench, "grad")
    assert [(f.label, f.value) for f in grad.floors] == [("clip", 1.0)]
    share = bench.run.curves.clipped_share(200, 300)  # type: ignore[union-attr]
    assert grad.title == f"grad norm · clipped {share:.0%} of the last 100 steps"
    assert plot(bench, "grad", size=(36, 6)).title == f"grad norm · {share:.0%} clipped"


def test_the_plan_goes_on_from_the_present_step_with_what_is_staged_beside_it(
    looked: Callable[..., Bench], made_run: MadeRun
) -> None:
    bench = looked(made_run(records=300, state="running"))
    bench.staged = {"optimizer.lr": 0.05}
    e = extent(bench, View(whole=True))
    assert e.shown == (0, 600)
    lr = plot(bench, "lr", View(whole=True))
    planned, staged, actual = lr.series
    assert [s.label for s in lr.series] == ["planned", "staged", "actual"]
    n = len(planned.columns.mean)
    x = (np.arange(n) + 0.5) * 600 / n
    assert (np.isnan(planned.columns.mean) == (x < 300)).all()
    assert planned.columns.mean[-1] == schedule.lr_of(bench.now, int(x[-1]))
    assert staged.columns.mean[-1] == schedule.lr_of(bench.proposed, int(x[-1]))
    assert staged.style == "staged"
    assert np.nanmax(actual.columns.mean) <= 0.01

    bench.staged = {"optimizer.weight_decay": 0.2}
    assert [s.label for s in plot(bench, "lr").series] == ["planned", "actual"]


def test_other_runs_are_told_by_what_differs(looked: Callable[..., Bench], made_run: MadeRun) -> None:
    own, small, fast = made_run(B32, records=200), made_run(B1, records=300, edit=False), made_run(LR, records=100)
    bench = looked(own, small, fast, made_run(B32 | {"name": "again"}, records=200, edit=False, age=5))
    series = {s.letter: s for s in plot(bench, "loss").series}
    assert series["a"].label == "B=1"
    assert series["b"].label == "lr=5e-3 edited"
    assert series["c"].label.startswith("again-")
    assert series[""].label == "ema .9 B=4 lr=1e-3 edited"
    assert [series[letter].style for letter in "abc"] == ["over-1", "over-2", "over-3"]
    assert extent(bench, View()).shown == (0, 300)
    marks = [p for p in plot(bench, "loss").points if p.glyph == "◇"]
    assert [p.style for p in marks] == ["over-1", "over-2", "over-3"]
    assert all(not p.label for p in marks)


def test_without_smoothing_other_runs_are_raw_too(looked: Callable[..., Bench], made_run: MadeRun) -> None:
    bench = looked(made_run(records=200), made_run(B1, records=200))
    view = View(level=0)
    other = next(s for s in plot(bench, "loss", view).series if s.letter)
    found = bench.overlays[0].curves.columns("loss", "step", 0, 200, len(other.columns.mean))
    assert np.array_equal(other.columns.high, found.high, equal_nan=True)


@pytest.mark.parametrize("records", [0, 1, 2])
@pytest.mark.parametrize("axis", ["step", "tokens", "time"])
@pytest.mark.parametrize("state", ["running", "done", "diverged"])
def test_hardly_any_records_are_drawn(
    looked: Callable[..., Bench], made_run: MadeRun, records: int, axis: str, state: str
) -> None:
    bench = looked(made_run(records=records, steps=10, state=state, edit=False))
    for log in (False, True):
        text(bench, View(axis=axis, log=log), (60, 12))  # type: ignore[arg-type]
        text(bench, View(axis=axis, log=log), (80, 30))  # type: ignore[arg-type]


def test_what_is_not_finite_leaves_a_mark_and_no_trace(looked: Callable[..., Bench], made_run: MadeRun) -> None:
    run = made_run(records=50, state="diverged", edit=False)
    log = StepLog(run)
    for step, loss in ((50, math.inf), (51, math.nan)):
        log.append(step, (step + 1) * 64, step * 4, loss, 1e-3, math.nan, 0.01, step * 0.01, 4, 16, 1, 1, NOT_FINITE)
    log.close()
    rows = text(looked(run), size=(80, 30))
    assert sum(row.count("✗") for row in rows) >= 1
    assert "nan" not in "\n".join(rows).lower()


def test_a_growing_run_changes_few_cells(looked: Callable[..., Bench], made_run: MadeRun) -> None:
    run = made_run(records=2000, state="running", edit=False)
    bench = looked(run)
    view, log = View(), StepLog(run)
    gallery = Gallery(bench, view)
    before = _cells(gallery)
    random, changed = np.random.default_rng(1), []
    for look in range(20):
        for step in range(2000 + 2 * look, 2002 + 2 * look):
            log.append(step, (step + 1) * 64, step * 4, 1.3 + 0.05 * random.standard_normal(), 5e-4, 0.8, 0.01,
                       (step + 1) * 0.01, 4, 16, 1, 1, 0)  # fmt: skip
        log.flush()
        bench.run.look()  # type: ignore[union-attr]
        now = _cells(gallery)
        changed.append(sum(a != b for x, y in zip(before, now, strict=True) for a, b in zip(x, y, strict=True)))
        before = now
    log.close()
    assert any(changed)
    assert np.mean(changed) < 12, changed  # of 2,400


def _cells(gallery: Gallery) -> list[list[tuple[str, str]]]:
    return [[(c, style) for text, style in row for c in text] for row in gallery.draw(80, 30)]


# ------------------------------------------------------------------------------------------ the view


def test_follow_doubles_then_shows_the_whole_and_comes_back(looked: Callable[..., Bench], made_run: MadeRun) -> None:
    bench = looked(made_run(records=100, steps=5000, state="running"))
    view = View()
    assert extent(bench, view).shown == (0, 128)
    view.follow()
    assert extent(bench, view).shown == (0, 5000)
    view.follow()
    assert extent(bench, view).shown == (0, 128)
    views.magnify(bench, view, 1)
    assert view.zoomed
    view.follow()
    assert extent(bench, view).shown == (0, 128)


def test_zoom_and_pan_stay_within_the_run(looked: Callable[..., Bench], made_run: MadeRun) -> None:
    bench, view = looked(made_run(records=400)), View()
    views.magnify(bench, view, 1, at=100)
    assert view.zoomed == (50, 250)
    for _ in range(50):
        views.shift(bench, view, 0.5)
    assert view.zoomed == (200, 400)
    for _ in range(20):
        views.magnify(bench, view, 1)
    assert view.zoomed[1] - view.zoomed[0] == 8
    for _ in range(20):
        views.magnify(bench, view, -1)
    assert view.zoomed is None
    assert extent(bench, view).shown == (0, 400)


@pytest.mark.parametrize("axis", ["step", "tokens", "time"])
def test_the_cursor_goes_through_every_cell_both_ways(
    looked: Callable[..., Bench], made_run: MadeRun, axis: str
) -> None:
    bench = looked(made_run(records=300))
    for zoomed in (None, 10):
        view = View(axis=axis)  # type: ignore[arg-type]
        if zoomed:
            unit = extent(bench, view).a_step
            view.zoomed = (100 * unit, (100 + zoomed) * unit)
        view.cursor = views.first_cursor(bench, view)
        seen = [view.cursor]
        for _ in range(80):
            view.cursor = views.moved(bench, view, -1, 70)
            views.keep_in_sight(bench, view)
            seen.append(view.cursor)
        assert seen == sorted(seen, reverse=True)
        assert all(a > b or b == 0 for a, b in itertools.pairwise(seen))
        view.cursor = views.moved(bench, view, 1, 70)
        assert view.cursor > seen[-1]


def test_the_cursor_finds_the_spike_in_its_cell(looked: Callable[..., Bench], made_run: MadeRun) -> None:
    run = made_run(records=1000, edit=False)
    log = StepLog(run)
    for step in range(1000, 4000):
        loss, flags = (9.0, SPIKE) if step == 2345 else (1.2, 0)
        log.append(step, (step + 1) * 64, step * 4, loss, 1e-3, 1.0, 0.01, (step + 1) * 0.01, 4, 16, 1, 1, flags)
    log.close()
    bench, view = looked(run), View()
    assert views.landmark(bench, view, 2300, 2400) == 2345
    assert views.landmark(bench, view, 2400, 2500) == 2450
    assert "spike" in moment(bench.run, 2345, 0.9, (2345, 2346)).words  # type: ignore[arg-type, union-attr]


def test_a_moment_has_exact_values_and_tells_what_happened(looked: Callable[..., Bench], made_run: MadeRun) -> None:
    bench = looked(made_run(records=300))
    now = moment(bench.run, 150, 0.9, (149, 152))  # type: ignore[arg-type]
    assert now is not None
    assert now.values == bench.run.curves.at(150)  # type: ignore[union-attr]
    assert now.evaluated["step"] == 100  # type: ignore[index]
    assert "▲ lr 1e-3 → " in now.words
    assert "acts from step 150" in now.words
    exact = bench.run.curves.columns("loss~0.9", "step", 0, 300, 300).mean[150]  # type: ignore[union-attr]
    assert now.average == exact
    assert moment(bench.run, 300, 0.9, (0, 1)) is None  # type: ignore[arg-type]


def test_tokens_are_planned_with_the_batch_of_the_plan(looked: Callable[..., Bench]) -> None:
    bench = looked()
    e = extent(bench, View(axis="tokens"))
    assert e.shown == (0, 1000 * 4 * 16)
    assert extent(bench, View(axis="time")).axis == "step"


def test_an_edit_of_the_events_is_seen_at_once(looked: Callable[..., Bench], made_run: MadeRun) -> None:
    run = made_run(records=300, state="running", edit=False)
    bench = looked(run)
    gallery, e = Gallery(bench, View()), extent(bench, View())
    assert all(kind != "edit" for kind, _ in gallery.plot("loss", e, 80, 20).marks)
    log = EventLog(run)
    log.append(
        event("edit", 3.0, step=250, id="x", changes={"batch.B": [4, 8]}, base={"row": 0, "token": 0, "epoch": 0})
    )
    log.close()
    bench.run.look()  # type: ignore[union-attr]
    assert ("edit", 250.0) in gallery.plot("loss", e, 80, 20).marks
    assert presets.changes(bench.run.preset, bench.run.live)["batch.B"] == (4, 8)  # type: ignore[union-attr]


def test_many_evaluations_do_not_hide_the_curve(looked: Callable[..., Bench], made_run: MadeRun) -> None:
    every = DOCUMENT | {"eval": {"every": 1}, "checkpoint": {"every": 1}}
    bench = looked(made_run(every, records=400))
    loss = plot(bench, "loss", size=(60, 20))
    assert {kind for kind, _ in loss.marks} == {"edit"}
    x = loss.points[0].x
    assert len(x) <= (60 - GUTTER) // 4 + 2
    assert x[-1] == 400
    zoomed = plot(bench, "loss", View(zoomed=(100, 110)), size=(60, 20))
    assert list(zoomed.points[0].x) == list(range(100, 111))
    assert sum(kind == "checkpoint" for kind, _ in zoomed.marks) == 11
