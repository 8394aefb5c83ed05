"""The help page: the keys of the pane that has the focus, then all the others; on a knob, what the knob is."""

from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from workbench.screen import keys
from workbench.screen.dialogs.base import Dialog
from workbench.screen.dialogs.value import what_it_is
from workbench.screen.frame.paragraph import paragraph
from workbench.screen.frame.slots import KNOBS
from workbench.screen.keys import Key

if TYPE_CHECKING:
    from workbench.screen.main import Main

TWO_COLUMNS = 96
"""Columns of the text from which the keys stand in two columns."""
SHOWN = 9
"""Columns of a key's name."""
_ARROWS = frozenset("←→↑↓")
Styled = tuple[str, str]
Section = tuple[str, list[tuple[str, str]]]
"""A title, and what each of its keys is called and does."""


def help_page(main: "Main") -> "Help":
    """What there is to know where the focus is."""
    pane = main.house.focused
    about = ""
    if pane == KNOBS:
        from workbench.screen.knobs.pane import Knobs

        knobs = main.house.pane(KNOBS)
        assert isinstance(knobs, Knobs)
        about = f"{knobs.selected}\n{what_it_is(main.bench, knobs.selected)}"
    return Help(about, [(title, told(found)) for title, found in keys.help_of(pane)])


def told(found: list[Key]) -> list[tuple[str, str]]:
    """One line a key. The arrows that another line shows too (`→` after `←→`) are told there."""
    lines = []
    for key in found:
        others = [other.shown for other in found if other is not key and _ARROWS.issuperset(other.shown)]
        if _ARROWS.issuperset(key.shown):
            if any(key.shown in shown and key.shown != shown for shown in others):
                continue
            together = any(shown in key.shown and shown != key.shown for shown in others)
            lines.append((key.shown, key.label if together else key.help))
        else:
            lines.append((key.shown, key.help))
    return lines


class Help(Dialog[None]):
    """Sections of keys, in two columns where there is room, scrolled where there is not."""

    BINDINGS = [  # noqa: RUF012
        Binding("escape,enter,q,question_mark", "leave", "leave"),
        Binding("down,j", "scroll(1)"),
        Binding("up,k", "scroll(-1)"),
        Binding("pagedown,space", "page(1)"),
        Binding("pageup", "page(-1)"),
    ]
    HINT = "↑↓ scroll · esc leaves"

    def __init__(self, about: str, sections: list[Section]) -> None:
        super().__init__("Help")
        self._about, self._sections = about, sections
        self._text = Static("", markup=False)

    def body(self) -> ComposeResult:
        with VerticalScroll():
            yield self._text

    def on_mount(self) -> None:
        self._fill()

    def on_resize(self, event: events.Resize) -> None:
        self._fill()

    def _fill(self) -> None:
        width = max(min(116, self.app.size.width * 96 // 100) - 10, 20)
        lines = page(self._about, self._sections, width)
        self._text.update(Content("\n").join(Content.assemble(*line) for line in lines))

    def action_scroll(self, by: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)

    def action_page(self, by: int) -> None:
        scroll = self.query_one(VerticalScroll)
        scroll.scroll_relative(y=by * max(scroll.size.height - 1, 1), animate=False)


def page(about: str, sections: list[Section], width: int) -> list[list[Styled]]:
    """The lines of the page, each as runs of text and style, none wider than `width` columns."""
    lines: list[list[Styled]] = []
    if about:
        title, _, rest = about.partition("\n")
        lines += [[(title, "bold $accent")], *([(text, "")] for text in paragraph(rest, width)), []]
    if width < TWO_COLUMNS:
        for section in sections:
            lines += _section(section, width)
        return lines[:-1]
    half = (width - 3) // 2
    left, right = _section(sections[0], half), _section(sections[1], half)
    for section in sections[2:]:
        shorter = left if len(left) <= len(right) else right
        shorter += _section(section, half)
    for n in range(max(len(left), len(right))):
        first = left[n] if n < len(left) else []
        used = sum(cell_len(text) for text, _ in first)
        lines.append([*first, (" " * (half - used + 3), ""), *(right[n] if n < len(right) else [])])
    return lines


def _section(section: Section, width: int) -> list[list[Styled]]:
    """A title, a line a key, and an empty line."""
    title, found = section
    lines: list[list[Styled]] = [[(title, "bold $primary")]]
    for shown, help in found:
        first, *more = paragraph(help, width - SHOWN - 1)
        lines.append([(shown.rjust(SHOWN - 1) + "  ", "bold"), (first, "")])
        lines += [[(" " * (SHOWN + 1) + text, "")] for text in more]
    return [*lines, []]
