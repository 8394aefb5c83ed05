"""A steps.bin of many records: drawn while it is read, in memory that does not grow, and never read twice."""

import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tests.screen.conftest import MadeApp, MadeBench, MadeRun
from tests.screen.recorded import append, made, plainly_averaged, same, written
from workbench import preset as presets
from workbench.runs.events import Event, EventLog, event
from workbench.runs.records import PIECE, SPIKE, Records, StepLog, StepReader, Window
from workbench.screen.bench import follow
from workbench.screen.bench.follow import Followed, Follower
from workbench.screen.bench.sound import Sound
from workbench.screen.charts import curves as charts_curves
from workbench.screen.charts.curves import Axis, Columns, Curves, smoothed
from workbench.screen.charts.decimation import SERIES, SMOOTHING
from workbench.screen.charts.pane import Charts
from workbench.screen.charts.view import View, extent


def all_series(curves: Curves, end: int) -> list[Columns]:
    return [curves.columns(name, "step", 0, end, 146) for name in (*SERIES, *map(smoothed, SMOOTHING))]


def test_a_long_file_is_read_in_slices_that_say_how_far_they_are(tmp_path: Path) -> None:
    records = made(100_000)
    StepLog(tmp_path).close()
    records.tofile(tmp_path / "steps.bin")
    curves = Curves(tmp_path)
    assert curves.behind == 0
    seen = []
    while curves.poll(0):
        seen.append(len(curves))
        assert curves.behind == 100_000 - len(curves)
        there = curves.columns("loss", "step", 0, 100_000, 100).present
        assert there.sum() == -(-len(curves) // 1000)  # drawn as far as it is read
    assert seen == [*range(PIECE, 100_000, PIECE), 100_000]
    append(tmp_path, made(100_100)[100_000:])
    assert curves.poll(0)
    assert curves.behind == 0
    other = Curves(tmp_path)
    other.poll()
    for a, b in zip(all_series(curves, 100_100), all_series(other, 100_100), strict=True):
        same(a, b)


def test_a_file_cut_just_before_it_is_read_has_fine_buckets_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    StepLog(tmp_path).close()
    records = made(1000)
    records.tofile(tmp_path / "steps.bin")
    curves = Curves(tmp_path)
    monkeypatch.setattr(StepReader, "__len__", lambda _: 200_000)  # what it was when somebody looked
    assert curves.poll()
    assert curves._buckets.K == 1
    assert curves.behind == 0
    assert curves.columns("loss", "step", 0, 1000, 1000).low.tolist() == records["loss"].tolist()


def test_reading_a_long_file_takes_no_memory(tmp_path: Path) -> None:
    StepLog(tmp_path).close()
    made(400_000).tofile(tmp_path / "steps.bin")  # 34 MB
    curves = Curves(tmp_path)
    tracemalloc.start()
    try:
        curves.poll()
        whole = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        assert sum(len(piece) for piece in StepReader(tmp_path).pieces()) == 400_000
        pieces = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert whole < 12_000_000
    assert pieces < 2_000_000


def test_a_zoom_reads_its_range_once_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a run of ten million, where a range of 100,000 steps has fewer buckets than columns."""
    monkeypatch.setattr(charts_curves, "_MOST", 1024)
    records = made(1_000_000)
    curves = written(tmp_path, records)
    assert curves._buckets.K == 1024
    read, real = [], Window.read

    def counted(self: Window, begin: int, end: int) -> Records:
        read.append(end - begin)
        return real(self, begin, end)

    monkeypatch.setattr(Window, "read", counted)
    curves.columns("loss", "step", 0, 1_000_000, 146)
    assert not read
    begin, end = 300 * 1024, 400 * 1024
    columns = curves.columns("loss", "step", begin, end, 200)
    blocks = records["loss"][begin:end].reshape(200, 512)
    np.testing.assert_array_equal(columns.low, blocks.min(axis=1))
    np.testing.assert_array_equal(columns.high, blocks.max(axis=1))
    assert end - begin <= sum(read) <= end - begin + 2 * 1024
    expected = plainly_averaged(records["loss"][:end].tolist(), 0.99)
    smooth = curves.columns(smoothed(0.99), "step", begin, end, 200)
    np.testing.assert_allclose(smooth.mean, expected[begin + 511 :: 512], rtol=1e-9)
    assert sum(read) <= end - begin + 2 * 1024


@pytest.mark.parametrize("count", [1000, 300_000])
def test_a_landmark_is_the_very_step(tmp_path: Path, count: int) -> None:
    loss, flags = np.full(count, 2.0), np.zeros(count, "<u4")
    broken, spike = count * 2 // 3, count // 3
    loss[broken], flags[[spike, spike + 1]] = np.nan, SPIKE
    curves = written(tmp_path, made(count, loss=loss, flags=flags))
    assert curves.landmark(0, count) == broken
    assert curves.landmark(0, broken) == spike
    assert curves.landmark(spike + 1, broken) == spike + 1
    assert curves.landmark(spike + 2, broken) is None
    assert curves.landmark(broken + 1, count) is None
    assert curves.landmark(broken, broken + 1) == broken


# ------------------------------------------------------------------------------- a long run, followed


def test_a_long_run_is_drawn_while_it_is_read(
    bench: MadeBench, made_run: MadeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the whole of it from the first look on; what its tokens cost is told when all of them are known."""
    edit = {"step": 40_000, "id": "edit-1", "changes": {"batch.T": [16, 8]}, "base": {"row": 0, "token": 0, "epoch": 0}}
    path = made_run(records=20, edit=0, events=(("edit", edit),))
    made(50_000).tofile(path / "steps.bin")
    monkeypatch.setattr(follow, "SLICE", 0.0)
    run, looks = Followed(path), 0
    it = bench()
    it.open_run(run)
    while "records" in run.look() and run.reading:
        looks += 1
        assert (len(run.curves), run.curves.behind) == (looks * PIECE, 50_000 - looks * PIECE)
        assert extent(it, View()).shown == (0, 50_000)
        assert run.curves.spent is None
    assert looks == 50_000 // PIECE
    assert extent(it, View()).shown == (0, 50_000)
    monkeypatch.undo()
    at_once = Followed(path)
    at_once.look()
    assert not at_once.reading
    assert run.curves.spent is not None
    assert at_once.curves.spent is not None
    tokens = np.linspace(0, float(made(50_000)["tokens"][-1]), 50)
    assert run.curves.spent.of(tokens).tolist() == at_once.curves.spent.of(tokens).tolist()


def test_the_follower_comes_back_at_once_to_a_run_that_it_has_not_read(
    made_run: MadeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made_run(records=20, edit=0)
    made(100_000).tofile(path / "steps.bin")
    monkeypatch.setattr(follow, "SLICE", 0.0)
    monkeypatch.setattr(follow, "QUIET", 3600.0)
    run, told = Followed(path), []
    follower = Follower(lambda _, changed: told.append(changed))
    try:
        began = time.monotonic()
        follower.keep([run])
        while run.reading and time.monotonic() - began < 60:
            time.sleep(0.01)
        assert not run.reading
        assert len(told) >= 100_000 // PIECE
    finally:
        follower.close()


def test_a_damaged_record_is_told_and_not_read_over_and_over(made_run: MadeRun) -> None:
    path = made_run(records=20, edit=0)
    records = made(40_000)
    records["step"][30_000] = 7
    records.tofile(path / "steps.bin")
    run, looks = Followed(path), []
    follower = Follower(lambda run, _: looks.append(run.error))
    try:
        follower.keep([run])
        deadline = time.monotonic() + 30
        while run.reading and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "record 30,000 says that it is step 7" in run.error
        assert not run.reading
        assert 0 < len(run.curves) <= 30_000
        at = follower._runs[path][1]
        assert at > time.monotonic()
    finally:
        follower.close()


async def test_the_charts_say_how_much_of_a_run_they_show(
    app: MadeApp, made_run: MadeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with app(run=made_run(records=500), size=(120, 35)) as pilot:
        await pilot.press("5")
        pane = pilot.app.query_one(Charts)
        assert "whole run" in pane.caption()
        monkeypatch.setattr(Curves, "behind", 1500)
        assert "reading, 25% of it" in pane.caption()
        assert "whole run" not in pane.caption()


# ------------------------------------------------------------------------------- many events


@pytest.mark.parametrize("x", ["tokens", "time"])
def test_many_marks_are_placed_without_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, x: Axis) -> None:
    count = 100_000
    records = made(count)
    curves = written(tmp_path, records)
    steps = np.arange(0, count + 500, 50)
    truth = np.concatenate([[0.0], records[x]])[np.minimum(steps, count)]
    reads, real = [], Window.read

    def counted(self: Window, begin: int, end: int) -> Records:
        reads.append(end - begin)
        return real(self, begin, end)

    monkeypatch.setattr(Window, "read", counted)
    found = curves.places(steps, x, 0, float(truth[-1]))
    assert not reads
    a_bucket = curves._buckets.K * float(np.diff(records[x]).max())
    assert np.abs(found - truth).max() < a_bucket
    begin, end = 600, 700  # zoomed in, where a bucket is wide: exact
    found = curves.places(steps, x, truth[begin], truth[end])
    assert found[begin : end + 1].tolist() == truth[begin : end + 1].tolist()
    assert len(reads) < 300


def test_events_are_judged_once_and_a_resume_takes_some_back() -> None:
    preset = presets.load("to-be").preset
    sound = Sound(preset)

    def evaluated(step: int) -> Event:
        return {"type": "eval", "step": step, "val_loss": 1.5}

    def edited(step: int, lr: float) -> Event:
        return {"type": "edit", "step": step, "id": "e", "changes": {"optimizer.lr": [1e-3, lr]}}

    events = [evaluated(0), {"type": "eval", "step": "many"}, edited(5, 0.25)]
    kept, live = sound.of(events)
    assert kept == (events[0], events[2])
    assert live.optimizer.lr == 0.25
    events += [evaluated(10)]
    events[0]["val_loss"] = "no longer sound, and not looked at again"
    kept, live = sound.of([*events])
    assert [e["step"] for e in kept] == [0, 5, 10]
    assert live.optimizer.lr == 0.25
    kept, live = sound.of([*events, edited(11, 0.5), edited(12, -1.0)])
    assert [e["step"] for e in kept] == [0, 5, 10, 11]  # no lr is negative
    assert live.optimizer.lr == 0.5
    events = [evaluated(0), *events[1:2], {"type": "resume", "attempt": 2, "records": 4}, evaluated(6), evaluated(8)]
    kept, live = sound.of(events)
    assert [e.get("step") for e in kept] == [0, None, 6, 8]
    assert live.optimizer.lr == preset.optimizer.lr
    assert sound.of([]) == ((), preset)


def test_events_of_a_type_are_those_of_the_last_look(made_run: MadeRun) -> None:
    path = made_run(records=300, state="running")
    run = Followed(path)
    run.look()
    assert [e["step"] for e in run.of("eval")] == [0, 100, 200, 300]
    log = EventLog(path)
    log.append(event("eval", 0.0, step=400, train_loss=1.0, val_loss=1.0, perplexity=2.7))
    log.close()
    run.look()
    assert [e["step"] for e in run.of("eval")] == [0, 100, 200, 300, 400]
    assert [e["type"] for e in run.of("edit", "start")] == ["start", "edit"]
