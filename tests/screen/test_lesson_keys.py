"""An open lesson's keys: what a question takes, what the footer says is waited for, and how one comes back."""

from pathlib import Path
from typing import Any

import pytest
from pseudo_terminal import PseudoTerminal
from strips import drawn, until
from textual.pilot import Pilot

from tests.screen.taught import TAUGHT, Taught, press, session, text
from workbench.screen import keys
from workbench.screen.dialogs.help import Help
from workbench.screen.frame.slots import LESSON


def footer(pilot: Pilot[int]) -> str:
    main: Any = pilot.app.screen
    main.footer.say("")
    return drawn(main.footer)[0]


def shortcuts() -> list[str]:
    """Every character that is a key somewhere on the screen, but those that an open question lets through."""
    return [key.shown for key in keys.KEYS if len(key.shown) == 1 and key.shown.isascii() and key.shown != "?"]


# ------------------------------------------------------------------------------------------ questions


@pytest.mark.parametrize("size", [(80, 24)])
async def test_at_an_open_question_no_character_acts_elsewhere(taught: Taught, size: tuple[int, int]) -> None:
    async with taught(part=2, size=size) as pilot:
        app: Any = pilot.app
        bench, main = app.bench, app.screen
        await press(pilot, "enter")
        draft, shown = bench.draft, (bench.step, bench.starts)
        for character in [*shortcuts(), *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"]:
            await press(pilot, character)
            assert pilot.app.screen is main, f"{character} opened something"
            assert main.house.focused == LESSON, character
        assert (bench.draft, bench.step, bench.starts) == (draft, *shown)
        assert not bench.starting
        assert pilot.app.return_value is None
        session(pilot).typed = ""
        await press(pilot, *"a4u.q6*")
        assert session(pilot).typed == "4.6", "what is part of a number is the answer"
        assert "a number is wanted here; esc leaves the question" in " ".join(text(pilot).split())
        await press(pilot, "7")
        assert "a number is wanted" not in text(pilot)
        await press(pilot, *"8" * 30)
        assert main.house.focused == LESSON, "a number that is too long is no pane's digit either"
        await press(pilot, *["backspace"] * 20, *"2.9", "enter", "q", "d", "9")
        assert session(pilot).now.n == 1
        assert "a to c choose; esc leaves the question" in " ".join(text(pilot).split())
        await press(pilot, "b")
        assert session(pilot).typed == "B = 16"
        assert "esc leaves" not in text(pilot)


async def test_escape_leaves_the_question_and_enter_comes_back_to_it(taught: Taught) -> None:
    async with taught(part=2, size=(80, 24)) as pilot:
        main: Any = pilot.app.screen
        await press(pilot, "enter")
        assert "enter skip" in footer(pilot)
        assert "esc leave the question" in footer(pilot)
        assert "quit" not in footer(pilot), "q is no key now"
        await press(pilot, "4")
        assert "enter answer" in footer(pilot)
        await press(pilot, "question_mark")
        assert isinstance(pilot.app.screen, Help), "the help is there all the same"
        await press(pilot, "escape", "escape")
        assert pilot.app.screen is main
        assert "enter answers the question" in text(pilot)
        assert "q quit" in footer(pilot)
        await press(pilot, "7")
        assert main.house.focused == 7
        await press(pilot, "backspace", "enter", "2")
        assert session(pilot).typed == "42"
        await press(pilot, "0", "escape", "0")
        assert main.house.whole
        await press(pilot, "escape")
        assert not main.house.whole


# ------------------------------------------------------------------------------------------ waiting


async def test_the_footer_says_what_is_waited_for(taught: Taught, lesson_folder: Path) -> None:
    (lesson_folder / "four.toml").write_text(TAUGHT.replace('"steps=400"', '"steps=400000"'))
    async with taught(part=2, size=(80, 24)) as pilot:
        bench = pilot.app.bench  # type: ignore[attr-defined]
        assert footer(pilot).startswith(" enter go on")
        await press(pilot, "enter", "enter", "enter")
        assert footer(pilot).startswith(" waits for run 1 of 2")
        assert "go on" not in footer(pilot)
        await until(pilot, lambda: bench.run and bench.run.state == "running")
        assert footer(pilot).startswith(" waits for run 1 of 2  space pause")
        await press(pilot, "space")
        await until(pilot, lambda: footer(pilot).startswith(" waits: the run is paused  space go on"))
        await press(pilot, "left")
        assert "enter go on" in footer(pilot), "there enter turns the page"
        assert "waits" not in footer(pilot)
        await press(pilot, "enter", "X")
        await until(pilot, lambda: "enter go on" in footer(pilot))
        await until(pilot, lambda: "enter goes on without it" in text(pilot))


async def test_the_footer_says_that_a_measurement_is_waited_for(taught: Taught, lesson_folder: Path) -> None:
    (lesson_folder / "four.toml").write_text(TAUGHT.replace('uses = ["b16"]', ""))
    async with taught(part=3) as pilot:
        await press(pilot, "enter")
        assert session(pilot).now.kind == "run"
        assert footer(pilot).startswith(" waits for the measurement")
        await until(pilot, lambda: session(pilot).results)
        assert footer(pilot).startswith(" enter go on")


# ------------------------------------------------------------------------------------------ coming back


async def test_where_one_comes_back_to(taught: Taught) -> None:
    async with taught(size=(80, 24)) as pilot:
        assert session(pilot).left_at == 1
        await press(pilot, "enter", "enter", *"32", "enter")
        await until(pilot, lambda: session(pilot).results)
        assert session(pilot).left_at == 1, "there is something left to read"
        await press(pilot, "enter")
        assert session(pilot).left_at == 2
        await press(pilot, "pagedown", "pagedown")
        assert session(pilot).left_at == 3
        session(pilot).page = len(session(pilot).pages) - 1
        assert session(pilot).left_at is None, "it is over"


def test_leaving_says_how_to_go_on(lesson_folder: Path, tmp_path: Path) -> None:
    """On stderr, when the screen has gone."""
    words = ("lesson", "four.toml", "--part", "2", "--runs-dir", "elsewhere", "--theme", "light")
    line = "workbench lesson ./four.toml --part 2 --runs-dir ./elsewhere --theme light"
    for size in ((80, 24), (120, 35)):
        terminal = PseudoTerminal(words, size=size, cwd=tmp_path)
        try:
            terminal.until("Both begin with the same weights.")
            terminal.send("q")
            assert terminal.process.wait(timeout=20) == 0
            shown = " ".join(terminal.until("this goes on with the lesson").split())
            assert line.replace(" ", "") in shown.replace(" ", "")
        finally:
            terminal.close()
