"""The Knobs pane: what a key does is on the screen before it acts, and everything that is drawn fits."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from strips import until
from textual.events import Key
from textual.pilot import Pilot

from tests.screen.conftest import DOCUMENT
from workbench.plan.scaling import RULES
from workbench.screen import keys
from workbench.screen.dialogs import help
from workbench.screen.knobs import lr_rules
from workbench.screen.knobs.pane import Knobs


def pane(pilot: Pilot[int]) -> Knobs:
    found = pilot.app.screen_stack[0].house.pane(4)  # type: ignore[attr-defined]
    assert isinstance(found, Knobs)
    return found


def drawn(knobs_pane: Knobs, width: int = 0, height: int = 0) -> str:
    size = knobs_pane.size
    lines = knobs_pane.draw(width or size.width, height or size.height)
    return "\n".join("".join(text for text, _ in line).rstrip() for line in lines)


def sent(run: Path) -> list[dict[str, Any]]:
    """The edits that a run was asked for. The Batch pane asks for looks of its own."""
    told = [json.loads(path.read_text()) for path in (run / "commands").glob("*.json")]
    return [command["changes"] for command in told if command["command"] == "set"]


async def turn(pilot: Pilot[int], *pressed: str) -> None:
    await pilot.press("4", *pressed)
    await pilot.pause()


# --------------------------------------------------------------------------------------- the pane


@pytest.mark.parametrize("size", [(80, 24), (120, 35), (200, 60), (60, 16)])
async def test_all_that_is_drawn_fits(app: Any, size: tuple[int, int]) -> None:
    async with app("char", size=size) as pilot:
        await turn(pilot)
        for _ in range(3):
            for width, height in ((pane(pilot).size.width, pane(pilot).size.height), (30, 4), (30, 60), (118, 30)):
                lines = list(pane(pilot).draw(width, height))
                assert len(lines) <= height
                assert all(sum(cell_len(text) for text, _ in line) <= width for line in lines)
            pilot.app.bench.locked = True
            pilot.app.bench.change({"batch.B": 96})
            pane(pilot).action_move(17)


async def test_what_it_comes_to_is_cut_where_the_pane_ends(app: Any, made_run: Any) -> None:
    """Beside the list and under it, at any height: the text's misfit, what is staged and its sentence are long."""
    async with app(run=made_run(records=50, state="running", edit=False)) as pilot:
        await turn(pilot)
        await until(pilot, lambda: pilot.app.bench.text.corpus)
        pilot.app.bench.change({"batch.B": 2**20, "model.width": 1024, "schedule.steps": 10**12})
        pilot.app.bench.text.misfit = "a long reason " * 9
        whole = len(pane(pilot).draw(76, 200))
        for width in (40, 76):
            for height in range(1, 40):
                lines = ["".join(text for text, _ in line) for line in pane(pilot).draw(width, height)]
                assert len(lines) <= height, (width, height)
                if width == 76 and height < min(whole, 12):
                    assert "0 shows the rest" in lines[-1]


async def test_staged_consequences_fit_any_width(app: Any, made_run: Any) -> None:
    async with app(run=made_run(records=50, state="running", edit=False)) as pilot:
        await turn(pilot)
        pilot.app.bench.change(
            {"batch.B": 2**20, "model.width": 1024, "schedule.steps": 10**12, "optimizer.lr": 1.2345e-3}
        )
        for width in range(30, 130, 7):
            lines = list(pane(pilot).draw(width, 60))
            assert all(sum(cell_len(text) for text, _ in line) <= width for line in lines), width


async def test_arrows_choose_and_turn_the_draft_at_once(app: Any) -> None:
    async with app("char") as pilot:
        await turn(pilot, "right", "down", "left")
        assert (pilot.app.bench.draft.batch.B, pilot.app.bench.draft.batch.T) == (96, 32)
        assert "T                32" in drawn(pane(pilot))
        assert "*" not in drawn(pane(pilot))
        assert "96·32·1 = 3,072" in drawn(pane(pilot))
        await pilot.press("u", "u")
        assert pilot.app.bench.draft == pilot.app.bench.loaded


