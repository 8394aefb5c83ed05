"""What stands around the panes: the status line, the footer, the palette, large figures; and keys in odd places."""

import asyncio
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pseudo_terminal import PseudoTerminal
from rich.cells import cell_len
from strips import HOSTILE, SIZES, drawn, until
from textual import events
from textual.css.stylesheet import Stylesheet
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widgets._toast import Toast

from tests.screen.conftest import MadeApp
from workbench.errors import UsageError
from workbench.screen import app as application
from workbench.screen import keys
from workbench.screen.app import Workbench
from workbench.screen.frame import figures
from workbench.screen.frame.bars import Footer, StatusLine
from workbench.screen.frame.lined import Lined
from workbench.screen.frame.slots import BATCH, CHARTS, KNOBS, RUNS, TITLES

LONG = {
    "name": "a-preset-with-a-name-that-no-line-has-room-for",
    "data": {"text": "to be or not to be\n" * 40},
    "batch": {"B": 4, "T": 8},
    "model": {"layers": 1, "heads": 1, "width": 16},
}


def status(pilot: Any) -> list[str]:
    return drawn(pilot.app.screen.query_one(StatusLine))


def footer(pilot: Any) -> str:
    return drawn(pilot.app.screen.query_one(Footer))[0]


# ------------------------------------------------------------------------------------------ the status line


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("state", ["running", "paused", "stopped", "diverged"])
async def test_a_narrow_status_line_keeps_every_figure(app: Any, made_run: Any, width: int, state: str) -> None:
    """At 60 columns its end was cut off, and with it lr and tokens/s: the name gives way, in its middle."""
    run = made_run(LONG, records=437, state=state, steps=10_000)
    async with app(run=run, size=(width, 16)) as pilot:
        (line,) = status(pilot)
        last = pilot.app.bench.run.curves.last
        assert f" {state} " in line
        assert "437/10" in line
        assert f"loss {last['loss']:.4f}"[:8] in line
        assert re.search(r" lr \d\.\d{1,2}e-\d ", line)
        assert "k t" in line or "k/s" in line
        assert "a-pr" in line
        assert run.name[-3:] in line  # by which runs of one preset are told apart
        assert cell_len(line) <= width


async def test_what_is_staged_is_told_where_there_is_room(app: Any, made_run: Any) -> None:
    run = made_run(records=100, state="running")
    async with app(run=run, size=(120, 35)) as pilot:
        await pilot.press("slash")
        await pilot.pause()
        assert "1 staged" in status(pilot)[0]
        await pilot.resize_terminal(40, 10)
        await pilot.pause()
        assert cell_len(status(pilot)[0]) <= 40


@pytest.mark.parametrize(
    ("records", "steps", "seconds", "state", "left"),
    [
        (100, 200, 0.01, "running", "training, 1 s left"),
        (100, 4_000, 0.01, "running", "training, 39 s left"),
        (100, 10_100, 0.03, "running", "training, 5 min left"),
        (100, 100_100, 0.3, "running", "training, 8 h 20 min left"),
        (100, 1_000_100, 1.0, "running", "training, 11 days left"),
        (0, 200, 0.01, "running", "training"),
        (100, 200, 0.01, "paused", ""),
    ],
)
async def test_how_long_the_rest_takes(
    app: Any, made_run: Any, records: int, steps: int, seconds: float, state: str, left: str
) -> None:
    run = made_run(records=records, steps=steps, seconds=seconds, state=state, edit=0)
    async with app(run=run, size=(160, 30)) as pilot:
        (line,) = status(pilot)
        assert line.rstrip().endswith(left)
        assert ("training" in line) is bool(left)


async def test_the_status_line_draws_no_name_raw(app: Any) -> None:
    document = {"name": "x", "data": {"text": HOSTILE * 20}, "batch": {"B": 2, "T": 4}}
    async with app(document, size=(60, 16)) as pilot:
        pilot.app.bench.draft = pilot.app.bench.draft.model_copy(update={"name": HOSTILE})
        pilot.app.screen.status_line.redraw()
        status(pilot)  # `drawn` checks


# ------------------------------------------------------------------------------------------ large figures


def test_figures_are_three_rows_of_one_width() -> None:
    for text in ("0123456789", "12,345", "4.6347", "1.00e-3", "nan", "inf", "-inf", "–"):
        rows = figures.figures(text)
        assert len(rows) == 3
        assert {len(row) for row in rows} == {figures.room_for(text)}
    assert len({tuple(figures.figures(digit)) for digit in "0123456789"}) == 10


@pytest.mark.parametrize("size", [(80, 24), (120, 35)])
async def test_big_shows_step_loss_and_lr_in_large_figures(app: Any, made_run: Any, size: tuple[int, int]) -> None:
    run = made_run(records=437, state="running", edit=False)
    async with app(run=run, size=size, big=True) as pilot:
        lines = status(pilot)
        last = pilot.app.bench.run.curves.last
        assert len(lines) == 5
        assert "step of 874" in lines[1]
        for rows in (figures.figures("437"), figures.figures(f"{last['loss']:.4f}")):
            assert all(row in line.ljust(size[0]) for row, line in zip(rows, lines[2:], strict=True))
        charts = pilot.app.screen.house.pane(CHARTS)
        assert charts.outer_size.height >= 9
        await pilot.resize_terminal(60, 16)
        await pilot.pause()
        assert len(status(pilot)) == 1  # no room for them


