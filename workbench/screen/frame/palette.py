"""The palette: every command of the keys' table in the table's order, every pane, every look."""

from collections.abc import Callable, Iterator
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from workbench.screen import keys
from workbench.screen.app import LOOKS, Workbench
from workbench.screen.frame.slots import TITLES
from workbench.screen.main import Main

Command = tuple[str, str, Callable[[], object]]
"""The key, what it does, and what does it."""
SHOWN = 5
"""Columns of the widest key."""


class Commands(Provider):
    """One line a command: its key, then what it does. Both are searched."""

    async def discover(self) -> Hits:
        for shown, what, do in self._commands():
            yield DiscoveryHit(_line(shown, Content(what)), do, text=what)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for shown, what, do in self._commands():
            if (score := matcher.match(what)) > 0:
                yield Hit(score, _line(shown, matcher.highlight(what)), do, text=what)

    def _commands(self) -> Iterator[Command]:
        screen, app = self.screen, self.app
        if isinstance(screen, Main):
            for key, what in keys.commands(lesson=screen.lesson is not None):
                if not (key.steers and screen.bench.read_only):
                    yield key.shown, what, screen.doing(key)
            for number, title in TITLES.items():
                yield str(number), f"{title}: go to this pane", partial(screen.action_pane, number)
        assert isinstance(app, Workbench)
        for look, theme in LOOKS.items():
            yield "", f"theme: {look}", partial(app.wear, theme)


def _line(shown: str, what: Content) -> Content:
    return Content.assemble((f"{shown:>{SHOWN}}", "bold $accent"), "  ", what)
