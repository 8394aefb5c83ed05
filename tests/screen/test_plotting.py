"""Whole charts: every row has its width, everything that was asked for is there, nothing degenerate raises."""

import itertools
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from workbench.runs.records import DTYPE, SPIKE, StepLog
from workbench.screen.charts.curves import Columns, Curves, smoothed
from workbench.screen.charts.plotting import GUTTER, Cursor, Floor, Plot, Points, Series, columns_of, draw

NAN, INF = float("nan"), float("inf")


def shown(plot: Plot, width: int = 80, height: int = 14) -> list[str]:
    rows = ["".join(text for text, _ in row) for row in draw(plot, width, height)]
    assert [len(row) for row in rows] == [width] * height
    return rows


def curve(width: int = 80, end: float = 5000) -> Columns:
    return Columns.of(0, end, np.linspace(4, 1.5, columns_of(width)))


def full(width: int = 80) -> Plot:
    return Plot(
        "loss, nats",
        0,
        5000,
        (Series("train", "raw", curve(width), "raw"), Series("0.99", "smooth", curve(width))),
        (Points("val", "val", np.array([0.0, 2500, 5000]), np.array([3.9, 3.0, 2.0])),),
        (Floor(2.48, "bigram"), Floor(40, "far away")),
        (("checkpoint", 1000), ("edit", 1000), ("eval", 2500), ("checkpoint", 5000), ("edit", 6000)),
        Cursor(4000, ("step 4,000", "loss 2.0012")),
    )


