"""Curves of real steps.bin files: exact where they can be, bounded always, the same live and finished."""

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.screen.recorded import append, made, plainly_averaged, same, written
from workbench.errors import WorkbenchError
from workbench.lab.flops import Spent
from workbench.runs.records import CLIPPED, DTYPE, SPIKE
from workbench.screen.charts.curves import Curves, smoothed
from workbench.screen.charts.decimation import SERIES, SMOOTHING

# ------------------------------------------------------------------------------- columns


def test_columns_of_few_records_are_those_records(tmp_path: Path) -> None:
    records = made(1000)
    curves = written(tmp_path, records)
    for name in ("loss", "lr", "grad_norm", "seconds"):
        columns = curves.columns(name, "step", 200, 300, 20)
        blocks = records[name][200:300].reshape(20, 5)
        np.testing.assert_array_equal(columns.low, blocks.min(axis=1))
        np.testing.assert_array_equal(columns.high, blocks.max(axis=1))
        np.testing.assert_allclose(columns.mean, blocks.mean(axis=1))
    assert columns.present.all()


def test_tokens_per_second_is_tokens_over_seconds_not_a_mean_of_ratios(tmp_path: Path) -> None:
    records = made(1000)
    columns = written(tmp_path, records).columns("tokens_per_s", "step", 0, 1000, 10)
    seconds = records["seconds"].reshape(10, 100).sum(axis=1)
    np.testing.assert_allclose(
        columns.mean, [6400, 6400, 6400, 6400, 6400, 12800, 12800, 12800, 12800, 12800] / seconds
    )
    assert columns.high[0] == pytest.approx(64 / records["seconds"][:100].min())
    records["seconds"] = 0  # a clock too coarse: no speed, and no fault
    other = tmp_path / "other"
    other.mkdir()
    columns = written(other, records).columns("tokens_per_s", "step", 0, 1000, 10)
    assert not columns.present.any()
    assert not columns.broken.any()


def test_one_spike_among_a_million_is_in_its_column(tmp_path: Path) -> None:
    loss, flags = np.full(1_000_000, 2.0), np.zeros(1_000_000, "<u4")
    loss[654_321], flags[654_321] = 30.0, SPIKE
    curves = written(tmp_path, made(1_000_000, loss=loss, flags=flags))
    columns = curves.columns("loss", "step", 0, 1_000_000, 146)
    where = 654_321 * 146 // 1_000_000
    assert np.flatnonzero(columns.high > 2).tolist() == [where]
    assert np.flatnonzero(columns.spikes).tolist() == [where]
    assert columns.high[where] == 30
    assert (columns.low == 2).all()
    # Zoomed in, the step itself.
    columns = curves.columns("loss", "step", 654_300, 654_340, 40)
    assert np.flatnonzero(columns.high > 2).tolist() == [21]


def test_a_long_run_has_a_bounded_number_of_buckets_and_exact_extremes(tmp_path: Path) -> None:
    records = made(200_001)
    curves = written(tmp_path, records)
    assert 8_192 <= len(curves._buckets) <= 16_385
    columns = curves.columns("loss", "step", 0, 204_800, 100)  # 2,048 records a column
    blocks = [records["loss"][i : i + 2048] for i in range(0, 200_001, 2048)]
    np.testing.assert_array_equal(columns.low[: len(blocks)], [b.min() for b in blocks])
    np.testing.assert_array_equal(columns.high[: len(blocks)], [b.max() for b in blocks])
    np.testing.assert_allclose(columns.mean[: len(blocks)], [b.mean() for b in blocks])
    assert not columns.present[len(blocks) :].any()


