"""Ranges, ticks and numbers: what a person reads off a chart."""

import math

import numpy as np
import pytest

from workbench.screen.charts.axes import Axes, duration, follow_range, labels, number, pan, short, ticks, y_range, zoom
from workbench.screen.charts.curves import Columns


def columns(*values: float) -> Columns:
    return Columns.of(0, 1, values)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "0"), (1.834, "1.83"), (12.5, "12.5"), (123.4, "123"), (100, "100"), (1000, "1k"), (1240, "1.24k"),
        (999.6, "1k"), (150_000, "150k"), (2.5e6, "2.5M"), (4.1e9, "4.1G"), (3e-4, "3e-4"), (-5, "-5"), (0.5, "0.5"),
        (float("nan"), "NaN"), (float("-inf"), "-inf"), (1e20, "1e20"),
    ],
)  # fmt: skip
def test_numbers_are_short(value: float, told: str) -> None:
    assert number(value) == told


def test_a_short_number_fits() -> None:
    for value in (1.00523e-3, -123456.0, 1e300, -1.5e-300, 99999.0, math.pi):
        assert len(short(value, 6)) <= 6 or number(value, 1) == short(value, 6)


@pytest.mark.parametrize(
    ("seconds", "decimals", "told"),
    [(0, 0, "0:00"), (65, 0, "1:05"), (7389, 0, "2:03:09"), (0.25, 2, "0:00.25"), (59.96, 1, "1:00.0")],
)  # fmt: skip
def test_times_are_clocks(seconds: float, decimals: int, told: str) -> None:
    assert duration(seconds, decimals) == told


@pytest.mark.parametrize(
    ("low", "high", "scale", "told"),
    [
        (0, 5000, "number", ["0", "1k", "2k", "3k", "4k", "5k"]),
        (1.2, 1.22, "number", ["1.200", "1.205", "1.210", "1.215", "1.220"]),
        (1000, 1020, "number", ["1,000", "1,005", "1,010", "1,015", "1,020"]),
        (1200, 1300, "number", ["1.2k", "1.22k", "1.24k", "1.26k", "1.28k", "1.3k"]),
        (0, 1e-3, "number", ["0", "2e-4", "4e-4", "6e-4", "8e-4", "1e-3"]),
        (-3, 3, "number", ["-2", "0", "2"]),
        (0, 50, "time", ["0:00", "0:10", "0:20", "0:30", "0:40", "0:50"]),
        (0, 600, "time", ["0:00", "2:00", "4:00", "6:00", "8:00", "10:00"]),
        (0, 0.3, "time", ["0:00.0", "0:00.1", "0:00.2", "0:00.3"]),
        (0, 200_000, "time", ["0:00", "12:00:00", "24:00:00", "36:00:00", "48:00:00"]),
    ],
)  # fmt: skip
def test_ticks_are_round_and_told_apart(low: float, high: float, scale: str, told: list[str]) -> None:
    assert labels(ticks(low, high, 5, scale=scale), scale=scale) == told  # type: ignore[arg-type]


def test_ticks_of_any_range_are_few_distinct_and_inside() -> None:
    generator = np.random.default_rng(0)
    for _ in range(300):
        low = float(generator.choice([-1, 1]) * 10 ** generator.uniform(-12, 12))
        high = low + 10 ** generator.uniform(-3, 6) * abs(low)
        found = ticks(low, high, 5)
        told = labels(found)
        assert len(found) <= 6
        assert all(low - 1e-9 * abs(low) <= tick <= high + 1e-9 * abs(high) for tick in found)
        assert len(set(told)) == len(told), (low, high, told)


def test_logarithmic_ticks() -> None:
    assert labels(ticks(1e-4, 1e-1, 5, log=True)) == ["1e-4", "1e-3", "0.01", "0.1"]
    assert labels(ticks(1, 100, 8, log=True)) == ["1", "2", "5", "10", "20", "50", "100"]
    assert len(ticks(1e-300, 1e300, 5, log=True)) <= 5


def test_a_spike_does_not_flatten_the_body() -> None:
    body = np.linspace(4, 2, 200)
    spiked = body.copy()
    spiked[120] = 40
    assert y_range([columns(*body)])[1] > 4
    low, high = y_range([columns(*spiked)])
    assert low < 2
    assert 4 <= high < 5
    modest = body.copy()
    modest[120] = 4.5  # within reach: shown whole
    assert y_range([columns(*modest)])[1] > 4.5


def test_a_range_keeps_still_until_it_must_move() -> None:
    first = y_range([columns(2.0, 4.0)])
    assert y_range([columns(2.01, 3.9)], previous=first) == first
    wider = y_range([columns(1.0, 4.0)], previous=first)
    assert wider[0] < 1
    assert y_range([columns(2.0, 2.5)], previous=first) != first
    assert y_range([], previous=first) == first


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "values", [(), (2.0,), (2.0, 2.0), (0.0,), (-1.0, 0.0), (float("nan"),), (5e-324, 1e308), (-1e308, 1e308)]
)
def test_a_range_is_finite_and_has_a_height(values: tuple[float, ...], log: bool) -> None:
    low, high = y_range([columns(*values)], log=log)
    assert math.isfinite(low)
    assert math.isfinite(high)
    assert high > low
    assert low > 0 or not log


def test_a_range_of_what_cannot_be_negative_does_not_go_below_zero() -> None:
    assert y_range([columns(0.0, 1.0)])[0] == 0


def test_equal_values_are_a_flat_line_not_their_rounding() -> None:
    low, high = y_range([columns(2.0, np.nextafter(2.0, 3))])
    assert high - low > 0.1


def test_values_to_dots() -> None:
    axes = Axes(0, 100, 1, 3)
    assert np.floor(axes.rows(np.array([3.0, 2, 1]), 9)).tolist() == [0, 4, 8]
    assert axes.columns(np.array([0.0, 50, 100]), 10).astype(int).tolist() == [0, 5, 9]
    log = Axes(0, 1, 0.01, 100, log=True)
    assert np.floor(log.rows(np.array([100.0, 1, 0.01]), 9)).tolist() == [0, 4, 8]
    assert np.isnan(log.rows(np.array([0.0, -1]), 9)).all()


def test_following_grows_by_doubling_to_the_whole_run() -> None:
    assert follow_range(0, 5000) == (0, 64)
    assert follow_range(63, 5000) == (0, 64)
    assert follow_range(64, 5000) == (0, 128)
    assert follow_range(4096, 5000) == (0, 5000)
    assert follow_range(5000, 5000) == (0, 5000)
    assert follow_range(10, 20) == (0, 20)
    assert follow_range(700, 0) == (0, 1024)
    assert len({follow_range(step, 10**6) for step in range(100_000)}) == 12


def test_zoom_and_pan_stay_inside() -> None:
    assert zoom((0, 1000), 0.5, 250, 1000) == (125, 625)
    assert zoom((125, 625), 2, 250, 1000) == (0, 1000)
    assert zoom((0, 1000), 4, 500, 1000) == (0, 1000)
    assert zoom((500, 508), 0.1, 504, 1000) == (500, 508)
    assert pan((0, 100), 0.5, 1000) == (50, 150)
    assert pan((0, 100), -0.5, 1000) == (0, 100)
    assert pan((900, 1000), 0.5, 1000) == (900, 1000)
    assert zoom((0, 8), 2, 4, 3) == (0, 8)