# ------------------------------------------------------------------------------------------ the footer


async def test_the_footer_shows_what_is_of_use_now(app: Any, made_run: Any) -> None:
    async with app("to-be", size=(80, 24)) as pilot:
        assert footer(pilot).startswith(" space start")
        assert "apply" not in footer(pilot)
        assert "resume" not in footer(pilot)
        assert footer(pilot).endswith("? help  q quit")
    running = made_run(records=50, state="running", edit=False)
    async with app(run=running, size=(80, 24)) as pilot:
        assert footer(pilot).startswith(" space pause")
        await pilot.press("slash")
        await pilot.pause()
        assert footer(pilot).startswith(" space pause  a apply")
    over = made_run(records=50, state="stopped")
    async with app(run=over, size=(60, 16)) as pilot:
        await pilot.pause(0.3)
        pilot.app.screen.footer.say("")
        assert "R resume" in footer(pilot)
        assert footer(pilot).endswith("? help  q quit")


def test_help_and_leaving_are_in_every_footer() -> None:
    for state in ("ready", "starting", "running", "paused", "over"):
        for pane in TITLES:
            for more in (set(), {"read-only", "run"}, {"staged", "undo", "redo", "run", "whole", "checkpoint"}):
                found = keys.footer(pane, {state} | more)
                assert {key.action for key, _ in found} >= {"help", "leave_screen"}
                assert not ("read-only" in more and any(key.steers for key, _ in found))
    assert [key.action for key, _ in keys.footer(BATCH, {"paused", "run"})][:3] == ["space", "one_step", "micro"]
    assert ("apply", "apply") in [(k.action, label) for k, label in keys.footer(KNOBS, {"running", "run", "staged"})][
        :2
    ]


async def test_a_click_on_a_key_of_the_footer_does_what_the_key_does(app: Any) -> None:
    async with app("to-be", size=(80, 24)) as pilot:
        x = footer(pilot).index("? help")
        await pilot.click(Footer, offset=(x + 3, 0))
        await until(pilot, lambda: len(pilot.app.screen_stack) == 2)


# ------------------------------------------------------------------------------------------ notices


def toasts(screen: Any) -> set[int]:
    """Rows of the screen that have one."""
    width, height = screen.size
    return {y for y in range(height) for x in range(width) if isinstance(screen.get_widget_at(x, y)[0], Toast)}


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("size", SIZES)
async def test_notices_hide_neither_the_status_line_nor_the_tabs_nor_the_footer(
    bench: Any, size: tuple[int, int], big: bool
) -> None:
    it = bench("to-be")
    async with Workbench(it, look="dark", big=big).run_test(size=size, notifications=True) as pilot:
        main = pilot.app.screen
        for many in (1, 12):
            for n in range(many):
                it.tell(f"notice {n} of {many} says what is wrong and what is to be done about it: " * 3, "warning")
            main.refresh_now("status")
            await until(pilot, lambda: toasts(main))
            at = toasts(main)
            assert min(at) > main.status_line.size.height, "and the tabs below it"
            assert max(at) < size[1] - 1


# ------------------------------------------------------------------------------------------ the palette


def test_the_palette_offers_what_does_something_and_tells_each_apart() -> None:
    told = [what for _, what in keys.commands()]
    assert len(set(told)) == len(told)
    assert "Charts: logarithmic y" in told
    assert not any(key.shown in ("↓", "tab", "PgUp") for key, _ in keys.commands())


async def test_a_command_is_found_by_its_words_and_run(app: Any) -> None:
    async with app("to-be", size=(60, 16)) as pilot:
        await pilot.press("ctrl+p")
        await pilot.press(*"go to step 7"[:2])
        await pilot.press("escape")
        await pilot.press("ctrl+p", *"runs: go")
        await until(pilot, lambda: pilot.app.screen.query("CommandList").first().option_count)
        await pilot.pause(0.3)
        await pilot.press("enter")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 1 and pilot.app.screen.house.focused == RUNS)


async def test_the_palette_waits_for_a_dialog(app: Any) -> None:
    async with app("to-be", size=(80, 24)) as pilot:
        await pilot.press("question_mark", "ctrl+p")
        await pilot.pause(0.2)
        assert len(pilot.app.screen_stack) == 2


# ------------------------------------------------------------------------------------------ odd places


async def test_a_paste_into_a_pane_presses_no_keys(app: Any) -> None:
    async with app("to-be", size=(80, 24)) as pilot:
        for number in TITLES:
            await pilot.press(str(number))
            pilot.app.screen.focused.post_message(events.Paste(" aXq\nD>UR"))
        await pilot.pause(0.2)
        assert pilot.app.is_running
        assert not pilot.app.bench.starting
        assert len(pilot.app.screen_stack) == 1