def test_a_chart_has_everything_in_its_place() -> None:
    rows = shown(full())
    text = "\n".join(rows)
    assert rows[0].rstrip().endswith("loss, nats  ⠪⠪ train  ⠒⠒ 0.99  ◆ val")
    assert [row.split("┤")[0].strip() for row in rows if "┤" in row] == ["4", "3", "2"]
    assert rows[-1].split() == ["step", "0", "1k", "2k", "3k", "4k", "5k"]
    assert sum(row.count("◆") for row in rows[:-2]) == 3 + 1  # and one in the legend
    assert "bigram 2.48" in text
    assert "╌╌╌" in text
    assert "far away" not in text
    assert "step 4,000" in rows[1]
    assert "loss 2.0012" in rows[2]
    width = 80 - GUTTER
    axis = rows[-2]
    assert axis[GUTTER + 1000 * width // 5000] == "▲"  # the edit, not the checkpoint in the same cell
    assert axis[GUTTER + 2500 * width // 5000] == "◆"
    assert axis[-1] == "▪"
    assert axis.count("▲") == 1
    cursor = GUTTER + 4000 * width // 5000
    assert all(row[cursor] == "│" for row in rows[3:7])


def test_styles_name_what_a_cell_is() -> None:
    names = {style for row in draw(full(), 80, 14) for _, style in row}
    assert names == {
        "", "axis", "label", "title", "raw", "smooth", "val", "floor", "cursor",
        "mark-checkpoint", "mark-edit", "mark-eval",
    }  # fmt: skip


def test_charts_of_one_width_have_their_curves_below_each_other() -> None:
    lr = Plot("lr", 0, 5000, (Series("lr", "lr", Columns.of(0, 5000, np.full(columns_of(80), 1e-3))),))
    for plot in (full(), lr, Plot("nothing", 0, 64)):
        assert {row[GUTTER - 1] for row in shown(plot)[:-1]} <= set("│┤└")


def test_a_spike_of_one_step_in_a_million_is_seen_and_marked(tmp_path: Path) -> None:
    records, s = np.zeros(1_000_000, DTYPE), np.arange(1_000_000)
    records["step"], records["loss"] = s, 2 + np.random.default_rng(0).standard_normal(len(s)) * 0.05
    records["loss"][300_000], records["flags"][300_000] = 50, SPIKE
    records["loss"][600_000] = NAN
    StepLog(tmp_path).close()
    records.tofile(tmp_path / "steps.bin")
    curves = Curves(tmp_path)
    curves.poll()
    n = columns_of(80)
    raw = curves.columns("loss", "step", 0, 1_000_000, n)
    smooth = curves.columns(smoothed(0.99), "step", 0, 1_000_000, n)
    rows = shown(Plot("loss", 0, 1_000_000, (Series("raw", "raw", raw, "raw"), Series("0.99", "smooth", smooth))))
    cell = GUTTER + 300_000 * (80 - GUTTER) // 1_000_000
    assert rows[0][cell] == "▲"
    assert all(0x2800 < ord(row[cell]) < 0x2900 for row in rows[1:6])
    assert rows[-2][cell] == "!"
    assert rows[-2][GUTTER + 600_000 * (80 - GUTTER) // 1_000_000] == "✗"
    assert {row[cell + aside] for row in rows[:2] for aside in (-2, 2)} == {" "}


def test_a_mark_of_what_is_cut_does_not_hide_behind_the_legend() -> None:
    values = np.full(columns_of(80), 2.0)
    values[::2] = 2.1
    values[-4] = 90
    rows = shown(Plot("loss", 0, 100, (Series("train", "raw", Columns.of(0, 100, values), "raw"),)))
    assert "▲" not in rows[0]
    assert rows[1][GUTTER + 71] == "▲"


def test_another_runs_curve_ends_in_its_letter() -> None:
    n = columns_of(60)
    short = np.where(np.arange(n) < n // 2, 3.0, NAN)
    series = (
        Series("train", "smooth", Columns.of(0, 100, np.full(n, 2.0))),
        Series("char-2", "a", Columns.of(0, 100, short), letter="a"),
    )
    rows = shown(Plot("loss", 0, 100, series), 60, 12)
    assert "a char-2" in rows[0]
    assert any(row[GUTTER + (n // 2 - 1) // 2] == "a" for row in rows)


def test_the_legend_leaves_out_what_has_no_room() -> None:
    row = shown(full(30), 30, 10)[0]
    assert "loss, nats" in row
    assert "val" not in row


def test_names_from_elsewhere_reach_the_terminal_as_plain_characters() -> None:
    evil = "a\x1b]0;x\x07\n漢"
    plot = replace(full(), title=evil, floors=(Floor(2.5, evil),), cursor=Cursor(100, (evil,)))
    plot = replace(plot, series=(Series(evil, "s", curve()),))
    assert all(row.isprintable() for row in shown(plot))


@pytest.mark.parametrize("width", [20, 21, 40, 80, 200])
@pytest.mark.parametrize("height", [3, 4, 5, 8, 40])
@pytest.mark.parametrize("braille", [True, False])
def test_every_size_is_filled_exactly(width: int, height: int, braille: bool) -> None:
    for log, thick in itertools.product((False, True), repeat=2):
        shown(replace(full(width), log=log, thick=thick, braille=braille), width, height)


@pytest.mark.parametrize(
    "values",
    [[], [1.0], [2.0] * 9, [NAN] * 9, [INF] * 9, [-INF, 1, NAN], [0.0] * 9, [-1.0, 0], [1e308, -1e308], [5e-324, 0]],
)
@pytest.mark.parametrize("log", [False, True])
def test_degenerate_values_never_raise_nor_warn(values: list[float], log: bool) -> None:
    n = columns_of(40)
    padded = np.array([*values, *[NAN] * (n - len(values))])
    columns = replace(Columns.of(0, 64, padded), broken=np.isinf(padded))
    points = Points("val", "val", np.arange(float(n)), padded)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for look in ("raw", "line", "plan"):
            for y in (None, (1.0, 1.0), (-1.0, 1.0)):
                series = (Series("s", "s", columns, look, letter="a"),)  # type: ignore[arg-type]
                plot = Plot("t", 0, 64, series, (points,), (Floor(NAN, "f"), Floor(INF, "g")), log=log, y=y)
                shown(plot, 40, 8)


def test_degenerate_ranges_never_raise() -> None:
    n = columns_of(40)
    for begin, end in ((0, 0), (5, 3), (NAN, 1), (0, INF)):
        for x in ("step", "time"):
            series = (Series("s", "s", Columns.of(begin, end, np.ones(n))),)
            plot = Plot("t", begin, end, series, marks=(("edit", 1.0), ("eval", NAN)), cursor=Cursor(NAN, ("x",)))
            shown(replace(plot, x=x), 40, 8)  # type: ignore[arg-type]


def test_a_chart_just_resized_draws_its_old_columns() -> None:
    assert "".join(shown(full(120), 60, 10)).count("⠑") > 0


def test_a_longer_run_changes_the_last_columns_alone(tmp_path: Path) -> None:
    """What a live chart sends: with the range and y kept, the cells left of the last columns stay."""
    records, s = np.zeros(1000, DTYPE), np.arange(1000)
    records["step"], records["loss"], records["seconds"] = s, 4 - s / 500, 0.01
    StepLog(tmp_path).close()
    curves, n = Curves(tmp_path), columns_of(120)
    frames = []
    for count in (600, 620):
        records[:count].tofile(tmp_path / "steps.bin")
        curves.poll()
        raw = Series("train", "raw", curves.columns("loss", "step", 0, 1024, n), "raw")
        frames.append(shown(Plot("loss", 0, 1024, (raw,), y=(1.0, 5.0)), 120, 24))
    edge = GUTTER + 599 * (120 - GUTTER) // 1024
    for before, after in zip(*frames, strict=True):
        assert before[: edge - 1] == after[: edge - 1]
    assert frames[0] != frames[1]


def test_notes_stand_in_the_middle_and_what_has_no_label_is_silent() -> None:
    flat = Columns.of(0, 64, np.full(columns_of(80), 2.0))
    plot = Plot("t", 0, 64, (Series("", "raw", flat),), (Points("", "val", np.array([1.0]), np.array([2.0])),))
    assert shown(plot)[0].rstrip().endswith("t")
    rows = shown(replace(plot, notes=("space starts", "p: predict")))
    (y,) = (y for y, row in enumerate(rows) if "space starts" in row)
    assert y in (5, 6)
    assert rows[y].index("space") - GUTTER == pytest.approx((80 - GUTTER - len("space starts")) / 2, abs=1)
    assert "p: predict" in rows[y + 1]


def test_a_floor_under_a_noisy_curve_keeps_its_name_and_hides_no_words() -> None:
    random = np.random.default_rng(0)
    noisy = Columns.of(0, 64, random.random(columns_of(80)))
    low, high = np.zeros_like(noisy.mean), np.ones_like(noisy.mean)
    series = Series("train", "raw", replace(noisy, low=low, high=high), "raw")
    rows = shown(Plot("loss", 0, 64, (series,), floors=(Floor(0.5, "bigram"),), y=(0, 1)))
    assert sum("bigram 0.5" in row for row in rows) == 1
    title = Plot("loss " * 14, 0, 64, floors=(Floor(1.0, "bigram"), Floor(0.9, "unigram")), y=(0, 1))
    rows = shown(title, height=8)
    assert "bigram" not in rows[0]
    assert rows[0].count("loss") == 14


def test_the_least_tick_of_a_wide_logarithm_is_no_zero() -> None:
    wide = Columns.of(0, 64, np.geomspace(1, 2e7, columns_of(80)))
    rows = shown(Plot("loss", 0, 64, (Series("train", "raw", wide),), log=True), height=9)
    ticks = [row.split("┤")[0].strip() for row in rows if "┤" in row]
    assert "0" not in ticks
    assert "10k" in ticks
