"""Which size to run next: few runs, and an answer that holds whatever memory does."""

import random

import pytest

from workbench.lab.search import Line, Tried, accum_for, high, ladder, line, low, next_size


def play(peak, limit: int, cap: int, rows: int = 64, least: int = 1) -> list[Tried]:  # type: ignore[no-untyped-def]
    """Run sizes by `peak`, in bytes of B, until no more are asked for."""
    tried: list[Tried] = []
    while (B := next_size(tried, ladder=ladder(rows, cap, least), cap=cap, limit=limit)) is not None:
        assert least <= B <= cap
        assert B not in [t.B for t in tried], "a size is run once"
        assert len(tried) < 60
        held = int(peak(B))
        tried.append(Tried(B, held <= limit, held if held <= limit else None))
    return tried


def test_a_straight_line_takes_two_runs_above_the_ladder() -> None:
    tried = play(lambda B: 20e6 + 2.2e6 * B, 300_000_000, cap=6539, rows=48)
    assert [t.B for t in tried] == [1, 2, 4, 8, 16, 24, 48, 127, 128] or [t.B for t in tried][-2:] == [127, 128]
    assert (low(tried), high(tried)) == (127, 128)


def test_whatever_memory_does_the_answer_holds() -> None:
    """A floor (evaluation), a slope, and noise that no line foresees."""
    draw = random.Random(1)
    for _ in range(1000):
        floor, start, slope = draw.uniform(0, 8e7), draw.uniform(0, 5e7), 10 ** draw.uniform(2, 7)
        noise, cap, rows = draw.choice([0, 0.01]), int(10 ** draw.uniform(0, 6)), int(10 ** draw.uniform(0, 5))

        def peak(B: int, floor=floor, start=start, slope=slope, noise=noise) -> float:  # type: ignore[no-untyped-def]
            return max(floor, start + slope * B) * (1 + noise * (B * 7919 % 13) / 13)

        tried = play(peak, int(10 ** draw.uniform(6, 10)), cap, rows)
        fitted, failed = low(tried), high(tried)
        assert failed is not None or fitted == cap
        assert failed is None or failed - fitted <= max(1, fitted // 256)
        assert failed is None or fitted >= 256 or failed == fitted + 1  # exact where B is small


def test_nothing_fits() -> None:
    tried = play(lambda B: 100, limit=50, cap=1000)
    assert [t.B for t in tried] == [1]
    assert (low(tried), high(tried)) == (0, 1)
    assert [t.B for t in play(lambda B: 100, limit=50, cap=1000, least=2)] == [2]


def test_everything_fits_up_to_the_cap() -> None:
    tried = play(lambda B: B, limit=10**9, cap=100)
    assert (low(tried), high(tried)) == (100, None)


def test_the_line_goes_through_the_two_largest() -> None:
    tried = [Tried(1, True, 500), Tried(2, True, 500), Tried(10, True, 600), Tried(20, True, 800), Tried(40, False)]
    assert line(tried) == Line(400, 20)
    assert line(tried[:1]) is None
    assert line(tried[:2]) is None  # no slope: nothing can be foretold


@pytest.mark.parametrize(
    ("rows", "cap", "expected"),
    [
        (48, 121, [1, 2, 4, 8, 16, 24, 48, 121]),
        (64, 64, [1, 2, 4, 8, 16, 32, 64]),
        (4, 4, [1, 2, 4]),
        (32, 200_000, [1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096, 16384, 65536, 200_000]),
    ],
)
def test_the_ladder_is_of_sizes_that_divide_a_step(rows: int, cap: int, expected: list[int]) -> None:
    assert ladder(rows, cap) == expected


def test_accum_is_the_nearest_whole_number() -> None:
    assert [accum_for(48, B) for B in (1, 5, 16, 32, 33, 48, 500)] == [48, 10, 3, 2, 1, 1, 1]


def test_a_size_too_close_to_the_limit_is_neither() -> None:
    """It is not the largest, and what is named as not fitting lies beyond it."""
    tried: list[Tried] = []
    while (B := next_size(tried, ladder=ladder(64, 1000), cap=1000, limit=1000)) is not None:
        held = 10 * B
        tried.append(Tried(B, held <= 985, held if held <= 1015 else None, close=985 < held <= 1015))
    assert (low(tried), high(tried)) == (98, 102)
    assert {t.B for t in tried if t.close} >= {99, 101}
