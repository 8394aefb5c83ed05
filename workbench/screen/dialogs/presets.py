"""Opening a preset, and saving the settings as one."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from workbench import preset as presets
from workbench.data.paths import common, complete
from workbench.preset import Preset, PresetError
from workbench.preset.saving import NotSaved, lost_comments, save, target
from workbench.screen.bench.edits import number
from workbench.screen.bench.saving import described, first_line, suggested
from workbench.screen.dialogs.base import Choice, Dialog, Line
from workbench.screen.dialogs.typed import Typed
from workbench.screen.glyphs import plain

if TYPE_CHECKING:
    from workbench.screen.main import Main


async def open_preset(main: "Main") -> None:
    """Ask which preset, and make it the draft. What is unsaved is asked about; a run that is open goes on."""
    bench = main.bench
    if bench.starting:
        bench.tell("a run is being started: wait until it is there, or X cancels it", "warning")
        main.refresh_now("status")
        return
    source = await main.app.push_screen_wait(Presets())
    if source is None:
        return
    if bench.unsaved:
        options = [("s", "save them first"), ("d", "give them up"), ("n", "stay")]
        answer = await main.app.push_screen_wait(Choice("Unsaved changes", "These settings are in no file.", options))
        if answer not in ("s", "d") or (answer == "s" and not await save_preset(main)):
            return
    try:
        loaded = presets.load(source)
    except PresetError as error:  # it was well when it was chosen
        bench.tell(str(error), "error")
        main.refresh_now("status")
        return
    if bench.run is not None and bench.run.alive:
        bench.tell(f"{bench.run.name} goes on; Runs (8) opens it again")
    main.close_run()
    bench.open_preset(loaded, source)
    main.refresh_now("run", "status", "records", "events", "text", "knobs", "rows", "launch")


async def save_preset(main: "Main") -> bool:
    """Ask for a path and save the settings in force there. Whether they were saved."""
    bench = main.bench
    text, wrong = suggested(bench), ""
    staged = f"{len(bench.staged)} staged: not in it until `a` applies them.\n" if bench.staged else ""
    while True:
        words = f"{wrong}\n\n{staged}Save as" if wrong else f"{staged}Save the settings in force as"
        answer = await main.app.push_screen_wait(Line("Save preset", words, text, check=_not_a_place))
        if answer is None:
            return False
        text, wrong, preset = answer, "", bench.as_new
        try:
            path = target(answer)
            if path.exists() and not await _may_overwrite(main, path):
                continue
            save(path, preset)
        except NotSaved as error:
            wrong = str(error)
            continue
        bench.saved(path, preset)
        bench.tell(f"saved: {path}")
        main.refresh_now("knobs", "status")
        return True


async def _may_overwrite(main: "Main", path: Path) -> bool:
    lost = lost_comments(path)
    comments = f"Its {lost} comment{'s' if lost > 1 else ''} would be lost: only values are written." if lost else ""
    options = [("o", "overwrite it" + (" without them" if lost else "")), ("n", "choose another name")]
    return (
        await main.app.push_screen_wait(Choice("Overwrite?", f"{path} is there.\n{comments}".strip(), options)) == "o"
    )


def _not_a_place(text: str) -> str:
    try:
        target(text)
    except NotSaved as error:
        return str(error)
    return ""


class Presets(Dialog[str]):
    """The shipped presets, and any path that is typed. Answers with what `preset.load` takes."""

    HINT = "↑↓ or type · tab completes · enter · esc leaves"

    def __init__(self) -> None:
        super().__init__("Open a preset")
        self._shipped = {name: first_line(path) for name, path in presets.shipped().items()}
        self._list = OptionList()
        self._list.can_focus = False
        self._about = Static("", classes="about", markup=False)
        self._wrong = Static("", classes="wrong", markup=False)

    def body(self) -> ComposeResult:
        yield Typed(placeholder="a shipped name, or a path to a TOML file")
        yield self._list
        yield self._about
        yield self._wrong

    def on_mount(self) -> None:
        self._offer("")

    def on_input_changed(self, event: Input.Changed) -> None:
        self._wrong.update("")
        self._offer(event.value)

    def _offer(self, text: str) -> None:
        """The candidates for what is typed: shipped presets that hold it, files and folders that begin with it."""
        shipped = {name: about for name, about in self._shipped.items() if text in name}
        found = [path for path in _paths(text) if path not in shipped] if text else []
        width = max((len(name) for name in shipped), default=0)
        self._list.clear_options()
        for name, about in shipped.items():
            row = Content.assemble((name.ljust(width), "bold"), "  ", (plain(about), "$muted"))
            self._list.add_option(Option(row.truncate(self._room(), ellipsis=True), id=name))
        for path in found:
            self._list.add_option(Option(Content(plain(path)), id=path))
        self._list.highlighted = 0 if shipped or found else None
        if not (shipped or found):
            self._about.update("")

    def _room(self) -> int:
        """Columns of a line of the list: the box, less its frame and a scrollbar."""
        return max(20, min(92, self.app.size.width * 96 // 100) - 8)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        self._about.update(plain(_about(event.option.id or ""), newlines=True))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self._take(event.option.id or "")

    def on_key(self, event: events.Key) -> None:
        if event.key == "tab":
            line = self.query_one(Input)
            line.value = common(_paths(line.value)) or line.value
            line.cursor_position = len(line.value)
        elif event.key in ("down", "up", "pagedown", "pageup"):
            at, by = self._list.highlighted or 0, {"down": 1, "up": -1, "pagedown": 10, "pageup": -10}[event.key]
            if self._list.option_count:
                self._list.highlighted = min(max(at + by, 0), self._list.option_count - 1)
        else:
            return
        event.stop()
        event.prevent_default()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        typed = event.value.strip()
        at = self._list.highlighted
        chosen = self._list.get_option_at_index(at).id if at is not None else None
        self._take(typed if typed and (chosen is None or Path(os.path.expanduser(typed)).is_file()) else chosen or "")

    def _take(self, source: str) -> None:
        if source.endswith(os.sep):
            line = self.query_one(Input)
            line.value, line.cursor_position = source, len(source)
            return
        try:
            presets.load(source)
        except PresetError as error:
            self._wrong.update(plain(str(error), newlines=True))
        else:
            self.dismiss(source)


def _paths(text: str) -> list[str]:
    """Folders and TOML files that begin with what is typed."""
    return [path for path in complete(text, Path.cwd()) if path.endswith((os.sep, ".toml"))]


def _about(source: str) -> str:
    """What a preset is: its figures, and what its file begins with; why it cannot be opened, if it cannot."""
    if source.endswith(os.sep):
        return ""
    try:
        loaded = presets.load(source)
    except PresetError as error:
        return str(error)
    words = described(loaded.path) if loaded.path else ""
    return f"{_figures(loaded.preset)}\n{words}".strip()


def _figures(p: Preset) -> str:
    model = f"{p.model.layers} layers, {p.model.heads} heads, width {p.model.width}" if p.model.kind == "gpt" else ""
    model = f"{p.model.hidden} hidden units" if p.model.kind == "mlp" else model
    text = f"a text of {len(p.data.text):,} characters" if p.data.text else p.data.dataset
    return (
        f"{p.model.kind}{': ' if model else ''}{model} · B {p.batch.B}, T {p.batch.T}, accum {p.batch.accum} · "
        f"{p.optimizer.kind}, lr {number(p.optimizer.lr)} · {p.schedule.steps:,} steps · {text}"
    )
