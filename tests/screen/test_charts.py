"""The Charts pane: what its keys and the mouse do, at several sizes, on real run directories."""

import time
from pathlib import Path

import pytest
from textual.geometry import Offset
from textual.pilot import Pilot

from tests.screen.conftest import DOCUMENT, MadeApp, MadeRun
from workbench.plan import flops
from workbench.runs.records import StepLog
from workbench.screen.charts.pane import Charts
from workbench.screen.charts.plotting import GUTTER
from workbench.screen.charts.view import extent
from workbench.screen.frame.slots import BATCH, CHARTS

SIZES = [(60, 16), (80, 24), (120, 35), (200, 60)]


def pane(pilot: Pilot[int]) -> Charts:
    return pilot.app.query_one(Charts)


def shown(pilot: Pilot[int]) -> str:
    it = pane(pilot)
    return "\n".join(it.render_line(y).text for y in range(it.size.height)) + f"\n{it.border_subtitle}"


@pytest.mark.parametrize("size", SIZES)
async def test_a_run_is_there_at_every_size(app: MadeApp, made_run: MadeRun, size: tuple[int, int]) -> None:
    async with app(run=made_run(records=500), size=size) as pilot:
        await pilot.press("5")
        assert "loss, nats" in shown(pilot)
        assert "ema .9" in shown(pilot)
        assert ("learning rate" in shown(pilot)) == (size != (60, 16))
        assert ("grad norm" in shown(pilot)) == (size[0] >= 120)
        assert "whole run" in shown(pilot)
        await pilot.press("v", "z")
        assert "zoom ←→↑↓" in shown(pilot)
        assert "loss, nats" in shown(pilot)


@pytest.mark.parametrize("size", SIZES)
async def test_before_a_run_it_invites(app: MadeApp, size: tuple[int, int]) -> None:
    async with app(DOCUMENT, size=size) as pilot:
        await pilot.press("5")
        assert "space starts" in shown(pilot)
        assert "planned" in shown(pilot)
        if size == (80, 24):
            await pilot.press("v", "left", "up", "enter", "home")
        assert pane(pilot).view.mode != "cursor"


async def test_the_cursor_tells_exact_values_and_leads_to_the_rows(app: MadeApp, made_run: MadeRun) -> None:
    async with app(run=made_run(records=500), size=(120, 35)) as pilot:
        bench = pilot.app.bench  # type: ignore[attr-defined]
        await pilot.press("5", "v", "home")
        values = bench.run.curves.at(0)
        text = shown(pilot)
        assert "step 0 " in text
        assert f"train {values['loss']:.4f}" in text
        assert "◆ eval at 0" in text
        assert text.count("│") > 3
        before = pane(pilot).view.cursor
        await pilot.press("right")
        one = pane(pilot).view.cursor
        await pilot.press("left", "shift+right")
        ten = pane(pilot).view.cursor
        assert before == 0 < one < ten
        await pilot.press("enter")
        assert bench.step == ten
        assert BATCH in [p.number for p in pilot.app.screen.house.shown()]  # type: ignore[attr-defined]
        assert pilot.app.screen.house.focused == CHARTS  # type: ignore[attr-defined]
        await pilot.press("end")
        assert pane(pilot).view.cursor == 499
        await pilot.press("escape")
        assert pane(pilot).view.mode == ""
        assert "step 499" not in shown(pilot)


async def test_arrows_alone_begin_a_cursor_or_a_zoom(app: MadeApp, made_run: MadeRun) -> None:
    async with app(run=made_run(records=500), size=(80, 24)) as pilot:
        await pilot.press("5", "left")
        assert pane(pilot).view.mode == "cursor"
        await pilot.press("escape", "up")
        view = pane(pilot).view
        assert view.mode == "zoom"
        assert view.zoomed == (125, 375)
        assert "zoom ←→↑↓ · f follows · esc leaves" in shown(pilot)
        await pilot.press("right")
        assert view.zoomed == (156.25, 406.25)
        await pilot.press("escape")
        assert "zoomed" in shown(pilot)
        await pilot.press("f")
        assert view.zoomed is None


async def test_zoom_stays_around_the_cursor(app: MadeApp, made_run: MadeRun) -> None:
    async with app(run=made_run(records=500), size=(120, 35)) as pilot:
        await pilot.press("5", "v", "end", "up", "up")
        view = pane(pilot).view
        assert view.mode == "cursor"
        assert view.zoomed is not None
        begin, end = view.zoomed
        assert begin <= 499 < end
        await pilot.press(*["pageup"] * 8)
        begin, end = view.zoomed
        assert view.cursor is not None
        assert begin <= view.cursor < end < 500


async def test_smoothing_axis_and_log(app: MadeApp, made_run: MadeRun) -> None:
    async with app(run=made_run(records=500), size=(120, 35)) as pilot:
        await pilot.press("5")
        for words in ("ema .99", "ema .999", "not smoothed", "ema .9"):
            await pilot.press("m")
            assert words in shown(pilot)
        await pilot.press("l")
        assert "loss, nats, log" in shown(pilot)
        for axis in ("tokens", "FLOPs", "time", "step"):
            await pilot.press("x")
            assert f"x {axis}" in shown(pilot)
            assert f" {axis} " in shown(pilot)
        it = pane(pilot)
        assert it.bench.run is not None
        it.view.axis = "flops"
        tokens, a_token = it.bench.run.curves.x_of(500, "tokens"), flops.per_token(it.bench.run.preset, 27)
        assert extent(it.bench, it.view).now == tokens * a_token


