"""The screen: see the rows, turn the knobs, watch it learn, walk away.

bench.py      what is on the screen, without a screen: the draft preset, the run that is followed, what is staged
follow.py     a run directory, read by a thread: status, events, curves
curves.py     steps.bin, decimated: minimum and maximum per column, whatever its length
canvas.py, plotting.py   charts as rows of styled text
glyphs.py     text that nobody vouches for, made fit for cells
keys.py       one table of keys: dispatch, footer, help and palette read it
slots.py      which pane stands where, at which size
lined.py      a widget drawn line by line, that sends only what changed
panes/        the eight panes
dialogs/      what asks: leaving, values, paths, texts
app.py        the Textual application that holds them together

The rules: this process never imports torch and never trains; it only reads a run's files and leaves commands in
them. Only the thread of the application touches a widget. What comes from a corpus, a model, a file name or a log is
drawn through glyphs.py. Nothing here draws more than four times a second by itself, nor what has not changed.
"""

from pathlib import Path

from workbench.preset import Loaded


def open_preset(
    loaded: Loaded, source: str, *, runs: str | None = None, world: int = 1, look: str | None = None, big: bool = False
) -> int:
    """`workbench PRESET`: the screen, ready to start. Returns the exit code."""
    from workbench.runs import directory
    from workbench.screen import app
    from workbench.screen.bench import Bench

    app.check_terminal()
    return app.run(
        Bench(loaded, source=source, runs=directory.runs_folder(runs), world=world), look=look, big=big
    )


def attach(
    run: Path, *, runs: str | None = None, read_only: bool = False, look: str | None = None, big: bool = False
) -> int:
    """`workbench attach RUN`: the screen on a run that is running or over. Returns the exit code."""
    from workbench import preset
    from workbench.runs import directory
    from workbench.screen import app
    from workbench.screen.bench import Bench
    from workbench.screen.follow import Followed

    app.check_terminal()
    source = str(run / "preset.toml")
    bench = Bench(preset.load(source), source=source, runs=directory.runs_folder(runs), read_only=read_only)
    bench.open_run(Followed(run))
    return app.run(bench, look=look, big=big)
