"""The canvas, dot by dot: what is drawn is decoded from its characters again."""

import numpy as np
import pytest

from workbench.screen.charts.canvas import Canvas

NAN = float("nan")
# The bit of each dot in a braille cell, from Unicode's own numbering: dots 1 2 3 7 on the left, 4 5 6 8 on the right.
DOTS = {(0, 0): 1, (1, 0): 2, (2, 0): 3, (3, 0): 7, (0, 1): 4, (1, 1): 5, (2, 1): 6, (3, 1): 8}


def drawn(canvas: Canvas) -> list[str]:
    rows = ["".join(text for text, _ in row) for row in canvas.rows()]
    assert [len(row) for row in rows] == [canvas.width] * canvas.height
    return rows


def dots(canvas: Canvas) -> set[tuple[int, int]]:
    """(column, row) of every braille dot."""
    return {
        (2 * x + right, 4 * y + down)
        for y, row in enumerate(drawn(canvas))
        for x, character in enumerate(row)
        for (down, right), number in DOTS.items()
        if 0x2800 < ord(character) < 0x2900 and (ord(character) - 0x2800) >> (number - 1) & 1
    }


def line(
    canvas: Canvas, values: list[float], style: str = "s", broken: tuple[int, ...] = (), **options: object
) -> None:
    rows = np.array(values, dtype=np.float64)
    breaks = np.zeros(len(rows), dtype=np.bool_)
    breaks[list(broken)] = True
    canvas.line(rows, rows, breaks, style, **options)  # type: ignore[arg-type]


def test_each_dot_is_where_its_value_is() -> None:
    canvas = Canvas(4, 2)
    line(canvas, [0, 1, 2, 3, 4, 5, 6, 7])
    assert dots(canvas) == {(i, i) for i in range(8)}


def test_a_column_shows_all_between_least_and_most() -> None:
    canvas = Canvas(2, 3)
    low, high = np.array([5.0, 5, 1, 5]), np.array([6.0, 6, 10, 6])
    canvas.line(low, high, np.zeros(4, dtype=np.bool_), "s")
    assert {row for column, row in dots(canvas) if column == 2} == set(range(1, 11))
    assert {row for column, row in dots(canvas) if column == 0} == {5, 6}


def test_a_steep_curve_has_no_holes() -> None:
    for values in ([0, 15], [15, 0], [0, 15, 2, 9]):
        canvas = Canvas(2, 4)
        line(canvas, [*values, *[NAN] * (4 - len(values))])
        found = dots(canvas)
        assert {row for _, row in found} == set(range(min(values), max(values) + 1))
        for column, value in enumerate(values):
            assert (column, value) in found


def test_absent_values_are_joined_by_a_straight_line_and_broken_ones_are_not() -> None:
    canvas = Canvas(4, 2)
    line(canvas, [0, NAN, NAN, NAN, NAN, NAN, NAN, 7])
    assert dots(canvas) == {(i, i) for i in range(8)}
    canvas = Canvas(4, 2)
    line(canvas, [0, 0, NAN, NAN, 0, NAN, NAN, 0], broken=(3,))
    assert {column for column, _ in dots(canvas)} == {0, 1, 4, 5, 6, 7}


def test_nothing_is_drawn_before_the_first_value_nor_after_the_last() -> None:
    canvas = Canvas(4, 1)
    line(canvas, [NAN, NAN, 1, NAN, 1, NAN, NAN, NAN])
    assert {column for column, _ in dots(canvas)} == {2, 3, 4}
    canvas = Canvas(4, 1)
    line(canvas, [NAN] * 8)
    assert drawn(canvas) == ["    "]


def test_what_is_outside_is_drawn_at_the_edge() -> None:
    canvas = Canvas(1, 1)
    line(canvas, [-1e300, 1e300])
    assert {(0, 0), (1, 3)} <= dots(canvas)


def test_a_thin_curve_has_fewer_dots_and_keeps_every_peak() -> None:
    solid, thin = Canvas(20, 5), Canvas(20, 5)
    low, high = np.full(40, 15.0), np.full(40, 18.0)
    low[17] = 0
    for canvas, pattern in ((solid, "solid"), (thin, "thin")):
        canvas.line(low, high, np.zeros(40, dtype=np.bool_), "s", pattern=pattern)  # type: ignore[arg-type]
    assert dots(thin) < dots(solid)
    assert (17, 0) in dots(thin)
    assert sum(1 for column, _ in dots(thin) if column == 17) >= 9


