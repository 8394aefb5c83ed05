"""The headless line, to be read as long as one likes: not every terminal lets a program reach the clipboard."""

import os

from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Static

from workbench.screen.dialogs.base import Dialog
from workbench.screen.glyphs import plain

TMUX = "tmux drops it by default: `set -g set-clipboard on` in ~/.tmux.conf lets it through."
OTHERS = "Where the terminal did not take it, select it with shift (on macOS: option or fn) and the mouse."


class Copied(Dialog[None]):
    """`what` says in words what the line does."""

    BINDINGS = [Binding("escape,enter,q,y", "leave", "leave")]  # noqa: RUF012

    def __init__(self, what: str, line: str) -> None:
        super().__init__("Copied", what)
        self._line = line

    def body(self) -> ComposeResult:
        yield Static(plain(self._line), classes="line", markup=False)
        how = f"{TMUX}\n{OTHERS}" if os.environ.get("TMUX") else OTHERS
        yield Static(f"It was sent to the terminal's clipboard (OSC 52). {how}", classes="hint", markup=False)
