"""The Lesson pane: predict, run, overlay, and the figures beside theory; on the ordinary screen, by its own keys."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from pseudo_terminal import PseudoTerminal
from strips import HOSTILE, SIZES, drawn, until

from tests.screen.taught import TAUGHT, Taught, press, session, text
from workbench.errors import UsageError
from workbench.lab import lessons
from workbench.runs.events import read_events
from workbench.screen.dialogs.base import Choice
from workbench.screen.dialogs.lessons import Lessons
from workbench.screen.frame.bars import Footer
from workbench.screen.frame.slots import BATCH, CHARTS, KNOBS, LAB, LESSON, RUNS, TITLES, slots

# ------------------------------------------------------------------------------------------ where it stands


@pytest.mark.parametrize("size", [(58, 14), (78, 22), (80, 18), (118, 33), (198, 58)])
@pytest.mark.parametrize("form", ["beside", "below"])
@pytest.mark.parametrize("big", [False, True])
def test_the_lesson_and_what_it_shows_are_both_on_the_screen(size: tuple[int, int], form: Any, big: bool) -> None:
    """Whatever pane a part shows, the text stays in sight, and the slots cover the area exactly."""
    for shown in TITLES:
        found = slots(*size, recent=[shown, LESSON], lesson=form, big=big)
        assert {shown, LESSON} <= {slot.shown for slot in found}
        assert sum(slot.width * slot.height for slot in found) == size[0] * size[1]
        lesson = next(slot for slot in found if slot.shown == LESSON)
        assert lesson.height >= 7
        assert lesson.panes == (LESSON,)
        assert sorted(p for slot in found for p in slot.panes) == [*TITLES, LESSON]


def test_without_a_lesson_no_slot_has_one() -> None:
    for size in ((58, 14), (78, 22), (118, 33), (198, 58)):
        assert all(LESSON not in slot.panes for slot in slots(*size, recent=[BATCH]))


@pytest.mark.parametrize("size", SIZES)
async def test_a_part_is_gone_through_at_every_size(taught: Taught, size: tuple[int, int]) -> None:
    async with taught(size=size) as pilot:
        assert "A row is T characters from anywhere." in text(pilot), "its file's own line ends do not matter"
        assert pilot.app.screen.house.pane(BATCH).display
        assert pilot.app.bench.starts == (0, 1, 2, 3)
        await press(pilot, "enter", "enter")
        assert "How many predictions does a step make?" in " ".join(text(pilot).split())
        await press(pilot, "3", "2")
        assert "32" in text(pilot)
        await press(pilot, "enter")
        await until(pilot, lambda: session(pilot).results)
        await until(pilot, lambda: "✓" in text(pilot))
        assert text(pilot).count("32") >= 3, "measured, theory, and what was said"
        assert session(pilot).right(0) is True
        await press(pilot, "enter")
        assert "A step makes 32 predictions." in text(pilot)


async def test_hostile_text_of_a_lesson_is_drawn_harmless(taught: Taught, lesson_folder: Path) -> None:
    quoted = HOSTILE.encode("unicode_escape").decode().replace("\\x", "\\u00").replace("\n", "")
    spoilt = (
        TAUGHT.replace("A row is T characters", quoted).replace('"Rows"', f'"{quoted}"').replace("four at a", quoted)
    )
    (lesson_folder / "bad.toml").write_text(spoilt.replace('"B = 4"', f'"{quoted}"'))
    async with taught("bad.toml", size=(80, 24)) as pilot:
        for _ in range(9):
            text(pilot)  # `drawn` checks
            await press(pilot, "enter")
            await pilot.pause(0.1)
            if session(pilot).part.number == 2 and session(pilot).now.kind == "ask":
                await press(pilot, "pageup", "pagedown")
                break


# ------------------------------------------------------------------------------------------ the whole of it


async def test_predict_run_overlay_and_the_figures_beside_theory(taught: Taught, runs_folder: Path) -> None:
    async with taught(part=2) as pilot:
        bench, main = pilot.app.bench, pilot.app.screen
        charts = "\n".join(drawn(main.house.pane(CHARTS)))
        assert "ln V" not in charts, "the chart must not give away what is to be predicted"
        assert "predict first" in charts
        await press(pilot, "enter", *"2,9", "enter")
        assert bench.predicted == (2.9, None), "it stands on the chart"
        assert not bench.starting, "nothing runs before the last question"
        assert "ln V" in "\n".join(drawn(main.house.pane(CHARTS)))
        await press(pilot, "b", "enter")
        await until(pilot, lambda: bench.starting or bench.run)
        assert "four at a time" in text(pilot)
        await press(pilot, "left", "left")
        assert "no prediction" not in text(pilot)
        await press(pilot, "7")
        assert main.house.focused != LESSON, "nothing can be predicted any more: a digit is a pane's again"
        await press(pilot, "backspace")
        assert main.house.focused == LESSON
        await press(pilot, "enter", "enter", "enter")

        await until(pilot, lambda: session(pilot).results)
        await until(pilot, lambda: "sixteen" not in text(pilot))
        told = text(pilot)
        assert "✓ B = 16" in told
        assert "steps of B = 16, which are too few" in " ".join(told.split())
        assert "at least 61" in told
        assert told.count("✗") == 1
        names = sorted(path.name.rsplit("-", 2)[0] for path in runs_folder.iterdir())
        assert names == ["lesson-four-b16", "lesson-four-b4"]
        assert bench.run.preset.batch.B == 16
        assert [run.preset.batch.B for run in bench.overlays] == [4]
        assert main.house.pane(CHARTS).view.axis == "tokens", "what the part shows when it has run"
        edits = [e for e in read_events(bench.overlays[0].path) if e["type"] == "edit"]
        assert [(e["step"], e["changes"]["optimizer.lr"][1]) for e in edits] == [(300, 2e-3)]
        assert "B=4" in "\n".join(drawn(main.house.pane(CHARTS))), "overlays are told by what differs"

        await press(pilot, "x")
        assert main.house.pane(CHARTS).view.axis == "flops", "the charts' axis is turned without leaving the lesson"
        await press(pilot, "enter")
        assert "It began at 2." in text(pilot)
        await press(pilot, "enter")
        assert session(pilot).part.number == 3
        assert main.house.pane(KNOBS).display
        assert bench.run.preset.batch.B == 16, "what it uses of the part before is there, and is not run again"
        await press(pilot, "enter")
        await until(pilot, lambda: session(pilot).results)
        await until(pilot, lambda: "tokens a step" in text(pilot))
        assert session(pilot).results.outcomes[0].ok
        assert len(list(runs_folder.iterdir())) == 2
        await press(pilot, "enter")
        assert "2 of 3 figures as expected, 2 of 2 predictions right." in " ".join(text(pilot).split())

        await press(pilot, "pageup")
        assert session(pilot).part.number == 2
        assert bench.run is not None
        await press(pilot, "r")
        assert (bench.run, bench.overlays, bench.predicted) == (None, [], (None, None))
        assert session(pilot).results is None
        assert "Both begin with the same weights." in text(pilot)


async def test_what_trains_is_paused_stopped_and_restarted_from_the_lesson(taught: Taught, lesson_folder: Path) -> None:
    (lesson_folder / "four.toml").write_text(TAUGHT.replace('"steps=400"', '"steps=400000"'))
    async with taught(part=2, size=(80, 24)) as pilot:
        bench = pilot.app.bench
        await press(pilot, "enter", "enter", "enter")
        await until(pilot, lambda: bench.run and bench.run.state == "running" and len(bench.run.curves) > 50)
        run = bench.run
        await until(pilot, lambda: "step" in text(pilot) and "loss" in text(pilot))
        await press(pilot, "space")
        await until(pilot, lambda: run.state == "paused")
        await until(pilot, lambda: "paused" in text(pilot))
        await press(pilot, "space")
        await until(pilot, lambda: run.state == "running")
        await press(pilot, "X")
        await until(pilot, lambda: "it ended stopped" in " ".join(text(pilot).split()))
        assert "enter goes on without it" in text(pilot)
        assert run in session(pilot).kept.runs.values(), "what it has measured counts"
        await press(pilot, "r")
        assert (bench.run, session(pilot).work, session(pilot).kept.runs) == (None, None, {})
        await press(pilot, "q")
        assert not isinstance(pilot.app.screen, Choice), "nothing is alive: there is nothing to ask"


async def test_a_start_is_restarted_and_the_next_run_waits_while_something_else_is_looked_at(
    taught: Taught, made_run: Any
) -> None:
    other = made_run(records=50, edit=0, name="other")
    async with taught(part=2, size=(120, 35)) as pilot:
        bench, main = pilot.app.bench, pilot.app.screen
        await press(pilot, "enter", "enter", "enter")
        await until(pilot, lambda: bench.starting)
        await press(pilot, "r")
        assert not bench.starting
        assert "no prediction" not in text(pilot), "it asks again"
        await press(pilot, "enter", "enter", "enter")
        await until(pilot, lambda: bench.run is not None)
        main.open_run(other)
        await until(pilot, lambda: session(pilot).work.state == "waiting")
        assert bench.run.path == other
        await until(pilot, lambda: "something else is on the screen" in " ".join(text(pilot).split()))
        await press(pilot, "r")
        assert bench.run is None


async def test_what_a_word_tells_stands_in_the_lab_pane(taught: Taught, lesson_folder: Path) -> None:
    checked = TAUGHT.replace('word = "plan"', 'word = "check"\narguments = ["gradient"]').replace(
        "plan.tokens_", "check."
    )
    (lesson_folder / "four.toml").write_text(checked.replace('pane = "knobs"', 'pane = "lab"'))
    async with taught(part=3, size=(120, 35)) as pilot:
        lab = pilot.app.screen.house.pane(LAB)
        assert lab.display
        assert "gradient" in drawn(lab)[1], "what will be asked, before it is"
        session(pilot).kept.heard["check"] = [{"type": "check", "title": "It was measured", "holds": True}]
        await until(pilot, lambda: "It was measured" in "\n".join(drawn(lab)))


# ------------------------------------------------------------------------------------------ coming and going


async def test_a_lesson_is_chosen_and_closed_from_the_ordinary_screen(app: Any, made_run: Any) -> None:
    live = made_run(records=50, state="running", edit=0)
    async with app(run=live, size=(80, 24)) as pilot:
        main = pilot.app.screen
        assert main.lesson is None
        await press(pilot, "backspace")
        assert main.house.focused == BATCH
        await press(pilot, "ctrl+e")
        await until(pilot, lambda: isinstance(pilot.app.screen, Lessons))
        await press(pilot, "1")
        await until(pilot, lambda: main.lesson is not None and main.house.focused == LESSON)
        assert session(pilot).lesson.name == "rows"
        asked = [json.loads(path.read_text())["command"] for path in (live / "commands").glob("*.json")]
        assert set(asked) <= {"inspect"}, "the run that was open goes on"
        await press(pilot, "tab")
        assert main.house.focused == 1
        main.footer.say("")
        assert "bksp lesson" in drawn(main.query_one(Footer))[0]
        await press(pilot, "shift+tab")
        assert main.house.focused == LESSON
        await press(pilot, "0")
        await press(pilot, "8", "backspace")
        assert main.house.focused == LESSON
        assert not main.house.whole
        await press(pilot, "ctrl+e")
        await until(pilot, lambda: isinstance(pilot.app.screen, Lessons))
        await press(pilot, "end", "enter")
        await until(pilot, lambda: main.lesson is None)
        assert main.house.focused == RUNS
        assert pilot.app.bench.lesson == ""
        await press(pilot, "tab")
        assert main.house.focused == 9


async def test_the_palette_has_the_lessons_own_commands_only_while_one_is_open(app: Any, taught: Taught) -> None:
    from workbench.screen import keys

    assert not any(key.panes == (LESSON,) for key, _ in keys.commands())
    assert any(key.action == "restart" for key, _ in keys.commands(lesson=True))
    assert keys.help_of(LESSON)[0][0] == "Lesson"
    assert all(title != "Lesson" for title, _ in keys.help_of(BATCH))
    assert next(key.action for key, _ in keys.footer(LESSON, {"ready"})) == "go_on"


def test_there_is_no_lesson_without_a_terminal(lesson_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench import screen

    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    with pytest.raises(UsageError, match="needs a terminal"):
        screen.open_lesson(lessons.load(str(lesson_folder / "four.toml")))


def test_the_lesson_on_rows_in_a_real_terminal(tmp_path: Path) -> None:
    """From the shell to the figures by keys alone, and out again."""
    terminal = PseudoTerminal(("lesson", "rows", "--runs-dir", shlex.quote("runs")), size=(80, 24), cwd=tmp_path)
    try:
        terminal.until("L1 rows 1/")
        shown = terminal.until("enter goes on")
        assert "B·T = 4·8 = 32 predictions" in shown, "the rows that it is about stand above it"
        for _ in range(2):
            terminal.send("enter")
        terminal.until("How many different starts")
        terminal.send("11", "enter")
        terminal.until("How many predictions")
        terminal.send("32", "enter")
        terminal.until(lambda text: "legal starts" in text and "✓" in text)
        terminal.send("q")
        assert terminal.process.wait(timeout=20) == 0
    finally:
        terminal.close()
