"""The link to the terminal: of every drawing only the cells that differ from what is there are sent.

Textual 8 sends a changed line from the left edge of its widget on, every run of it with a full style and a reset: one
figure in a status line costs 450 bytes. Over SSH that is what makes keys wait. So the driver keeps the terminal's
cells, compares, and sends moves, the parts of a style that change, and text: 20 to 60 bytes for the same figure.
"""

import asyncio
import contextlib
import re
import termios
from functools import lru_cache
from typing import Any, NamedTuple

from rich.cells import cell_len
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

SYNC, END_SYNC = "\x1b[?2026h", "\x1b[?2026l"
WORTH_SYNC = 800
"""Bytes from which a drawing is sent as one synchronised frame: some versions of tmux repaint all of it for each."""
_GAP = 4
"""Cells that have not changed and are sent again, because a move over them costs more."""
_DRAWING = re.compile(r"\x1b\[(?:(\d+);(\d+)H|([0-9;]*)m)|([^\x1b\n]+)|\n")
_WHOLE = re.compile(rf"(?:{_DRAWING.pattern})*")

Cell = tuple[str, str]
"""What a cell shows and the parameters of its style. The right half of a wide character shows nothing."""


class Style(NamedTuple):
    attributes: frozenset[str]
    foreground: str
    background: str


class Shown:
    """What stands on a terminal, as far as is known."""

    def __init__(self) -> None:
        self._rows: list[list[Cell | None]] = []
        self._style = ""
        self._cursor = (0, 0)
        self._sync = False

    def forget(self) -> None:
        """The terminal may show anything: the next drawing is sent whole."""
        self._rows = []

    def sends(self, data: str) -> str:
        """What must be written for a terminal to show what `data` would have made it show."""
        if data == SYNC:
            return ""  # sent with the drawing that follows, if that is large
        if data == END_SYNC:
            ended, self._sync = self._sync, False
            return END_SYNC if ended else ""
        if not data.startswith("\x1b[") or not _WHOLE.fullmatch(data):
            if "\x1b[?1049" in data or "\x1b[2J" in data:
                self.forget()
            plain, self._style = ("\x1b[0m" if self._style else ""), ""
            return plain + data
        out = self._difference(data)
        if len(out) >= WORTH_SYNC:
            self._sync = True
            return SYNC + out
        return out

    def _difference(self, data: str) -> str:
        changed: dict[int, list[tuple[int, list[Cell]]]] = {}
        y = x = 0
        style = ""
        cursor = None
        for move_y, move_x, sgr, text in _DRAWING.findall(data):
            if text:
                cells = _cells(text, style)
                changed.setdefault(y, []).append((x, cells))
                x += len(cells)
                cursor = None
            elif move_y:
                y, x = int(move_y) - 1, int(move_x) - 1
                cursor = (y, x)
            else:
                style = "" if sgr in ("", "0") else sgr
        out: list[str] = []
        for y, runs in changed.items():
            self._row(y, runs, out)
        if cursor is not None and (out or cursor != self._cursor):
            out.append(f"\x1b[{cursor[0] + 1};{cursor[1] + 1}H")
            self._cursor = cursor
        return "".join(out)

    def _row(self, y: int, runs: list[tuple[int, list[Cell]]], out: list[str]) -> None:
        """Put runs into row y, and append what shows those cells of it that differ."""
        while len(self._rows) <= y:
            self._rows.append([])
        row = self._rows[y]
        spans: list[list[int]] = []
        for x, cells in runs:
            end = x + len(cells)
            if len(row) < end:
                row.extend([None] * (end - len(row)))
            if row[x:end] == cells:
                continue
            different = [i for i, (old, new) in enumerate(zip(row[x:end], cells, strict=True), x) if old != new]
            row[x:end] = cells
            for i in different:
                if spans and 0 <= i - spans[-1][1] <= _GAP:
                    spans[-1][1] = i + 1
                else:
                    spans.append([i, i + 1])
        for begin, end in spans:
            while begin and (there := row[begin]) and not there[0]:
                begin -= 1  # a wide character is sent from its left half on
            out.append(f"\x1b[{y + 1};{begin + 1}H")
            for cell in row[begin:end]:
                if cell is None:  # a gap of what nobody has drawn yet
                    cell = (" ", "")
                text, style = cell
                if style != self._style:
                    out.append(change(self._style, style))
                    self._style = style
                out.append(text)