@pytest.mark.parametrize("x", ["step", "tokens", "time"])
def test_live_and_finished_give_the_same_columns_to_the_bit(tmp_path: Path, x: Any) -> None:
    loss = made(70_000)["loss"].copy()
    loss[[0, 77, 30_000, 30_001, 69_999]] = np.nan
    records = made(70_000, loss=loss)
    generator, done = np.random.default_rng(3), 0
    live = tmp_path / "live"
    live.mkdir()
    curves = written(live, records[:0])
    while done < len(records):
        count = int(generator.choice([1, 2, 63, 64, 65, 1000, 16_384, 20_000]))
        append(live, records[done : done + count])
        assert curves.poll()
        done += count
        curves.columns("loss", "step", 100, 900, 146)  # a zoomed chart, drawn all along
    finished = tmp_path / "finished"
    finished.mkdir()
    other = written(finished, records)
    end = curves.x_of(len(curves), x)
    for series in (*SERIES, *map(smoothed, SMOOTHING)):
        for begin, stop in ((0, end), (end * 0.3, end * 0.31), (end * 0.9, end * 1.5)):
            same(curves.columns(series, x, begin, stop, 146), other.columns(series, x, begin, stop, 146))


def test_only_the_last_columns_change_while_a_run_grows(tmp_path: Path) -> None:
    records = made(100_000)
    curves = written(tmp_path, records[:16_000])
    for count in (16_384, 16_500, 40_000, 70_000, 100_000):  # K doubles three times on the way
        before = curves.columns("loss", "step", 0, 131_072, 200)
        full = int(np.flatnonzero(before.present)[-1])
        append(tmp_path, records[len(curves) : count])
        curves.poll()
        after = curves.columns("loss", "step", 0, 131_072, 200)
        np.testing.assert_array_equal(before.low[:full], after.low[:full])
        np.testing.assert_array_equal(before.high[:full], after.high[:full])
        np.testing.assert_allclose(before.mean[:full], after.mean[:full], rtol=1e-12)


def test_a_zoom_reads_the_records_again_and_follows_them(tmp_path: Path) -> None:
    records = made(300_000)
    curves = written(tmp_path, records[:299_000])
    assert curves._buckets.K > 10
    columns = curves.columns("loss", "step", 298_500, 299_500, 100)
    assert columns.present.sum() == 50
    append(tmp_path, records[299_000:])
    curves.poll()
    columns = curves.columns("loss", "step", 298_500, 299_500, 100)
    np.testing.assert_array_equal(columns.low, records["loss"][298_500:299_500].reshape(100, 10).min(axis=1))
    expected = plainly_averaged(records["loss"].tolist(), 0.99)
    smooth = curves.columns(smoothed(0.99), "step", 298_500, 299_500, 100)
    np.testing.assert_allclose(smooth.mean, expected[298_509:299_500:10], rtol=1e-9)


def test_what_is_not_finite_is_a_gap_and_marked(tmp_path: Path) -> None:
    loss = np.full(100, 2.0)
    loss[10:20], loss[55] = np.nan, np.inf
    columns = written(tmp_path, made(100, loss=loss)).columns("loss", "step", 0, 100, 10)
    assert np.flatnonzero(~columns.present).tolist() == [1]
    assert np.flatnonzero(columns.broken).tolist() == [1, 5]
    assert (columns.high[columns.present] == 2).all()


def test_sums_that_overflow_stay_between_least_and_most(tmp_path: Path) -> None:
    columns = written(tmp_path, made(100, loss=np.full(100, 1e308))).columns("loss", "step", 0, 100, 10)
    assert (columns.mean == 1e308).all()


def test_columns_over_nothing_are_absent(tmp_path: Path) -> None:
    curves = written(tmp_path, made(0))
    assert curves.last is None
    assert not curves.columns("loss", "step", 0, 100, 10).present.any()
    append(tmp_path, made(10))
    curves.poll()
    for begin, end in ((50, 100), (5, 5), (9, 3), (-50, 0), (float("nan"), 1)):
        assert not curves.columns("loss", "step", begin, end, 10).present.any(), (begin, end)


# ------------------------------------------------------------------------------- averages


@pytest.mark.parametrize("level", SMOOTHING)
def test_the_average_is_the_recurrence_without_its_bias(tmp_path: Path, level: float) -> None:
    loss = made(3000)["loss"].copy()
    loss[[0, 1, 500, 501, 1999]] = np.nan, np.inf, -np.inf, np.nan, np.nan
    curves = written(tmp_path, made(3000, loss=loss))
    columns = curves.columns(smoothed(level), "step", 0, 3000, 3000)
    np.testing.assert_allclose(columns.mean, plainly_averaged(loss.tolist(), level), rtol=1e-10)


