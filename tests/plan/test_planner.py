"""The product and what is left open of it: the figures that the teaching texts print, and laws that always hold."""

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from workbench import preset as presets
from workbench.plan.planner import (
    LARGEST,
    QUANTITIES,
    Locked,
    NotWhole,
    Plan,
    change,
    mixed,
    solve,
    verdict,
)

LAYOUTS = st.sampled_from(["stream", "windows"])
PLANS = st.builds(
    Plan, B=st.integers(1, 512), T=st.integers(1, 2048), accum=st.integers(1, 128), world=st.integers(1, 16),
    layout=LAYOUTS,
)  # fmt: skip


@pytest.mark.parametrize(
    ("tokens", "T", "B", "world", "accum"),
    [
        (32_768, 256, 16, 1, 8),
        (16_384, 512, 8, 1, 4),
        (524_288, 1024, 64, 1, 8),
        (524_288, 1024, 16, 1, 32),
        (524_288, 1024, 16, 8, 4),
    ],
)
def test_the_texts_own_figures_both_ways(tokens: int, T: int, B: int, world: int, accum: int) -> None:
    everything = {"tokens": tokens, "T": T, "B": B, "world": world, "accum": accum}
    for open_ in QUANTITIES:
        plan = solve({name: value for name, value in everything.items() if name != open_})
        assert plan.numbers() == everything


def test_sixteen_thousand_at_512_is_32_examples_not_8_and_not_128() -> None:
    assert solve({"tokens": 16_384, "T": 512, "accum": 1, "world": 1}).B == 16_384 // 512 == 32
    assert solve({"tokens": 16_384, "T": 512, "B": 8, "world": 1}).rows == 32


@given(PLANS, st.sampled_from(QUANTITIES))
def test_every_quantity_is_solved_for_from_the_others(plan: Plan, open_: str) -> None:
    assume(not (plan.layout == "windows" and open_ == "T"))
    left = {name: value for name, value in plan.numbers().items() if name != open_}
    assert solve(left, layout=plan.layout) == plan
    assert plan.tokens == math.prod(plan.factors().values())


@given(
    st.integers(1, 10**7), st.integers(1, 300), st.integers(1, 3000), st.integers(1, 64),
    st.sampled_from(["B", "T", "accum", "world"]), LAYOUTS,
)  # fmt: skip
def test_what_is_not_whole_is_told_with_neighbours_that_bracket_it_and_with_mends_that_hold(
    tokens: int, a: int, b: int, c: int, open_: str, layout: str
) -> None:
    assume(not (layout == "windows" and open_ == "T"))
    names = [name for name in ("B", "T", "accum", "world") if name != open_]
    held = {"tokens": tokens, **dict(zip(names, (a, b, c), strict=True))}
    try:
        plan = solve(held, layout=layout)
    except NotWhole as caught:
        error = caught
    else:
        assert plan.tokens == tokens
        return
    each = math.prod(value for name, value in held.items() if name not in ("tokens", *_uncounted(layout)))
    assert error.quotient == Fraction(tokens, each)
    assert error.quotient.denominator > 1
    assert error.above.tokens > tokens
    assert (error.below is None) == (tokens < each)
    for neighbour in (error.below, error.above):
        if neighbour:
            near = {**held, open_: neighbour.value}
            del near["tokens"]
            assert solve(near, layout=layout).tokens == neighbour.tokens
            assert f"{neighbour.tokens:,}" in str(error)
    if error.below:
        assert error.below.tokens < tokens
        assert error.above.value == error.below.value + 1
    for mend in error.mends:
        mended = solve({**held, mend.name: mend.value}, layout=layout)
        assert mended.tokens == tokens
        assert mended.numbers()[open_] == mend.open
        assert mend.value != held[mend.name]


def _uncounted(layout: str) -> tuple[str, ...]:
    return ("T",) if layout == "windows" else ()


def test_the_message_tells_quotient_neighbours_and_what_would_fit() -> None:
    with pytest.raises(NotWhole) as caught:
        solve({"tokens": 524_288, "T": 1024, "B": 12, "world": 1})
    told = str(caught.value)
    assert "42 2/3 (42.67)" in told
    assert "accum = 42 gives 516,096 tokens a step; accum = 43 gives 528,384 tokens a step" in told
    assert "B = 16 gives accum = 32 exactly" in told
    assert "B = 8 gives accum = 64 exactly" in told


def test_under_one_there_is_no_neighbour_below() -> None:
    with pytest.raises(NotWhole) as caught:
        solve({"tokens": 1000, "T": 1024, "B": 16, "world": 1})
    assert caught.value.below is None
    assert caught.value.above == (1, 16_384)