async def test_windows_count_examples_and_flops_wait_for_a_run(app: MadeApp) -> None:
    async with app("unicode-names", size=(120, 35)) as pilot:
        await pilot.press("5", "x")
        assert "x examples" in shown(pilot)
        assert "\nexamples " in shown(pilot)
        await pilot.press("x")
        assert "x FLOPs: not known yet" in shown(pilot)


async def test_predict_first(app: MadeApp, made_run: MadeRun) -> None:
    async with app(DOCUMENT, size=(120, 35)) as pilot:
        await pilot.press("5", "p")
        await pilot.press(*"so", "enter", "enter")
        assert "expected a loss" in pilot.app.screen.query_one(".wrong").render().plain  # type: ignore[union-attr]
        await pilot.press(*["backspace"] * 2, *"4.6", "enter", *"1.5", "enter")
        await pilot.pause()
        assert pilot.app.bench.predicted == (4.6, 1.5)  # type: ignore[attr-defined]
        assert "? predicted" in shown(pilot)
        assert "step 0: predicted 4.6" in shown(pilot)
    async with app(run=made_run(records=300), size=(80, 24)) as pilot:
        pilot.app.bench.predicted = (4.0, None)  # type: ignore[attr-defined]
        pane(pilot).redraw()
        assert "predicted 4, off by" in shown(pilot)


async def test_other_runs_are_chosen_in_a_dialog(app: MadeApp, made_run: MadeRun) -> None:
    other = made_run(DOCUMENT | {"name": "b1", "batch": {"B": 1, "T": 16}}, records=500, edit=False)
    async with app(run=made_run(records=500), size=(80, 24)) as pilot:
        await pilot.press("5", "o")
        deadline = time.monotonic() + 5
        while not pilot.app.screen.query_one("OptionList").options and time.monotonic() < deadline:  # type: ignore[attr-defined]
            await pilot.pause(0.02)
        await pilot.press("down", "enter")
        bench = pilot.app.bench  # type: ignore[attr-defined]
        assert [run.path for run in bench.overlays] == [other]
        await pilot.press("escape")
        while bench.overlays[0].reading and time.monotonic() < deadline:
            await pilot.pause(0.02)
        await pilot.pause(0.6)
        assert "a B=1" in shown(pilot)
        await pilot.press("v", "left")
        assert " a " in shown(pilot)
        pilot.app.screen.toggle_overlay(other)  # type: ignore[attr-defined]
        await pilot.pause()
        assert "a B=1" not in shown(pilot)


async def test_the_mouse_points_drags_and_zooms(app: MadeApp, made_run: MadeRun) -> None:
    async with app(run=made_run(records=500), size=(120, 35)) as pilot:
        await pilot.press("5")
        it = pane(pilot)
        cells = it.gallery.boxes["loss"].width - GUTTER
        at = Offset(2 + GUTTER + cells // 2, 3)  # the border and the padding lie before
        await pilot.click(Charts, at)
        assert it.view.mode == "cursor"
        assert it.view.cursor == pytest.approx(250, abs=500 / cells)
        await pilot.press("escape")
        it.post_message(_wheel(it, at))
        await pilot.pause()
        assert it.view.zoomed is not None
        begin, end = it.view.zoomed
        assert end - begin == pytest.approx(250)
        await pilot.mouse_down(Charts, at)
        await pilot.hover(Charts, at + Offset(10, 0))
        await pilot.mouse_up(Charts, at + Offset(10, 0))
        assert it.view.zoomed[0] == pytest.approx(begin - 10 * 250 / cells)
        assert it.view.mode == ""


def _wheel(it: Charts, at: Offset):  # type: ignore[no-untyped-def]
    from textual.events import MouseScrollUp

    x, y = at.x, at.y
    return MouseScrollUp(it, x, y, 0, 0, 0, False, False, False, it.region.x + x, it.region.y + y)


async def test_a_live_run_is_drawn_as_it_grows_and_its_caption_rests(app: MadeApp, made_run: MadeRun) -> None:
    run = made_run(records=300, state="running", edit=False)
    async with app(run=run, size=(120, 35)) as pilot:
        await pilot.press("5")
        before, caption = shown(pilot), pane(pilot).border_subtitle
        assert "following" in str(caption)
        _more(run, 300, 400)
        deadline = time.monotonic() + 5
        while len(pilot.app.bench.run.curves) < 400 and time.monotonic() < deadline:  # type: ignore[attr-defined]
            await pilot.pause(0.05)
        await pilot.pause(0.6)
        assert shown(pilot) != before
        assert pane(pilot).border_subtitle == caption
        it = pane(pilot)
        assert extent(it.bench, it.view).shown == (0, 512)


def _more(run: Path, first: int, last: int) -> None:
    log = StepLog(run)
    for s in range(first, last):
        log.append(s, (s + 1) * 64, s * 4, 1.2, 1e-3, 0.8, 0.01, (s + 1) * 0.01, 4, 16, 1, 1, 0)
    log.close()


async def test_big_has_only_the_loss(app: MadeApp, made_run: MadeRun) -> None:
    async with app(run=made_run(records=500), size=(200, 60), big=True) as pilot:
        await pilot.press("5")
        assert list(pane(pilot).gallery.boxes) == ["loss"]


async def test_a_terminal_without_braille_gets_blocks(
    app: MadeApp, made_run: MadeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "linux")
    async with app(run=made_run(records=500), size=(80, 24), look="terminal") as pilot:
        await pilot.press("5")
        assert not any("⠀" <= c <= "⣿" for c in shown(pilot))
