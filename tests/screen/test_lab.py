"""The Lab pane: what it shows is what was measured, at every size; what it starts ends with it."""

import asyncio
import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest
from rich.cells import cell_len
from strips import HOSTILE, SIZES, drawn, until
from textual.pilot import Pilot

from tests.screen.conftest import DOCUMENT
from workbench import preset as presets
from workbench.plan.totals import TOTALS
from workbench.screen import keys
from workbench.screen.frame.slots import LAB, TITLES, slots
from workbench.screen.lab import check, fit, fit_chart, plan, sweep, table
from workbench.screen.lab.asking import Asking
from workbench.screen.lab.pane import VIEWS, Lab
from workbench.screen.lab.table import Table

TINY = DOCUMENT | {"model": {"kind": "gpt", "layers": 1, "heads": 1, "width": 8}}


def pane(pilot: Pilot[int]) -> Lab:
    found = pilot.app.screen_stack[0].house.pane(LAB)  # type: ignore[attr-defined]
    assert isinstance(found, Lab)
    return found


def shown(pilot: Pilot[int]) -> str:
    return "\n".join(drawn(pane(pilot)))


def footer(pilot: Pilot[int]) -> str:
    pilot.app.screen.footer.say("")  # type: ignore[attr-defined]
    return drawn(pilot.app.screen.footer)[0]  # type: ignore[attr-defined]


def tell(pilot: Pilot[int], *objects: dict[str, Any]) -> None:
    """What a process would have told the view that is shown."""
    lab = pane(pilot)
    for told in objects:
        lab._heard_object(lab.view, told)


