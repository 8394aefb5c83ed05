"""Columns that stand under each other, shades, and what a long row hides."""

import math

import numpy as np
import pytest

from workbench.screen.batch.grid import Cells, Columns, inks_of_x, inks_of_y, merged, shades


def test_shades_are_eighths_of_what_a_blind_guess_costs() -> None:
    V = 65
    losses = np.array([0.0, math.log(V) / 2, math.log(V) * 1.01, 40.0, math.nan, math.inf])
    assert shades(losses, V).tolist() == [0, 4, 7, 7, 7, 7]


def test_neighbours_of_one_ink_are_one_run() -> None:
    assert merged([("a", "x"), ("b", "x"), ("c", "")]) == [("ab", "x"), ("c", "")]


@pytest.mark.parametrize("keep", range(0, 100, 7))
def test_the_cursors_column_is_always_among_those_that_fit(keep: int) -> None:
    columns = Columns.fitting(100, 3, 40, keep, 50)
    assert columns.begin <= keep < columns.end
    assert (columns.end - columns.begin) * 3 + 2 <= 40


def test_columns_stay_while_the_cursor_moves_among_them() -> None:
    assert Columns.fitting(100, 1, 40, 60, 50).begin == Columns.fitting(100, 1, 40, 61, 50).begin == 50


def test_hidden_columns_are_marked() -> None:
    left, *_, right = Columns.fitting(100, 1, 40, 50, 30).framed([("x" * 38, "")])
    assert (left[0], right[0]) == ("…", "…")


def test_cells_are_as_wide_as_the_widest_token_and_no_wider_than_twelve() -> None:
    assert Cells.of({0: "a", 1: "\n"}, 64, ids=False, plain=False).width == 1
    assert Cells.of({0: "a", 1: " the"}, 64, ids=False, plain=False).width == 4
    long = Cells.of({0: "a" * 40}, 120, ids=False, plain=False)
    assert (long.width, long.text(0)) == (12, "a" * 11 + "…")
    assert Cells.of({0: "a" * 40}, 64, ids=False, plain=False).width == 8, "eight tokens fit beside each other"
    assert Cells.of({0: "a", 1: "bc"}, 64, ids=False, plain=True).text(1) == "bc "
    assert Cells.of({7: "a", 104: "b"}, 64, ids=True, plain=False).text(7) == "  7 "


def test_the_causal_mask() -> None:
    assert inks_of_x(5, 1) == ["past", "past", "mark", "dim", "dim"]
    assert inks_of_x(3, 2) == ["past"] * 3
    assert inks_of_x(2, None) == ["", ""]
    assert inks_of_y(3, 1, None) == ["dim", "target", "dim"]
    assert inks_of_y(3, 1, [0, 5, 7]) == ["shade-0", "target", "shade-7"]
