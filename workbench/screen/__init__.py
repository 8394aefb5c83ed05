"""The screen: see the rows, turn the knobs, watch it learn, walk away.

app.py, main.py   the application, and its one screen: panes, keys, the clock that keeps them up to date
acts.py           what the general keys do: start, pause, step, apply, undo, go to, save, leave
keys.py           one table of keys: dispatch, footer, help and palette read it
pane.py           what every pane is; each has a folder, its drawing in pane.py, its thinking beside it
data/ batch/ step/ knobs/ charts/ samples/ system/ runs/ lab/
lesson/           the pane that is there while a lesson is open
bench/            what is on the screen, without a screen: the draft, the run that is followed, what is staged
dialogs/          what asks: leaving, values, paths, texts, presets
frame/            what panes stand in: slots, the two bars, themes, drawing line by line, the link to the terminal
glyphs.py         text that nobody vouches for, made fit for cells
screen.tcss       what everything looks like

The rules: this process never imports torch and never trains; it only reads a run's files and leaves commands in
them; what the Lab measures, it asks of a process. Only the thread of the application touches a widget. What comes
from a corpus, a model, a file name or a log is drawn through glyphs.py. Nothing here draws more than four times a
second by itself, nor what has not changed.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from workbench.preset import Loaded

if TYPE_CHECKING:
    from workbench.lab.lessons import Lesson


def open_preset(
    loaded: Loaded, source: str, *, runs: str | None = None, world: int = 1, look: str | None = None, big: bool = False
) -> int:
    """`workbench PRESET`: the screen, ready to start. Returns the exit code."""
    from workbench.runs import directory
    from workbench.screen import app
    from workbench.screen.bench.bench import Bench

    app.check_terminal()
    return app.run(Bench(loaded, source=source, runs=directory.runs_folder(runs), world=world), look=look, big=big)


def attach(
    run: Path, *, runs: str | None = None, read_only: bool = False, look: str | None = None, big: bool = False
) -> int:
    """`workbench attach RUN`: the screen on a run that is running or over. Returns the exit code."""
    from workbench import preset
    from workbench.runs import directory
    from workbench.screen import app
    from workbench.screen.bench.bench import Bench
    from workbench.screen.bench.follow import Followed

    app.check_terminal()
    source = str(run / "preset.toml")
    bench = Bench(preset.load(source), source=source, runs=directory.runs_folder(runs), read_only=read_only)
    bench.open_run(Followed(run))
    return app.run(bench, look=look, big=big)


def open_lesson(
    lesson: "Lesson", *, part: int = 1, runs: str | None = None, look: str | None = None, big: bool = False
) -> int:
    """`workbench lesson NAME`: the screen with a lesson open at one of its parts. Returns the exit code."""
    from workbench.runs import directory
    from workbench.screen import app
    from workbench.screen.bench.bench import Bench
    from workbench.screen.lesson.session import Session
    from workbench.screen.lesson.work import loaded

    app.check_terminal()
    first = lesson.parts[part - 1]
    bench = Bench(loaded(first), source=first.source, runs=directory.runs_folder(runs))
    return app.run(bench, look=look, big=big, lesson=Session(bench, lesson, part=part))