async def test_a_live_run_gets_staged_values_and_only_a_sends_them(app: Any, made_run: Any) -> None:
    run = made_run(records=50, state="running", edit=False)
    async with app(run=run) as pilot:
        await turn(pilot, "right", "down", "down", "down", "left")
        shown = drawn(pane(pilot))
        assert "4 → 8*" in shown
        assert "1e-3 → 5e-4*" in shown
        assert "acts at the next step" in shown
        assert sent(run) == []
        await pilot.press("a")
        assert sent(run) == [{"batch.B": 8, "optimizer.lr": 5e-4}]
        await pilot.press("right", "d")
        assert pilot.app.bench.staged == {}


async def test_what_needs_a_new_run_is_marked_and_nothing_is_sent_before_the_answer(app: Any, made_run: Any) -> None:
    run = made_run(records=50, state="running", edit=False)
    async with app(run=run, size=(120, 35)) as pilot:
        await turn(pilot, "right")
        pane(pilot).select("model.layers")
        assert "layers           2            new run" in drawn(pane(pilot), 38, 40)
        await pilot.press("right")
        assert "2 → 3*" in drawn(pane(pilot))
        await pilot.press("a")
        assert sent(run) == []
        await pilot.press("l")
        assert sent(run) == [{"batch.B": 8}]
        assert pilot.app.bench.staged == {"model.layers": 3}
        await pilot.press("a", "d")
        assert pilot.app.bench.staged == {}


async def test_the_lock_is_drawn_beside_the_three_and_holds(app: Any) -> None:
    async with app("char") as pilot:
        await turn(pilot, "L", "right")
        batch = pilot.app.bench.draft.batch
        assert (batch.B, batch.T, batch.accum) == (96, 32, 1)
        assert "32 ┤ locked" in drawn(pane(pilot))
        await pilot.press("L")
        assert "locked" not in drawn(pane(pilot))


async def test_w_shows_what_differs_from_the_loaded_preset(app: Any) -> None:
    async with app("char") as pilot:
        await turn(pilot, "w")
        assert "nothing differs from char" in drawn(pane(pilot))
        await pilot.press("w", "right", "w")
        assert "batch.B                48 → 96" in drawn(pane(pilot))
        await pilot.press("escape")
        assert "accum" in drawn(pane(pilot))


async def test_keys_act_in_the_order_in_which_they_were_typed(app: Any) -> None:
    """All at once, as from a busy link: a key that is bound is not overtaken by the letters behind it."""
    async with app("to-be", size=(120, 35)) as pilot:
        await turn(pilot)
        pane(pilot).select("batch.B")
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen.query("Input"))
        line = pilot.app.screen.query_one("Input")
        for key in ("9", "9", "ctrl+u", "2", "4", "left", "1", "enter"):
            line.post_message(Key(key, key if len(key) == 1 else None))
        await until(pilot, lambda: not pilot.app.screen.query("Input"))
        assert pilot.app.bench.draft.batch.B == 214


async def test_enter_types_a_value_and_an_error_loses_nothing(app: Any) -> None:
    async with app("char") as pilot:
        await turn(pilot, "enter")
        await pilot.press(*"x7", "enter")
        wrong = pilot.app.screen.query_one(".wrong").content
        assert "batch.B = 'x7': expected a whole number" in str(wrong)
        assert pilot.app.screen.query_one("Input").value == "x7"
        await pilot.press("home", "delete", "enter")
        await pilot.pause()
        assert pilot.app.bench.draft.batch.B == 7
        pane(pilot).select("model.heads")
        await pilot.press("enter", "5", "enter")
        assert "divides model.width = 128" in str(pilot.app.screen.query_one(".wrong").content)
        await pilot.press("escape")
        await pilot.pause()
        assert pilot.app.bench.draft.model.heads == 4


async def test_a_text_is_typed_as_the_command_line_takes_it(app: Any) -> None:
    async with app("char") as pilot:
        await turn(pilot)
        pane(pilot).select("sample.prompt")
        await pilot.press("enter")
        assert pilot.app.screen.query_one("Input").value == '"\\n"'
        await pilot.press(*"def f", "enter")
        await pilot.pause()
        assert pilot.app.bench.draft.sample.prompt == "def f"
        pane(pilot).select("schedule.kind")
        await pilot.press("enter", "2")
        await pilot.pause()
        assert pilot.app.bench.draft.schedule.kind == "constant"
        pane(pilot).select("model.bias")
        await pilot.press("enter")
        await pilot.pause()
        assert pilot.app.bench.draft.model.bias is True