@pytest.mark.parametrize("count", [1000, 50_000])
def test_flops_are_tokens_times_what_a_token_cost_then(tmp_path: Path, count: int) -> None:
    records = made(count)
    curves = written(tmp_path, records)
    assert curves.x_of(count, "flops") == 0  # not known
    half = float(records["tokens"][count // 2 - 1])
    curves.price(Spent([(0.0, 10.0), (half, 30.0)]))  # an edit of T halfway
    total = 10 * half + 30 * (float(records["tokens"][-1]) - half)
    assert curves.x_of(count, "flops") == total
    for step in (1, 499, count // 2, count // 2 + 1, count - 1):
        place = curves.x_of(step, "flops")
        assert curves.step_of("flops", place) == step
        assert curves.step_of("flops", np.nextafter(place, 0)) == step - 1
    columns = curves.columns("loss", "flops", 0, total, 2)
    assert columns.present.all()
    later = int(np.searchsorted(10 * half + 30 * (records["tokens"] - half), total / 2))
    np.testing.assert_allclose(columns.mean[1], records["loss"][later:].mean(), rtol=0.01)


# ------------------------------------------------------------------------------- places


@pytest.mark.parametrize("count", [1000, 50_000])  # buckets of one record, and of more
def test_places_and_steps_are_each_others_inverse(tmp_path: Path, count: int) -> None:
    records = made(count)
    curves = written(tmp_path, records)
    for step in (1, 2, 499, 500, count // 3, count - 1):
        assert curves.x_of(step, "tokens") == records["tokens"][step - 1]
        assert curves.x_of(step, "time") == records["time"][step - 1]
        for x in ("step", "tokens", "time"):
            place = curves.x_of(step, x)  # type: ignore[arg-type]
            assert curves.step_of(x, place) == step  # type: ignore[arg-type]
            assert curves.step_of(x, np.nextafter(place, 0)) == step - 1  # type: ignore[arg-type]
    assert curves.x_of(0, "time") == 0
    assert curves.x_of(count + 5, "tokens") == records["tokens"][-1]
    assert curves.step_of("tokens", 1e18) == count - 1
    assert curves.step_of("time", -1) == 0


def test_at_gives_the_exact_record_or_nothing(tmp_path: Path) -> None:
    records = made(100)
    curves = written(tmp_path, records)
    with (tmp_path / "steps.bin").open("ab") as file:
        file.write(b"torn" * 10)
    found = curves.at(60)
    assert found is not None
    assert {name: found[name] for name in DTYPE.names or ()} == dict(
        zip(DTYPE.names or (), records[60].item(), strict=True)
    )
    assert found["tokens_per_s"] == 128 / records["seconds"][60]
    first = curves.at(0)
    assert first is not None
    assert first["tokens_per_s"] == 64 / records["seconds"][0]
    assert curves.at(100) is None
    assert curves.at(-1) is None
    assert curves.last is not None
    assert curves.last["step"] == 99


def test_recent_speed_is_of_the_last_ten(tmp_path: Path) -> None:
    records = made(100)
    curves = written(tmp_path, records[:3])
    assert curves.recent_speed() == pytest.approx(192 / records["seconds"][:3].sum())
    append(tmp_path, records[3:])
    curves.poll()
    assert curves.recent_speed() == pytest.approx(1280 / records["seconds"][90:].sum())


def test_the_clipped_share_of_a_range(tmp_path: Path) -> None:
    flags = np.zeros(1000, "<u4")
    flags[100:150] = CLIPPED | SPIKE
    curves = written(tmp_path, made(1000, flags=flags))
    assert curves.clipped_share(0, 1000) == 0.05
    assert curves.clipped_share(100, 200) == 0.5
    assert curves.clipped_share(950, 5000) == 0
    assert curves.clipped_share(2000, 3000) == 0


# ------------------------------------------------------------------------------- a file that is cut


@pytest.mark.parametrize("again", [0, 200, 700, 900])
def test_a_rewound_run_shows_only_its_new_attempt(tmp_path: Path, again: int) -> None:
    """Cut at 500 of 700 and written on: shorter than what was read, as long, or longer."""
    first, second = made(700), made(500 + again, seed=9)
    second[:500] = first[:500]
    second["time"][500:] += 0.125
    curves = written(tmp_path, first)
    curves.columns("loss", "step", 0, 700, 100)
    os.truncate(tmp_path / "steps.bin", 500 * DTYPE.itemsize)
    append(tmp_path, second[500:])
    assert curves.poll()
    assert not curves.poll()
    assert len(curves) == 500 + again
    fresh = Curves(tmp_path)
    fresh.poll()
    for series in (*SERIES, *map(smoothed, SMOOTHING)):
        same(curves.columns(series, "step", 0, 1500, 100), fresh.columns(series, "step", 0, 1500, 100))
    assert curves.last == fresh.last


def test_a_rewound_run_is_zoomed_into_and_marked_by_its_new_attempt(tmp_path: Path) -> None:
    """What was read closely before, and where marks lay, was of the attempt that was taken back."""
    first, second = made(300_000), made(300_000, seed=9)
    second[:100_000] = first[:100_000]
    for name in ("time", "tokens"):
        second[name][100_000:] += 7
    curves = written(tmp_path, first)
    assert curves._buckets.K > 1

    def seen(of: Curves) -> Any:
        return of.columns("loss", "step", 150_000, 151_000, 100), of.x_of(150_001, "tokens"), of.x_of(150_001, "time")

    before = seen(curves)
    os.truncate(tmp_path / "steps.bin", 100_000 * DTYPE.itemsize)
    append(tmp_path, second[100_000:])
    curves.poll()
    fresh = Curves(tmp_path)
    fresh.poll()
    columns, *places = seen(curves)
    same(columns, (wanted := seen(fresh))[0])
    assert tuple(places) == wanted[1:]
    assert places[0] == before[1] + 7


def test_reset_to_reads_again_even_where_the_last_record_looks_the_same(tmp_path: Path) -> None:
    first = made(700)
    curves = written(tmp_path, first)
    second = first.copy()
    second["loss"][500:699] = 9
    second.tofile(tmp_path / "steps.bin")
    assert not curves.poll()
    curves.reset_to(700)
    assert not curves.poll()
    curves.reset_to(500)
    assert curves.poll()
    assert curves.columns("loss", "step", 500, 700, 2).high.tolist() == [9, 9]


def test_a_run_that_is_removed_is_empty(tmp_path: Path) -> None:
    curves = written(tmp_path, made(100))
    (tmp_path / "steps.bin").unlink()
    assert curves.poll()
    assert len(curves) == 0
    assert curves.last is None


def test_a_file_that_is_damaged_later_stops_no_drawing(tmp_path: Path) -> None:
    curves = written(tmp_path, made(200_000))
    with (tmp_path / "steps.bin").open("r+b") as file:
        for step in (0, 70_000, 100_001, 199_999):
            file.seek(step * DTYPE.itemsize)
            file.write(b"\xff" * 8)
    assert curves.at(100_001) is None
    assert not curves.columns("loss", "step", 100_000, 100_200, 200).present.all()
    for x in ("tokens", "time"):
        assert 0 <= curves.x_of(100_001, x) <= curves.x_of(200_000, x)
        assert 0 <= curves.step_of(x, curves.x_of(100_100, x)) < 200_000
    curves.landmark(0, 200_000)
    with pytest.raises(WorkbenchError, match=r"record 199,999 says that it is step .* the file is damaged there"):
        curves.poll()


def test_a_thread_may_poll_while_another_draws(tmp_path: Path) -> None:
    records = made(60_000)
    curves = written(tmp_path, records[:1])
    failures: list[BaseException] = []

    def poll() -> None:
        try:
            for begin in range(1, len(records), 500):
                append(tmp_path, records[begin : begin + 500])
                curves.poll()
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    thread = threading.Thread(target=poll)
    thread.start()
    while thread.is_alive():
        columns = curves.columns("loss", "step", 0, 65_536, 200)
        assert (columns.low[columns.present] <= columns.high[columns.present]).all()
        curves.columns("loss", "time", 0, 50, 200)
        curves.at(len(curves) - 1)
    thread.join()
    assert not failures
    assert len(curves) == 60_000
