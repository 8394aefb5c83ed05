"""The Lab pane: where it is, its keys, and the plan. What it shows fits every size."""

from contextlib import suppress
from typing import Any

import pytest
from strips import SIZES

from tests.screen.lab_told import CHECK, COMPARED, FIT, PROBES, SCENARIOS, footer, pane, shown, tell
from workbench.plan.totals import TOTALS
from workbench.screen import keys
from workbench.screen.frame.slots import LAB, TITLES, slots
from workbench.screen.lab import plan
from workbench.screen.lab.pane import VIEWS

# --------------------------------------------------------------------------------------- where it is


@pytest.mark.parametrize("size", SIZES)
async def test_every_view_with_and_without_its_figures_fits_every_size(app: Any, size: tuple[int, int]) -> None:
    """Hostile text in every field that holds text, missing fields, columns that no terminal has room for."""
    told = {"plan": (), "fit": (*PROBES, FIT), "check": (CHECK,), "sweep": (COMPARED,), "compare": (COMPARED,)}
    async with app("char", size=size) as pilot:
        await pilot.press("9")
        for key, name in VIEWS:
            await pilot.press(key)
            assert name in shown(pilot)
            for whole in ("", "0", "0"):
                if whole:
                    await pilot.press(whole)
                    await pilot.pause()
                for pressed in ("down", "down", "right", "pagedown", "up", "pageup"):
                    await pilot.press(pressed)
                    shown(pilot)
                tell(pilot, *told[name], {"type": told[name][-1]["type"]} if told[name] else {"type": "nothing"})
        await pilot.press("f")
        pane(pilot).view.begin()
        tell(pilot, *SCENARIOS)
        shown(pilot)


async def test_the_line_of_the_cursor_can_be_told_without_colours(app: Any) -> None:
    async with app("char", size=(120, 35)) as pilot:
        marked = lambda: [line.strip() for line in shown(pilot).splitlines() if line.startswith("▸")]  # noqa: E731
        await pilot.press("9", "down")
        assert [line[:2] for line in marked()] == ["▸B"]
        await pilot.press("f")
        assert [line[:8] for line in marked()] == ["▸measure"]
        tell(pilot, *PROBES)
        await pilot.press("down", "down", "down")
        assert [line.split()[1] for line in marked()] == ["2"]
        await pilot.press("2")
        assert marked() == []


def test_it_shares_the_slot_of_batch_and_step() -> None:
    assert TITLES[LAB] == "Lab"
    for width, height in SIZES:
        (mine,) = [s for s in slots(width, height, recent=[LAB]) if LAB in s.panes]
        assert mine.shown == LAB
        assert {2, 3} <= set(mine.panes)


async def test_its_keys_are_in_the_footer_and_in_the_help(app: Any) -> None:
    async with app("char", size=(200, 60)) as pilot:
        await pilot.press("9")
        assert "f fit  c check  s sweep  m compare" in footer(pilot)
        assert "L lock" in footer(pilot)
        await pilot.press("f")
        assert "p plan  c check" in footer(pilot)
        assert "r measure" in footer(pilot)
        assert "L lock" not in footer(pilot)
    own = dict(keys.help_of(LAB))["Lab"]
    assert {key for key, _ in VIEWS} <= {key.shown for key in own}


# --------------------------------------------------------------------------------------- plan


async def test_a_plan_is_moved_locked_typed_and_taken(app: Any) -> None:
    """32,768 = 16 · 256 · 8: total typed, T and B chosen, accum comes out."""
    async with app("char", size=(120, 35)) as pilot:
        bench = pilot.app.bench
        await pilot.press("9", "down", "down", "enter", *"256", "enter")
        await pilot.pause()
        assert pane(pilot).plan.plan.T == 256
        await pilot.press("up", "enter", *"16", "enter")
        await pilot.pause()
        await pilot.press("L", "up", "enter", *"2^15", "enter")
        await pilot.pause()
        told = pane(pilot).plan.plan
        assert (told.tokens, told.B, told.T, told.accum) == (32_768, 16, 256, 8)
        assert "32,768 = B 16 · T 256 · accum 8 · world 1" in shown(pilot)
        assert bench.draft == bench.loaded, "nothing is taken before it is asked for"
        assert "a to the knobs" in footer(pilot)
        await pilot.press("a")
        assert (bench.draft.batch.B, bench.draft.batch.T, bench.draft.batch.accum) == (16, 256, 8)
        await pilot.press("u")
        assert bench.draft == bench.loaded
        assert pane(pilot).plan.plan.B == 48, "a plan that was taken follows the knobs again"


async def test_a_total_that_does_not_divide_is_told_with_its_neighbours(app: Any) -> None:
    async with app("char", size=(200, 60)) as pilot:
        await pilot.press("9", "down", "L", "up", "enter", *"10000", "enter")
        await pilot.pause()
        wrong = str(pilot.app.screen.query_one(".wrong").content)
        assert "accum would be 3 49/192" in wrong
        assert "accum = 3 gives 9,216 tokens a step; accum = 4 gives 12,288 tokens a step" in wrong
        await pilot.press("escape")
        assert pane(pilot).plan.plan.tokens == 3072


async def test_a_locked_number_gives_way_to_nothing(app: Any) -> None:
    async with app("char", size=(120, 35)) as pilot:
        await pilot.press("9", "L", "down", "down", "down", "L", "up", "right")
        assert pane(pilot).plan.plan.T == 128
        assert pane(pilot).plan.plan.B == 24, "tokens and accum are locked"
        assert "locked" in shown(pilot)
        await pilot.press("up", "L", "down", "right")
        assert pane(pilot).plan.plan.T == 128
        assert "cannot be" in shown(pilot)
        await pilot.press("escape")
        assert pane(pilot).plan.plan.B == 48


async def test_the_five_steps_take_b_from_the_last_fit(app: Any) -> None:
    async with app("char", size=(200, 60)) as pilot:
        await pilot.press("9", "0")
        assert "are not measured yet: `f then enter`" in shown(pilot)
        assert TOTALS[0].model in shown(pilot)
        await pilot.press("f")
        pane(pilot).view.begin()
        tell(pilot, *PROBES, FIT)
        await pilot.press("p")
        assert "largest that fits 64, fastest 48" in shown(pilot)
        assert "tokens/s by fit, B = 48" in shown(pilot)
        await pilot.press("down", "right")
        assert "B = 96 was not seen to fit" in shown(pilot)
        await pilot.press("escape", "down", "right")
        assert "are not measured yet" in shown(pilot), "what fits depends on T"


async def test_time_comes_from_the_open_run(app: Any, made_run: Any) -> None:
    run = made_run(records=100, seconds=0.5)
    async with app(run=run, size=(200, 60)) as pilot:
        await pilot.press("9", "0")
        assert "500 ms; 7,200 an hour" in shown(pilot)
        assert "128 tokens/s" in shown(pilot)


def test_numbers_are_typed_as_people_write_them() -> None:
    told = {"524,288": 524_288, "2^19": 524_288, "512k": 524_288, "1M": 2**20, " 48 ": 48}
    assert {text: plan.typed(text) for text in told} == told
    for text in ("", "k", "2^", "2^99", "1.5", "-4", "1e3", "9" * 40, "²"):
        with suppress(ValueError):
            assert plan.typed(text) is None, text
