"""The five steps, and the table of totals that the second one looks up."""

import re

import pytest

from workbench.plan.derivation import Measured, derivation
from workbench.plan.planner import Plan
from workbench.plan.totals import TOTALS, Total, nearest

PLAN = Plan(16, 1024, 4, 8)


def test_the_five_steps_come_in_the_order_in_which_they_depend_on_each_other() -> None:
    steps = derivation(PLAN, fit="workbench fit gpt2-124m")
    assert [step.title.split(",")[0] for step in steps] == ["T", "total", "B", "accum", "verify"]
    assert [step.holds for step in steps] == [True, True, None, True, True]
    assert steps[0].figure == "T = 1,024"
    assert "GPT-2, 512 × 1,024" in steps[1].sentence
    assert "workbench fit gpt2-124m" in steps[2].sentence
    assert steps[3].figure == "524,288 / (B 16 · T 1,024 · world 8) = 4"
    assert steps[4].figure == PLAN.product()


@pytest.mark.parametrize(("largest", "holds"), [(24, True), (16, True), (12, False)])
def test_a_measured_B_holds_up_to_the_largest_that_ran(largest: int, holds: bool) -> None:
    step = derivation(PLAN, measured=Measured(largest=largest, fastest=8))[2]
    assert step.holds is holds
    assert f"fits {largest}" in step.sentence
    assert "fastest 8" in step.sentence


def test_windows_count_examples() -> None:
    steps = derivation(Plan(32, 3, 2, layout="windows"))
    assert steps[1].figure == "64 examples"
    assert steps[3].figure == "64 / (B 32 · world 1) = 2"


def test_slow_accumulation_is_told_with_its_updates_an_hour() -> None:
    assert "12 updates an hour" in derivation(Plan(1, 1024, 512), updates_per_hour=12.0)[3].sentence


def total(model: str) -> Total:
    (found,) = (t for t in TOTALS if t.model == model)
    return found


def test_what_the_texts_got_wrong_is_right() -> None:
    """ "GPT-2 used 32K to 64K tokens, BERT 256K" is an error."""
    assert total("GPT-2").tokens == 512 * 1024 == 524_288
    assert total("BERT").tokens == 256 * 512 == 131_072
    assert total("LLaMA, 7B to 65B").tokens == 4_000_000


def test_every_product_that_is_written_out_is_its_total() -> None:
    written = 0
    for t in TOTALS:
        numbers = [int(n.replace(",", "")) for n in re.findall(r"[\d,]*\d", t.how)]
        if "×" in t.how:
            product = 1
            for n in numbers:
                product *= n
            assert product == t.tokens, t
            written += 1
        elif t.how.endswith("M"):
            assert float(t.how[:-1]) * 10**6 == t.tokens
            assert not t.exact
        assert t.source
    assert written >= 7
    assert [t.tokens for t in TOTALS] == sorted(t.tokens for t in TOTALS)


def test_the_nearest_is_by_ratio_and_prefers_what_is_counted_out() -> None:
    assert nearest(524_288).tokens == 524_288
    assert nearest(1).tokens == 32
    assert nearest(10**9).model.startswith("LLaMA")
    assert nearest(512_000).model in ("GPT-2", "GPT-3 Small, 125M")
