"""Where rows were cut: overlaps, repeats, the strip, the ruler."""

import numpy as np
import pytest

from workbench.screen.batch.cuts import NOTHING, ONE, SHARED, cells_of, cuts, ruler, spread, strip


def at(*starts: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.array(starts, dtype=np.int64)


@pytest.mark.parametrize(
    ("starts", "overlapping", "repeats", "told"),
    [
        ((0, 2, 10, 2), 3, 1, "3 rows overlap, 1 repeat"),
        ((0, 8, 16), 0, 0, ""),  # blocks share a boundary token as target and context, and do not overlap
        ((5, 5, 5), 0, 2, "2 repeats"),
        ((0, 7, 100), 2, 0, "2 rows overlap"),
    ],
)
def test_overlaps_and_repeats_are_counted(starts: tuple[int, ...], overlapping: int, repeats: int, told: str) -> None:
    found = cuts(at(*starts), 8)
    assert (found.overlapping, found.repeats, found.told()) == (overlapping, repeats, told)


def test_the_strip_shows_where_rows_are_and_which_tokens_they_share() -> None:
    assert strip(at(0, 2, 10, 2), 8, 19, 19).tolist() == [ONE] * 2 + [SHARED] * 8 + [ONE] * 8 + [NOTHING]


def test_a_row_of_a_large_text_is_never_lost_on_the_strip() -> None:
    marks = strip(at(0, 1_003_790), 64, 1_003_854, 40)
    assert marks.tolist() == [ONE] + [NOTHING] * 38 + [ONE]
    assert cells_of(1_003_790, 64, 1_003_854, 40) == (39, 40)


def test_the_ruler_stands_over_its_columns() -> None:
    assert ruler(0, 20, 1, 8) == "0       8       16  "
    assert ruler(6, 6, 3, 4) == "      8           "
    assert ruler(0, 9, 1, 4).index("8") == 8


def test_what_is_spread_fits_and_holds_the_middle() -> None:
    begin, end = spread([1] * 100, 50, 11)
    assert end - begin == 11
    assert begin <= 50 < end
    assert spread([2] * 5, 0, 100) == (0, 5)