@lru_cache(maxsize=256)
def _cells(text: str, style: str) -> list[Cell]:
    """One cell for each column of a run of text. The list is shared: it is copied into a row, never kept."""
    if text.isascii():
        return [(c, style) for c in text]
    cells: list[Cell] = []
    for c in text:
        width = cell_len(c)
        if width == 0 and cells:  # a combining mark stands on the cell before
            cells[-1] = (cells[-1][0] + c, style)
        else:
            cells.append((c, style))
            cells += [("", style)] * (width - 1)
    return cells


@lru_cache(maxsize=4096)
def change(old: str, new: str) -> str:
    """The shortest sequence that makes the style `new` of `old`, both as the parameters of one."""
    if not new:
        return "\x1b[0m"
    before, after = _parsed(old), _parsed(new)
    whole = f"\x1b[0;{new}m"
    gone = before.attributes - after.attributes or any(
        was and not now for was, now in zip(before[1:], after[1:], strict=True)
    )
    if gone:
        return whole
    parts = sorted(after.attributes - before.attributes)
    parts += [now for was, now in zip(before[1:], after[1:], strict=True) if now != was]
    return min(whole, f"\x1b[{';'.join(parts)}m", key=len)


@lru_cache(maxsize=4096)
def _parsed(style: str) -> Style:
    """Colours are 30 to 39, 40 to 49, 90 to 107, where 38 and 48 take 5;n or 2;r;g;b; the rest are attributes."""
    foreground = background = ""
    attributes = set()
    numbers = iter(style.split(";") if style else [])
    for n in numbers:
        if n in ("38", "48"):
            kind = next(numbers, "")
            colour = ";".join([n, kind, *(next(numbers, "") for _ in range(1 if kind == "5" else 3))])
            foreground, background = (colour, background) if n == "38" else (foreground, colour)
        elif n.isdecimal() and (30 <= int(n) <= 37 or int(n) == 39 or 90 <= int(n) <= 97):
            foreground = n
        elif n.isdecimal() and (40 <= int(n) <= 47 or int(n) == 49 or 100 <= int(n) <= 107):
            background = n
        else:
            attributes.add(n)
    return Style(frozenset(attributes), foreground, background)


class Link(LinuxDriver):
    """Textual's driver for terminals of Linux and macOS, sending differences."""

    class WokenUp(Message):
        """The process was stopped, and goes on: something else may have written on the terminal."""

    _shown: Shown | None = None
    _ours: list[Any]
    """The terminal's modes while the screen is on it."""

    def write(self, data: str) -> None:
        if self._shown is None:
            self._shown = Shown()
        if sent := self._shown.sends(data):
            super().write(sent)

    def forget(self) -> None:
        """What the terminal shows is not known any more: it was resized, or something else has written on it."""
        if self._shown is not None:
            self._shown.forget()

    def start_application_mode(self) -> None:
        super().start_application_mode()  # type: ignore[no-untyped-call]
        with contextlib.suppress(termios.error):  # no terminal any more
            self._ours = termios.tcgetattr(self.fileno)

    def _sigcont_application(self, *of_signal: Any) -> None:
        """After ctrl+z all is set up anew. After a SIGSTOP it was never left: set up again, a second thread would read
        the keys, and the terminal's own modes would be forgotten, so that it could not be left as it was found."""
        if self._must_signal_resume:
            super()._sigcont_application(*of_signal)
            return
        with contextlib.suppress(termios.error):  # a shell in between has put its own modes on
            termios.tcsetattr(self.fileno, termios.TCSANOW, self._ours)
        with contextlib.suppress(RuntimeError):  # it is about to end
            asyncio.get_running_loop().call_soon_threadsafe(self._app.post_message, self.WokenUp())