@pytest.mark.parametrize(
    "given_",
    [
        {"tokens": 1, "B": 1, "T": 1, "accum": 1, "world": 1},
        {"tokens": 1, "B": 1, "T": 1},
        {"tokens": 0, "B": 1, "T": 1, "world": 1},
    ],
)
def test_it_takes_exactly_one_open_quantity_and_positive_numbers(given_: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        solve(given_)


def test_t_is_nothing_to_solve_for_where_it_multiplies_nothing() -> None:
    with pytest.raises(ValueError, match="all of"):
        solve({"tokens": 64, "B": 32, "accum": 2, "world": 1}, layout="windows")
    assert solve({"tokens": 64, "B": 32, "T": 3, "world": 1}, layout="windows").accum == 2


def test_a_preset_is_a_plan_and_is_spelt_out() -> None:
    assert Plan.of(presets.load("names").preset).product() == "32 = B 32 · accum 1 · world 1"
    assert Plan.of(presets.load("gpt2-124m").preset, world=8).tokens == 8 * 524_288


def test_verdicts() -> None:
    assert "none needed" in verdict(1)
    assert all("usual" in verdict(accum) for accum in (2, 64))
    assert "slow" in verdict(65)
    assert "hour" not in verdict(65)
    assert "36 updates an hour" in verdict(65, 36.0)


# ------------------------------------------------------------------------------------ locked and free


@given(
    PLANS, st.sampled_from(QUANTITIES), st.one_of(st.integers(1, 4096), st.sampled_from([2**16, 2**19])),
    st.sets(st.sampled_from(QUANTITIES)),
)  # fmt: skip
def test_the_product_stays_true_and_what_is_locked_never_moves(
    plan: Plan, name: str, value: int, locked: set[str]
) -> None:
    before = plan.numbers()
    try:
        moved = change(plan, name, value, locked=locked)
    except Locked:
        after = None
    else:
        after = moved.plan.numbers()
        assert after[name] == value
        assert after["tokens"] == math.prod(moved.plan.factors().values())
        differing = {other for other in QUANTITIES if after[other] != before[other]}
        assert differing <= {name, moved.moved}
        assert not differing & locked
        assert not moved.moved or moved.moved in ("accum", "tokens", "B")
        assert max(after["B"], after["accum"]) <= LARGEST
    if after is None and name not in locked and not locked & {"tokens"} and name != "tokens":
        raise AssertionError("tokens was free, and it can always take a change of a factor")


PLAN = Plan(16, 256, 8)  # 32,768


@pytest.mark.parametrize(
    ("name", "value", "locked", "moved", "numbers"),
    [
        ("B", 32, "", "accum", (32_768, 32, 256, 4)),
        ("B", 12, "", "tokens", (24_576, 12, 256, 8)),  # accum would be 10 2/3
        ("B", 32, "accum", "tokens", (65_536, 32, 256, 8)),
        ("T", 512, "", "accum", (32_768, 16, 512, 4)),
        ("T", 512, "accum tokens", "B", (32_768, 8, 512, 8)),
        ("tokens", 65_536, "", "accum", (65_536, 16, 256, 16)),
        ("tokens", 65_536, "accum", "B", (65_536, 32, 256, 8)),
        ("accum", 4, "", "tokens", (16_384, 16, 256, 4)),
        ("accum", 4, "tokens", "B", (32_768, 32, 256, 4)),
        ("world", 8, "", "accum", (32_768, 16, 256, 1)),
        ("B", 16, "accum tokens", "", (32_768, 16, 256, 8)),
    ],
)
def test_accum_gives_way_first_then_tokens_then_B(
    name: str, value: int, locked: str, moved: str, numbers: tuple[int, ...]
) -> None:
    after = change(PLAN, name, value, locked=locked.split())
    assert after.moved == moved
    assert tuple(after.plan.numbers().values())[:4] == numbers


@pytest.mark.parametrize(
    ("name", "value", "locked", "why"),
    [
        ("B", 32, "B", "B is locked"),
        ("B", 12, "tokens", "accum would be 10 2/3"),
        ("B", 12, "tokens", "tokens is locked"),
        ("tokens", 30_000, "", "B would be"),
        ("B", 0, "", "from 1"),
        ("T", LARGEST + 1, "", "1,048,576"),
        ("tokens", 256 * 16 * 8 * LARGEST, "B", "over 1,048,576"),
    ],
)
def test_what_nothing_free_can_take_is_refused_with_its_reasons(name: str, value: int, locked: str, why: str) -> None:
    with pytest.raises(Locked, match=why):
        change(PLAN, name, value, locked=locked.split())


def test_T_of_windows_moves_nothing() -> None:
    after = change(Plan(32, 3, 1, layout="windows"), "T", 8)
    assert (after.moved, after.plan.T, after.plan.tokens) == ("", 8, 32)


@given(st.fractions(min_value=0, max_value=10**6))
def test_a_mixed_number_says_the_exact_value(value: Any) -> None:
    exact = mixed(value).split(" (")[0].replace(",", "").split(" ")
    parts = [int(n) / int(d) if d else int(n) for n, _, d in (part.partition("/") for part in exact)]
    assert sum(parts) == pytest.approx(float(value))
