"""The application: themes, and the one screen that everything is on."""

import contextlib
import io
import os
import shlex
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from rich.console import Console
from textual.app import App
from textual.command import CommandPalette, Provider
from textual.screen import Screen

from workbench import startup
from workbench.data.visible import visible
from workbench.errors import UsageError
from workbench.screen.bench.bench import Bench
from workbench.screen.frame.link import Link
from workbench.screen.frame.themes import DARK, LIGHT, TERMINAL, THEMES
from workbench.screen.main import Main

if TYPE_CHECKING:
    from workbench.screen.lesson.session import Session

LOOKS = {"dark": DARK, "light": LIGHT, "terminal": TERMINAL}

SETTLED = 0.3
"""Seconds after a change of size: what was drawn on the way is drawn again."""


def _palette() -> type[Provider]:
    """Imported when it is first opened."""
    from workbench.screen.frame.palette import Commands

    return Commands


class Workbench(App[int]):
    """`bench` is what is shown; `look` is one of LOOKS; `big` is for projectors; `lesson` is one that is open."""

    TITLE = "workbench"
    CSS_PATH = "screen.tcss"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {_palette}

    def __init__(
        self, bench: Bench, *, look: str | None = None, big: bool = False, lesson: "Session | None" = None
    ) -> None:
        colourless, few = bool(os.environ.get("NO_COLOR")), Console().color_system == "standard"
        theme = TERMINAL if colourless else LOOKS[look] if look else TERMINAL if few else DARK
        # Said before Textual makes its filters: it would turn the terminal's own colours into others.
        super().__init__(driver_class=Link, ansi_color=theme == TERMINAL)
        self.bench, self.big, self._look, self._lesson = bench, big, look, lesson
        self._main: Main | None = None
        self._colourless = colourless
        for known in THEMES:
            self.register_theme(known)
        # Before the first stylesheet is read: a theme that is put on later costs a second reading of it.
        self.set_reactive(App.theme, theme)
        self.stylesheet.set_variables(self.get_css_variables())

    def wear(self, theme: str) -> None:
        """Put a theme on."""
        self.theme = theme
        self.ansi_color = self._colourless or theme == TERMINAL

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our own variables for themes that are not ours."""
        return dict(THEMES[0].variables)

    def on_mount(self) -> None:
        if not self.is_headless:
            self.call_after_refresh(startup.over)

    def on_resize(self) -> None:
        """A terminal may rearrange what it shows when its size changes: at once, or while the first drawing is sent."""
        self.draw_anew()
        self.set_timer(SETTLED, self.draw_anew)

    def on_link_woken_up(self) -> None:
        self.draw_anew()

    def draw_anew(self) -> None:
        """Send everything again, whatever the terminal shows by now."""
        if isinstance(self._driver, Link):
            self._driver.forget()
        self.refresh()

    def get_default_screen(self) -> Screen[None]:
        self._main = Main(self.bench, big=self.big, lesson=self._lesson)
        return self._main

    def command_of_lesson(self) -> list[str]:
        """The words that go on with the lesson that is open, where it has not come to its end; else nothing."""
        pane = self._main.lesson if self._main else None
        if pane is None or (part := pane.session.left_at) is None:
            return []
        from workbench.screen.bench.command import command_of_lesson

        return command_of_lesson(pane.session.lesson, part, runs=self.bench.runs, look=self._look, big=self.big)

    def action_command_palette(self) -> None:
        """Over the one screen alone: none of its commands means anything while a dialog asks."""
        if isinstance(self.screen, Main):
            self.push_screen(CommandPalette(placeholder="what to do: type a few letters of it"))

    async def action_quit(self) -> None:
        """ctrl+q asks as q does."""
        if isinstance(self.screen, Main):
            self.screen.action_leave_screen()


def check_terminal() -> None:
    """UsageError where there is no terminal to draw on. Its text is UTF-8 from then on, whatever the locale says: a
    locale that was never set is common over SSH, a terminal that knows no UTF-8 is not."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the screen needs a terminal; without one use `workbench --headless PRESET`")
    if os.environ.get("TERM") == "dumb":
        raise UsageError(
            "the screen needs a terminal that can move its cursor (TERM is dumb); "
            "without one use `workbench --headless PRESET`"
        )
    if isinstance(sys.__stderr__, io.TextIOWrapper):  # what Textual writes to
        sys.__stderr__.reconfigure(encoding="utf-8", errors="replace")


def run(bench: Bench, *, look: str | None = None, big: bool = False, lesson: "Session | None" = None) -> int:
    """The screen, until it is left; then how a lesson goes on, on stderr. Returns the exit code."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup too: without its terminal nobody could leave it
    app = Workbench(bench, look=look, big=big, lesson=lesson)
    try:
        code = app.run() or app.return_code or 0
    finally:
        bench.close()
    if words := app.command_of_lesson():
        with contextlib.suppress(OSError):  # the terminal may be what has gone
            print(f"workbench: this goes on with the lesson: {visible(shlex.join(words))}", file=sys.stderr)
    return code
