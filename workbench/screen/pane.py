"""What every pane is: a bordered drawing with a digit, under the tabs of its slot."""

from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.markup import escape

from workbench.screen.frame.lined import Lined
from workbench.screen.frame.slots import tab

if TYPE_CHECKING:
    from workbench.screen.bench.bench import Bench
    from workbench.screen.main import Main


class Pane(Lined, can_focus=True):
    """Subclasses say their `number`, which changes concern them, and draw.

    `heard` is called in the application's thread with what has changed: "status", "events", "records" of the run,
    "run" (another one is open), "text", "launch", "knobs", "rows", "looked", "overlays", "time".
    """

    number: ClassVar[int]
    concerns: ClassVar[frozenset[str]] = frozenset()
    ALLOW_SELECT = False

    def __init__(self, bench: "Bench") -> None:
        super().__init__(id=f"pane-{self.number}", classes="pane")
        self.bench = bench
        self._tabs: tuple[int, ...] = (self.number,)

    @property
    def main(self) -> "Main":
        """The screen that it is on, for what concerns more than one pane."""
        from workbench.screen.main import Main

        assert isinstance(self.screen, Main)
        return self.screen

    @property
    def tabs(self) -> tuple[int, ...]:
        return self._tabs

    @tabs.setter
    def tabs(self, panes: tuple[int, ...]) -> None:
        """The panes that share its slot: a hidden one keeps its numbered tab."""
        if panes != self._tabs or not self.border_title:
            self._tabs = panes
            self._title()

    def caption(self) -> str:
        """What stands beside the title while there is room: the state of this pane in a few words."""
        return ""

    def facts(self) -> set[str]:
        """What is so in it, for the footer to choose its keys by."""
        return set()

    def waits(self) -> str:
        """What it waits for where no key of its own goes on, in words for the footer."""
        return ""

    def leave(self) -> bool:
        """Escape was pressed: leave a mode, if there is one to leave."""
        return False

    def show_step(self, step: int) -> None:
        """The charts' cursor stands on a step; for panes that go through steps."""

    def heard(self, changed: set[str]) -> None:
        """Something has changed; draws again if it concerns this pane."""
        if changed & self.concerns:
            self.redraw()

    def redraw(self) -> None:
        super().redraw()
        self._subtitle()

    def on_mount(self) -> None:
        self._title()

    def on_show(self, event: events.Show) -> None:
        self.redraw()

    def on_focus(self) -> None:
        self.main.pane_focused(self.number)

    def watch_has_focus(self, _has_focus: bool) -> None:
        """Not `on_focus` and `on_blur`: while those are called, `has_focus` is still what it was."""
        super().watch_has_focus(_has_focus)
        self._title()
        self.redraw()

    def on_resize(self) -> None:
        self._title()
        self._subtitle()

    def _subtitle(self) -> None:
        subtitle = escape(self.caption())
        if subtitle != self.border_subtitle:
            self.border_subtitle = subtitle

    def _title(self) -> None:
        """The tabs of the slot, this one marked; digits alone where the words do not fit."""
        room = self.outer_size.width - 6
        names = [tab(n) for n in self._tabs]
        if sum(len(name) + 3 for name in names) > room:
            names = [tab(n, short=n != self.number) for n in self._tabs]
        self.border_title = " ".join(
            f"[@click=screen.pane({n})][reverse] {name} [/reverse][/]"
            if n == self.number and self.has_focus
            else f"[@click=screen.pane({n})][b] {name} [/b][/]"
            if n == self.number
            else f"[@click=screen.pane({n})][dim] {name} [/dim][/]"
            for n, name in zip(self._tabs, names, strict=True)
        )