async def test_the_mouse_chooses_and_drags(app: Any) -> None:
    async with app("char") as pilot:
        await turn(pilot)
        await pilot.mouse_down("#pane-4", offset=(20, 2))
        assert pane(pilot).selected == "batch.T"
        await pilot.hover("#pane-4", offset=(27, 2))
        await pilot.hover("#pane-4", offset=(24, 2))
        await pilot.mouse_up("#pane-4", offset=(24, 2))
        await pilot.hover("#pane-4", offset=(34, 2))
        assert pilot.app.bench.draft.batch.T == 128


async def test_a_read_only_screen_turns_nothing(app: Any, made_run: Any) -> None:
    run = made_run(records=50, state="running", edit=False)
    async with app(run=run, read_only=True) as pilot:
        await turn(pilot, "down", "right", "L", "enter")
        bench = pilot.app.bench
        assert (bench.staged, bench.locked, len(pilot.app.screen_stack)) == ({}, False, 1)
        assert pane(pilot).selected == "batch.T"


async def test_help_on_a_knob_tells_what_it_is(app: Any) -> None:
    async with app("char", size=(120, 35)) as pilot:
        await turn(pilot, "down", "question_mark")
        await pilot.pause()
        text = str(pilot.app.screen.query_one("VerticalScroll Static").content)
        assert "tokens per sequence; live up to model.context" in text
        assert "Expected a whole number from 1 to 1,048,576." in text
        assert "Default 64 · in force 64" in text
        assert "keep B·T·accum while one of them moves" in text
        assert "the rows of any step" in text
        await pilot.press("q")
        assert len(pilot.app.screen_stack) == 1


@pytest.mark.parametrize("number", range(1, 10))
def test_the_help_page_leaves_no_key_out(number: int) -> None:
    """Every key of the table is on the page of every pane, but for an arrow that stands beside its fellow."""
    for title, found in keys.help_of(number):
        shown = [name for name, _ in help.told(found)]
        missing = {key.shown for key in found} - set(shown)
        assert missing <= set("←→↑↓"), title
        assert all(any(arrow in name for name in shown) for arrow in missing)
    for width in (30, 76, 104):
        sections = [(title, help.told(found)) for title, found in keys.help_of(number)]
        page = help.page("batch.B\nwhat it is", sections, width)
        assert all(sum(cell_len(text) for text, _ in line) <= width for line in page)


async def test_a_long_text_costs_no_more_to_draw_than_a_short_one(app: Any) -> None:
    """A megabyte was once made harmless, character by character, at every key."""
    async with app("to-be", size=(120, 50)) as pilot:
        await turn(pilot)
        knobs_pane, counted = pane(pilot), []
        for text in ("short enough to see", "a line of text\n" * 40_000):
            pilot.app.bench.change({"data.text": text})
            knobs_pane.select("data.text")
            begun = time.process_time()
            for _ in range(10):
                drawn(knobs_pane)
            counted.append(time.process_time() - begun)
            assert text[:10] in drawn(knobs_pane)
        assert counted[1] < 5 * counted[0] + 0.1
        pilot.app.bench.undo()
        assert all(len(notice.text) < 200 for notice in pilot.app.bench.notices)


async def test_a_path_shows_its_end_and_a_hostile_one_does_no_harm(app: Any, tmp_path: Path) -> None:
    async with app("char") as pilot:
        await turn(pilot)
        pilot.app.bench.change({"data.dataset": str(tmp_path / ("x" * 60) / "corpus.txt")})
        pane(pilot).select("data.dataset")
        assert "corpus.txt" in drawn(pane(pilot))
        pilot.app.bench.change({"data.dataset": "/nowhere/\x1b[31m.txt"})
        assert "\x1b" not in drawn(pane(pilot))


# --------------------------------------------------------------------------------------- lr by a rule


