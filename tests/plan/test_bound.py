"""Where a step's seconds go: parts that add up, and the line that says what is paid whatever B is."""

import pytest

from workbench.plan.bound import Bound, fixed


def test_the_parts_add_up() -> None:
    bound = Bound(whole=0.1, fixed=0.009, arithmetic=0.031)
    assert bound.rest == pytest.approx(0.06)
    assert bound.both == 0
    assert bound.by == "rest"
    over = Bound(whole=0.1, fixed=0.04, arithmetic=0.09)  # a card multiplies while Python launches
    assert (over.rest, over.by) == (0, "arithmetic")
    assert over.both == pytest.approx(0.03)
    assert Bound(1.0, 0.6, 0.3).by == "fixed"


def test_what_is_paid_whatever_B_is() -> None:
    assert fixed([1, 2, 4], [0.011, 0.012, 0.014]) == pytest.approx(0.010)
    assert fixed([2, 4, 8], [2.0, 4.0, 8.0]) == pytest.approx(0)  # all of it grows with B


def test_noise_makes_nothing_absurd() -> None:
    assert fixed([1, 2], [1.0, 3.0]) == 0  # not minus one
    assert fixed([1, 2, 4], [1.0, 0.9, 0.95]) == 1.0  # B costs nothing: the smallest step is all fixed