@pytest.mark.parametrize("size", [(60, 16), (80, 24)])
@pytest.mark.parametrize("key", ["question_mark", "ctrl+o", "ctrl+s", "g", "t", "y"])
async def test_every_dialog_shows_its_frame_and_what_is_typed(app: Any, size: tuple[int, int], key: str) -> None:
    """On 16 rows the frames of the input lines left no room for what the dialogs asked."""
    async with app("to-be", size=size) as pilot:
        await pilot.press(key)
        await until(pilot, lambda: len(pilot.app.screen_stack) == 2)
        await pilot.pause(0.2)
        screen = pilot.app.screen
        box = screen.query("Vertical").first().region
        assert (box.x, box.y) >= (0, 0)
        assert box.right <= size[0]
        assert box.bottom <= size[1]
        for line in [*screen.query("Input"), *screen.query("TextArea")]:
            assert line.region.bottom < box.bottom
            assert line.content_size.height >= 1


def test_a_dumb_terminal_is_refused_in_words(monkeypatch: Any) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    with pytest.raises(UsageError, match="TERM is dumb"):
        application.check_terminal()


def test_a_locale_without_utf_8_draws_no_backslashes(tmp_path: Path) -> None:
    """Every frame was `\\u2502`: Python wrote what the locale's encoding lacks as escapes."""
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    terminal = PseudoTerminal(["to-be"], size=(80, 24), cwd=tmp_path, env=locale)
    try:
        text = terminal.until("predictions")
        assert "○ to-be" in text
        assert "\\u" not in text
    finally:
        terminal.close()


async def test_a_theme_put_on_later_looks_as_if_worn_from_the_start(app: MadeApp) -> None:
    def seen(pilot: Pilot[int]) -> list[list[Strip]]:
        screen = pilot.app.screen
        return [[lined.render_line(y) for y in range(lined.size.height)] for lined in screen.query(Lined) if lined.size]

    async with app(look="light") as pilot:
        light = seen(pilot)
    async with app(look="dark") as pilot:
        assert seen(pilot) != light
        pilot.app.wear(application.LOOKS["light"])
        await until(pilot, lambda: seen(pilot) == light)


async def test_what_moves_by_itself_is_drawn_pane_by_pane_with_room_for_a_key_between(
    app: MadeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with app(size=(200, 60)) as pilot:
        main: Any = pilot.app.screen
        shown, heard = main.house.shown(), []
        for pane in shown:
            monkeypatch.setattr(pane, "heard", lambda changed, pane=pane: "this" in changed and heard.append(pane))
        drawing, counts = asyncio.create_task(main._heard_in_turn({"this"})), set()
        while not drawing.done():
            await asyncio.sleep(0)  # where a key would be heard
            counts.add(len(heard))
    assert heard == shown
    assert counts >= set(range(1, len(shown) + 1))


async def test_a_pane_that_is_gone_by_its_turn_is_not_told(app: MadeApp) -> None:
    """A lesson is closed while the panes before it are drawn."""
    async with app(size=(200, 60)) as pilot:
        main: Any = pilot.app.screen
        *stay, gone = main.house.shown()
        told = main._hearers({"time"})
        first = next(told).func.__self__
        await gone.remove()
        assert [first, *(hear.func.__self__ for hear in told)] == stay


async def test_a_focus_that_moves_has_few_styles_worked_out(app: MadeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every ink in every pane they were 86 a key, and a third of its time."""
    apply, applied = Stylesheet.apply, []

    def noted(self: Stylesheet, node: Any, **of: Any) -> None:
        applied.append(node)
        apply(self, node, **of)

    async with app() as pilot:
        monkeypatch.setattr(Stylesheet, "apply", noted)
        await pilot.press("5")
        await pilot.press("4")
    assert 0 < len(applied) < 20


def test_the_terminals_own_colours_stay_its_own(tmp_path: Path) -> None:
    """No colour of ours is sent: the background is the terminal's, and what is coloured has one of its sixteen."""
    terminal = PseudoTerminal(["to-be", "--theme", "terminal"], cwd=tmp_path, env={"COLORTERM": "truecolor"})
    try:
        terminal.until("predictions")
        written = b"".join(data for _, data in terminal.chunks)
        assert b"[38;2;" not in written.replace(b"\x1b", b"")
        assert b"48;2;" not in written
        assert b"48;5;" not in written
        terminal.send("\x10")
        terminal.until("type or paste a sentence")
        terminal.send("theme: dark")
        terminal.until(lambda text: "theme: dark" in text and "type or paste" not in text)
        time.sleep(0.3)
        terminal.send("enter")
        deadline = time.monotonic() + 5
        while not any(b"48;2;18;18;18" in data for _, data in terminal.chunks):
            assert time.monotonic() < deadline, "another look can be put on"
            time.sleep(0.02)
    finally:
        terminal.close()