def test_dashes_have_gaps_and_thick_lines_are_twice_as_high() -> None:
    dashed, thick = Canvas(10, 2), Canvas(10, 2, thick=True)
    line(dashed, [4.0] * 20, pattern="dashes")
    line(thick, [4.0] * 20)
    assert {column % 4 for column, _ in dots(dashed)} == {0, 1}
    assert {row for _, row in dots(thick)} == {4, 5}


def test_later_layers_win_a_cell_and_hide_or_join_what_was_there() -> None:
    for above, expected in ((True, {0}), (False, {0, 3})):
        canvas = Canvas(2, 1)
        line(canvas, [3.0] * 4, "first")
        line(canvas, [0.0, 0, NAN, NAN], "second", above=above)
        assert canvas.rows()[0][0][1] == "second"
        assert canvas.rows()[0][1][1] == "first"
        assert {row for column, row in dots(canvas) if column < 2} == expected


def test_points_and_words_stand_above_curves_and_dashed_lines_behind() -> None:
    canvas = Canvas(8, 2)
    canvas.hline(5, "floor")
    line(canvas, [5.0] * 4 + [NAN] * 12, "curve")
    canvas.points(np.array([2.0, 5.0, -1.0, 16.0]), np.array([5.0, 5.0, 5.0, 5.0]), "◆", "val")
    canvas.text(5, 1, "word and more", "label")
    assert drawn(canvas)[1] == "⠒◆◆╌╌wor"
    assert canvas.rows()[1] == [("⠒", "curve"), ("◆◆", "val"), ("╌╌", "floor"), ("wor", "label")]
    assert canvas.rows()[0] == [("        ", "")]


def test_words_are_cut_at_both_edges_and_never_leave_a_row() -> None:
    canvas = Canvas(4, 1)
    canvas.text(-2, 0, "abcd", "s")
    assert drawn(canvas) == ["cd  "]
    for x, y in ((9, 0), (-9, 0), (0, 1), (0, -1)):
        canvas.text(x, y, "abcd", "s")
    assert drawn(canvas) == ["cd  "]


@pytest.mark.parametrize("text", ["\x1b[31m", "a\nb", "e\u0301x", "漢字", "\u202eab", "🙂", "\ud800"])
def test_what_is_not_one_cell_wide_never_reaches_a_terminal(text: str) -> None:
    canvas = Canvas(10, 1)
    canvas.text(0, 0, text, "s")
    (row,) = drawn(canvas)
    assert "?" in row
    assert row.isprintable()
    row.encode()


def test_without_braille_levels_are_eighths_of_a_cell() -> None:
    canvas = Canvas(8, 1, braille=False)
    line(canvas, [float(v) for v in range(8) for _ in range(2)])
    assert drawn(canvas) == ["█▇▆▅▄▃▂▁"]
    canvas = Canvas(4, 2, braille=False)
    line(canvas, [0.0] * 8, "raw", pattern="thin")
    line(canvas, [12.0] * 4 + [NAN] * 4, "smooth")
    assert drawn(canvas) == ["····", "▄▄  "]


def test_free_cells_are_those_without_a_curve() -> None:
    canvas = Canvas(8, 1)
    canvas.hline(1, "floor")
    line(canvas, [1.0] * 4 + [NAN] * 12)
    assert not canvas.free(0, 0, 3)
    assert canvas.free(2, 0, 6)


def test_a_vertical_line_colours_the_curve_that_it_crosses() -> None:
    canvas = Canvas(4, 2)
    line(canvas, [1.0] * 8)
    before = dots(canvas)
    canvas.vline(4, "cursor")
    assert drawn(canvas)[1] == "  │ "
    assert dots(canvas) == before
    assert [style for _, style in canvas.rows()[0]] == ["s", "cursor", "s"]


def test_the_emptiest_place_hides_the_fewest_dots_and_no_words() -> None:
    canvas = Canvas(10, 1)
    canvas.text(8, 0, "ab", "t")
    line(canvas, [0.0] * 10 + [NAN] * 10)
    assert canvas.emptiest(0, 3) == 5
    assert canvas.emptiest(0, 5) == 3
    canvas.text(4, 0, "x", "t")
    assert canvas.emptiest(0, 5) is None
    assert canvas.emptiest(0, 11) is None