def probe(B: int, *, fits: bool = True, **more: Any) -> dict[str, Any]:
    measured: dict[str, Any] = {
        "memory_bytes": (30 + 3 * B) << 20, "seconds_per_step": 0.5 / B + 0.1, "tokens_per_s": 3072 / (0.5 / B + 0.1),
    }  # fmt: skip
    if not fits:
        measured = dict.fromkeys(measured)
    return {"type": "probe", "B": B, "T": 64, "accum": max(48 // B, 1), "fits": fits, **measured, **more}


PROBES = (probe(1), probe(2), probe(48), probe(96, fits=False, reason=f"out of memory {HOSTILE}"), probe(64))
FIT = {
    "type": "fit", "limit_bytes": 256 << 20, "largest": {"B": 64, "accum": 1}, "next": 96,
    "fastest": {"B": 48, "accum": 1, "tokens_per_s": 27800.0}, "sentences": [f"The largest is 64. {HOSTILE}", "Done."],
}  # fmt: skip
SCENARIOS = tuple(
    {"type": "scenario", "name": name, "B": B, "accum": accum, "tokens_per_step": 256 * B * accum, "state": state,
     "memory_bytes": memory, "sentence": f"{HOSTILE} told of {name}"}
    for name, B, accum, state, memory in (
        ("A", 128, 1, "out-of-memory", None), ("B", 8, 1, "done", 100 << 20), ("C", 8, 16, "done", 104 << 20))
)  # fmt: skip
CHECK = {
    "type": "check", "check": "accum", "title": f"Splits {HOSTILE}", "holds": True,
    "sentences": [HOSTILE * 3, "All equal."],
    "tables": [
        {"title": HOSTILE, "columns": ["split", "largest difference of the gradients", HOSTILE, "w"],
         "rows": [["64×1", 0.0, HOSTILE, None], ["8×8", 2.6e-7, "text", True], ["1×64", float("nan"), 3, 10**30]]},
        {"columns": "none"}, 7,
        {"title": "wide", "columns": [f"column {n}" for n in range(40)], "rows": [list(range(40))]},
    ],
}  # fmt: skip
COMPARED = {
    "type": "compare", "x": "steps", "differing": ["batch.B"],
    "runs": [{"run": f"/r/{B}", "label": f"B={B} {HOSTILE}", "seed": 1337, "steps": 600.0, "tokens": 600.0 * B,
              "seconds": 1.5, "loss": 2.3, "noise": 0.2, "train_loss": 2.2, "val_loss": 2.3, "gap": 0.1,
              "tokens_per_s": 600.0 * B / 1.5} for B in (1, 32)],
    "groups": [{"label": "B=1", "seeds": 2, "val_loss": 2.3, "spread": 0.1, "noise": 0.2}],
    "verdicts": [{"a": "B=1", "b": "B=32", "gap": 0.01, "spread": 0.1, "verdict": "within noise"}],
    "sentences": [HOSTILE],
}  # fmt: skip


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


# --------------------------------------------------------------------------------------- fit


async def test_a_fit_grows_and_its_rows_are_taken(app: Any) -> None:
    async with app("char", size=(120, 35)) as pilot:
        await pilot.press("9", "f")
        pane(pilot).view.begin()
        tell(pilot, PROBES[0])
        assert "3,072" not in shown(pilot)
        tell(pilot, *PROBES[1:])
        assert shown(pilot).index("does not") > shown(pilot).index("48  ")
        tell(pilot, FIT)
        lines = shown(pilot).splitlines()
        assert any("64" in line and "largest" in line for line in lines)
        assert any("48" in line and "fastest" in line for line in lines)
        assert "●" in shown(pilot), "the chart"
        await pilot.press("down", "down", "down", "enter")
        batch = pilot.app.bench.draft.batch
        assert (batch.B, batch.accum) == (2, 24)
        await pilot.press("down", "down", "down", "enter")
        assert (pilot.app.bench.draft.batch.B) == 2, "what did not fit is not taken"


def test_its_chart_marks_every_size_and_the_limit() -> None:
    for width in (30, 34, 64, 120):
        for height in (6, 9, 18):
            lines = fit_chart.lines(PROBES, 256 << 20, width, height)
            assert len(lines) == height
            assert all(sum(cell_len(text) for text, _ in line) == width for line in lines)
    text = "\n".join("".join(part for part, _ in line) for line in fit_chart.lines(PROBES, 256 << 20, 80, 20))
    assert "limit" in text
    assert "memory, MiB" in text
    assert text.count("●") == 8
    assert all(str(B) in text for B in (1, 2, 96))
    fit_chart.lines([probe(1, fits=False)], None, 40, 9)


async def test_scenarios_are_a_table_and_sentences(app: Any) -> None:
    async with app("char", size=(120, 35)) as pilot:
        await pilot.press("9", "f", "right")
        assert pane(pilot).view.words() == ["fit", "-", "--scenarios"]
        pane(pilot).view.begin()
        tell(pilot, *SCENARIOS)
        assert "A  128      1         32,768        –  out of memory" in shown(pilot)


async def test_a_limit_is_typed(app: Any) -> None:
    async with app("char", size=(120, 35)) as pilot:
        await pilot.press("9", "f", "down", "enter", *"lots", "enter")
        await pilot.pause()
        assert "expected an amount such as 2GiB" in str(pilot.app.screen.query_one(".wrong").content)
        await pilot.press(*["backspace"] * 4, *"1.5GiB", "enter")
        await pilot.pause()
        assert pane(pilot).view.words() == ["fit", "-", "--memory-limit", "1.5GiB"]
    assert [fit.wrong_limit(text) == "" for text in ("", "2GiB", "512 MiB", "-1GiB", "GiB", "0")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip


async def test_beside_a_run_it_asks_first(app: Any, made_run: Any) -> None:
    run = made_run(records=50, state="running", edit=False)
    async with app(run=run, size=(120, 35)) as pilot:
        await pilot.press("9", "f")
        assert "a run is training here" in shown(pilot)
        await pilot.press("r")
        await pilot.pause()
        assert len(pilot.app.screen_stack) == 2
        await pilot.press("n")
        await pilot.pause()
        assert pane(pilot).asking is None


async def test_a_read_only_screen_starts_nothing(app: Any, made_run: Any) -> None:
    run = made_run(records=50, state="running", edit=False)
    async with app(run=run, read_only=True, size=(200, 60)) as pilot:
        for key in "fcs":
            await pilot.press("9", key, "r", *["up"] * 4, "enter", "escape")
            await pilot.pause(0.2)
            assert pane(pilot).asking is None
            assert "r measure" not in footer(pilot)
        await pilot.press("p", "down", "right", "a")
        assert pilot.app.bench.staged == {}
        assert pane(pilot).plan.plan.B == 8, "it may be looked at all the same"
        await pilot.press("m")
        assert "r measure" in footer(pilot)


# --------------------------------------------------------------------------------------- check, tables


def test_a_table_breaks_headers_and_texts_before_it_leaves_columns_out() -> None:
    made = Table.of(
        "t", ["B", "the largest difference", "what happens"], [[1, 2.5e-7, "one two three four five six"], [64, 0, "x"]]
    )
    for width in range(8, 90):
        lines, begins = table.lines(made, width)
        assert all(sum(cell_len(text) for text, _ in line) <= width for line in lines), width
        assert len(begins) == 2
    text = "\n".join("".join(part for part, _ in line) for line in table.lines(made, 40)[0])
    assert "2.5e-7" in text
    assert "largest" in text
    assert "six" in text
    assert "… 1 more column" in "".join(part for line in table.lines(made, 16)[0] for part, _ in line)


def test_figures_are_short() -> None:
    told = [table.cell(it) for it in (2.6e-7, 0.0, 12.345, 123456.7, 1e20, 1234567, None, True, float("inf"))]
    assert told == ["2.6e-7", "0", "12.35", "1.2e5", "1.0e20", "1,234,567", "–", "yes", "inf"]
    written = Table.of("", ["a", "b"], [["2.6e-07", "64×1"], ["–", "8×8"], ["1,024", "<3>"]])
    assert written.right == (True, False)


async def test_a_check_shows_its_tables_and_sentences(app: Any) -> None:
    async with app("char", size=(120, 35)) as pilot:
        await pilot.press("9", "c", "0")
        pane(pilot).view.begin()
        tell(pilot, CHECK)
        assert "✓ it holds" in shown(pilot)
        assert "2.6e-7" in shown(pilot)
        assert "All equal." in shown(pilot)
        await pilot.press("right")
        assert "All equal." not in shown(pilot), "that was another check's"
        assert pane(pilot).view.words() == ["check", "gradient", "-"]
        assert tuple(check.ABOUT) == ("accum", "gradient", "last-position")


# --------------------------------------------------------------------------------------- sweep and compare


async def test_a_sweep_is_drawn_as_it_comes_then_compared(app: Any, made_run: Any) -> None:
    paths = [made_run(TINY, records=20, name=f"sweep-{n}") for n in range(6)]
    async with app("char", size=(120, 35)) as pilot:
        await pilot.press("9", "s")
        lab, bench = pane(pilot), pilot.app.bench
        assert lab.view.words()[:4] == ["sweep", "-", "--set", "B=1,32,64"]
        lab.view.begin()
        one = {"type": "run", "label": "B=1", "set": {"batch.B": 1, HOSTILE: 2}, "seed": 1, "step": 3, "steps": 20}
        tell(pilot, one | {"run": None, "state": "starting"})
        assert bench.overlays == []
        tell(pilot, one | {"run": str(paths[0]), "state": "running"}, one | {"run": "/nowhere", "label": "gone"})
        assert [run.path for run in bench.overlays] == paths[:1]
        assert "running" in shown(pilot)
        for n, path in enumerate(paths[1:], 2):
            tell(pilot, one | {"run": str(path), "label": f"B={n}", "state": "done"})
        assert len(bench.overlays) == 4, "as many as can be told apart"
        await pilot.press(*["down"] * 5, "enter")
        assert bench.draft.batch.B == 1
        tell(pilot, COMPARED)
        await pilot.press("0")
        await pilot.pause()
        assert "B=1 against B=32: within noise" in shown(pilot)
        lab._clear_overlays()
        assert bench.overlays == []


def test_what_is_swept_is_checked_before_it_is_started() -> None:
    assert sweep.wrong_set("B=1,32 lr=0.1,0.2") == ""
    assert "expected a key and its values" in sweep.wrong_set("B")
    assert "did you mean" in sweep.wrong_set("BB=1") or "BB" in sweep.wrong_set("BB=1")
    assert "expected a whole number" in sweep.wrong_set("B=one,2")
    assert sweep.wrong_steps("1,000") == ""
    assert sweep.wrong_steps("many") != ""


async def test_compare_needs_two_runs(app: Any, made_run: Any) -> None:
    one, other = made_run(records=20, name="one"), made_run(records=20, name="other")
    async with app(run=one, size=(120, 35)) as pilot:
        await pilot.press("9", "m")
        assert "compare needs two runs" in shown(pilot)
        await pilot.press("r")
        assert pane(pilot).asking is None
        pilot.app.screen.toggle_overlay(other)
        assert pane(pilot).view.words() == ["compare", str(one), str(other), "--x", "steps"]
        await pilot.press("r")
        await until(pilot, lambda: pane(pilot).view.result)
        assert "val" in shown(pilot)
        assert "1337" in shown(pilot)


# --------------------------------------------------------------------------------------- processes


@pytest.mark.slow
async def test_a_real_check_is_asked_heard_and_told(app: Any) -> None:
    async with app(TINY, size=(120, 35)) as pilot:
        await pilot.press("9", "c", "enter")
        await until(pilot, lambda: pane(pilot).asking)
        assert "x ends it" in shown(pilot)
        assert "x end it" in footer(pilot)
        await pilot.press("f", "r")
        await pilot.pause()
        assert pane(pilot).asking.words[0] == "check", "one at a time"
        await pilot.press("c")
        await until(pilot, lambda: pane(pilot).view.results, timeout=60)
        await until(pilot, lambda: pane(pilot).asking.code is not None)
        assert "8×8" in shown(pilot)
        assert "✓ it holds" in shown(pilot)


async def test_what_a_process_complains_of_is_told(app: Any) -> None:
    async with app(TINY | {"device": {"name": "cuda:9"}}, size=(120, 35)) as pilot:
        await pilot.press("9", "f", "r")
        await until(pilot, lambda: pane(pilot).asking and pane(pilot).asking.code is not None, timeout=60)
        assert "✗ " in shown(pilot)
        assert "cuda" in shown(pilot)
        assert "Traceback" not in pane(pilot).asking.error
        await until(pilot, lambda: any("cuda" in str(n.message) for n in pilot.app._notifications))


async def test_what_can_be_read_in_the_pane_is_not_told_again(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with app("char", size=(120, 35)) as pilot:
        told: list[str] = []
        monkeypatch.setattr(pilot.app.bench, "tell", lambda text, level="said": told.append(text))
        await pilot.press("9", "f")
        lab, over = pane(pilot), SimpleNamespace(code=0, error="", cancelled=False, seconds=1.0, close=lambda: None)
        lab.asking = cast(Asking, over)
        tell(pilot, *PROBES, FIT)
        lab._is_over(lab.view, lab.asking)
        assert told == []
        await pilot.press("p")
        lab._is_over(lab.views["fit"], lab.asking)
        await pilot.press("2")
        lab._is_over(lab.view, lab.asking)
        assert [text[:8] for text in told] == ["fit: The"]


async def test_ending_it_ends_its_children_too(app: Any) -> None:
    async with app(TINY, size=(120, 35)) as pilot:
        await pilot.press("9", "f", "r")
        await until(pilot, lambda: pane(pilot).asking)
        process = psutil.Process(pane(pilot).asking.pid)
        await until(pilot, lambda: process.children(recursive=True), timeout=30)
        family = [process, *process.children(recursive=True)]
        await pilot.press("x")
        await until(pilot, lambda: pane(pilot).asking.code is not None)
        await until(pilot, lambda: not any(_there(it) for it in family))
        assert "it was ended before it was done" in shown(pilot)


async def test_nothing_is_left_behind_when_the_screen_goes(app: Any) -> None:
    async with app(TINY, size=(120, 35)) as pilot:
        await pilot.press("9", "c", "r")
        await until(pilot, lambda: pane(pilot).asking)
        process = psutil.Process(pane(pilot).asking.pid)
    deadline = time.monotonic() + 5
    while _there(process) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    assert not _there(process)


def test_an_asking_hears_objects_and_nothing_else(tmp_path: Path) -> None:
    """A word that is refused at once: what it says is the error, and `over` is called once."""
    over, heard = threading.Event(), []
    asking = Asking(
        ["plan", "-", "--nonsense"], presets.to_toml(presets.load("char").preset), hear=heard.append, over=over.set
    )
    assert over.wait(30)
    assert (heard, asking.code) == ([], 2)
    assert "--nonsense" in asking.error
    over.clear()
    asking = Asking(["plan", "-"], presets.to_toml(presets.load("char").preset), hear=heard.append, over=over.set)
    assert over.wait(30)
    assert (asking.code, asking.error) == (0, "")
    assert [told["type"] for told in heard] == ["plan"]
    assert json.dumps(heard)
    assert os.getpgid(os.getpid()) != asking.pid


def _there(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_keys_typed_ahead_mean_what_they_will_mean(app: Any) -> None:
    """Before the pane was drawn once, `down` stayed where it was, and enter measured instead of asking for a limit."""
    async with app("char", size=(120, 35)) as pilot:
        screen = pilot.app.screen
        screen.action_pane(LAB)
        lab = pane(pilot)
        lab.action_view("fit")
        lab.action_move(1)
        await lab.action_act()
        await pilot.pause()
        assert len(pilot.app.screen_stack) == 2
        assert lab.asking is None