def test_lr_at_other_tokens_a_step_is_what_each_rule_makes_of_it(bench: Any) -> None:
    it = bench(DOCUMENT | {"optimizer": {"kind": "sgd", "lr": 0.1}})
    assert lr_rules.scaled(it) is None
    it.change({"batch.B": 16})
    scaled = lr_rules.scaled(it)
    assert [scaled.lr(rule) for rule in RULES] == [0.1, 0.4, 0.2]
    assert (scaled.factor, scaled.default, scaled.holds) == (4, "linear", "none")
    shown = "\n".join("".join(text for text, _ in line) for line in lr_rules.lines(scaled, 40))
    assert "lr at 4 times the tokens" in shown
    assert "▸none" in shown
    assert "linear          0.4 default" in shown
    assert "arXiv:1706.02677" in "".join(text for line in lr_rules.why(scaled, 60) for text, _ in line)
    it.change({"batch.accum": 8, "batch.B": 1})
    assert lr_rules.scaled(it).factor == 2
    it.change({"batch.accum": 1, "batch.B": 4})
    assert lr_rules.scaled(it) is None


async def test_a_key_goes_through_the_rules_and_an_undo_takes_b_and_lr_back_together(app: Any) -> None:
    async with app(DOCUMENT) as pilot:
        it = pilot.app.bench
        await turn(pilot, "S")
        assert it.draft == it.loaded
        await pilot.press("right", "right", "S")
        await pilot.pause()
        assert (it.draft.batch.B, it.draft.optimizer.lr, it.draft.schedule.min_lr) == (16, 4e-3, 4e-4)
        assert "▸linear         4e-3" in drawn(pane(pilot))
        await pilot.press("S")
        assert (it.draft.optimizer.lr, it.draft.schedule.min_lr) == (2e-3, 2e-4)
        assert "▸square root    2e-3 default" in drawn(pane(pilot))
        await pilot.press("u")
        assert (it.draft.batch.B, it.draft.optimizer.lr, it.draft.schedule.min_lr) == (8, 1e-3, 1e-4)
        await pilot.press("ctrl+r")
        assert (it.draft.batch.B, it.draft.optimizer.lr, it.draft.schedule.min_lr) == (16, 2e-3, 2e-4)
        await pilot.press("S")
        assert (it.draft.batch.B, it.draft.optimizer.lr) == (16, 1e-3)
        await pilot.press("u", "u")
        assert it.draft == it.loaded


async def test_an_lr_of_ones_own_is_told_and_the_key_turns_to_the_optimizers_rule(app: Any) -> None:
    async with app(DOCUMENT) as pilot:
        it = pilot.app.bench
        await turn(pilot, "right")
        it.change({"optimizer.lr": 7e-3})
        pane(pilot).redraw()
        assert "▸your own       7e-3" in drawn(pane(pilot))
        await pilot.press("S")
        assert it.draft.optimizer.lr == pytest.approx(1e-3 * 2**0.5, rel=1e-5)
        await pilot.press("u")
        assert (it.draft.batch.B, it.draft.optimizer.lr) == (8, 7e-3)


async def test_a_live_run_gets_b_and_lr_in_one_edit(app: Any, made_run: Any) -> None:
    run = made_run(records=50, state="running", edit=False)
    async with app(run=run) as pilot:
        await turn(pilot, "right", "S", "S")
        await pilot.pause()
        pilot.app.screen.footer.say("")
        assert "S lr rule" in "".join(segment.text for segment in pilot.app.screen.footer.render_line(0))
        await pilot.press("a")
        ((changes),) = sent(run)
        assert changes["batch.B"] == 8
        assert changes["optimizer.lr"] == pytest.approx(1e-3 * 2**0.5, rel=1e-5)
        assert changes["schedule.min_lr"] == pytest.approx(1e-4 * 2**0.5, rel=1e-5)
        assert pilot.app.bench.history.has("undo")


async def test_another_optimizer_has_another_lr_anyhow(app: Any) -> None:
    async with app(DOCUMENT) as pilot:
        pilot.app.bench.change({"optimizer.kind": "sgd", "batch.B": 8})
        assert lr_rules.scaled(pilot.app.bench) is None
