"""Choosing the runs that are drawn over the open one: newest first, a few facts each."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text as Label
from textual import events
from textual.app import ComposeResult
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from workbench.errors import WorkbenchError
from workbench.screen.charts.loss_chart import others
from workbench.screen.dialogs.base import Dialog
from workbench.screen.frame.aside import Aside
from workbench.screen.glyphs import middle, plain
from workbench.screen.runs.pane import MOST_OVERLAYS
from workbench.screen.runs.shelf_of_runs import Row, Shelf

if TYPE_CHECKING:
    from workbench.screen.main import Main

NAME = 24
FACTS = {"done": 4, "loss": 6, "val": 6, "B·T·accum": 9, "lr": 6}
"""Cells of a run's name, and of its facts: together what the box leaves of eighty columns; of fewer, the first."""


class Overlay(Dialog[None]):
    """Enter draws the run under the cursor over the open one, or takes it away; escape is the way out."""

    def __init__(self, main: "Main") -> None:
        super().__init__("Draw over this run", "enter draws a run's loss over this one, or takes it away; esc: done")
        self._main = main
        self._look = Aside(Shelf(main.bench.runs).look, self._looked)

    def body(self) -> ComposeResult:
        yield Static("reading the runs …", classes="hint", markup=False)
        yield OptionList()
        yield Static("", classes="wrong", markup=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()
        self._look.ask()

    def _looked(self) -> None:
        """The folder has been read; this is the thread that did it."""
        self.post_message(events.Callback(callback=self.refill))

    def refill(self) -> None:
        """The runs anew, each with its letter if it is drawn; the cursor stays on its run."""
        bench, listed, hint = self._main.bench, self.query_one(OptionList), self.query_one(".hint", Static)
        rows = [row for row in self._look.found or () if not (bench.run and row.path == bench.run.path)]
        if not rows:
            hint.update(plain(self._look.error) or f"no other runs in {plain(str(bench.runs))}")
            return
        at, drawn = listed.highlighted, {run.path: letter for letter, _, run in others(bench)}
        facts = _facts(min(76, self.app.size.width * 96 // 100) - 8)
        hint.update(f"  {'run':<{NAME}}" + "".join(f"  {title:>{width}}" for title, width in facts.items()))
        listed.clear_options()
        listed.add_options(Option(_line(row, drawn.get(row.path, ""), facts), id=str(row.path)) for row in rows)
        listed.highlighted = min(at or 0, len(rows) - 1)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        wrong, bench = self.query_one(".wrong", Static), self._main.bench
        path = Path(str(event.option.id))
        wrong.update("")
        if len(bench.overlays) >= MOST_OVERLAYS and all(run.path != path for run in bench.overlays):
            wrong.update(f"{MOST_OVERLAYS} runs are drawn already: take one of them away first")
            return
        try:
            self._main.toggle_overlay(path)
        except (WorkbenchError, OSError) as error:
            wrong.update(plain(f"{path.name} cannot be read: {error}"))
        self.refill()


def _facts(width: int) -> dict[str, int]:
    """The facts that fit beside the name in `width` cells, the most telling first."""
    room, found = width - NAME - 2, {}
    for title, need in FACTS.items():
        room -= need + 2
        if room < 0:
            break
        found[title] = need
    return found


def _line(row: Row, letter: str, facts: Mapping[str, int]) -> Label:
    told = "".join(f"  {row.cells[title]:>{width}}" for title, width in facts.items())
    text = f"{letter or ' '} {middle(row.name, NAME):<{NAME}}{told}"
    return Label(text, style="bold" if letter else "", no_wrap=True)
