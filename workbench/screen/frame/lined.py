"""A widget that is drawn line by line and sends only what changed.

Textual sends a dirty region whole. A pane that changes one figure should not cost its whole area, over a slow link
least of all; so a drawing is compared with the one before, and only the spans that differ are refreshed.
"""

from collections.abc import Iterable, Sequence

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

Run = tuple[str, str]
"""Text, and the name of its style: one of INKS, or several with spaces between, the later ones on top."""

INKS = (
    "dim", "bold", "title", "key", "value", "staged", "good", "warn", "bad", "cursor", "select", "mark",
    "train", "smooth", "val", "lr", "plan", "floor", "grad", "speed", "axis", "edit", "eval", "check", "spike", "nan",
    "over-1", "over-2", "over-3", "over-4", "past", "target", "token-0", "token-1",
    "shade-0", "shade-1", "shade-2", "shade-3", "shade-4", "shade-5", "shade-6", "shade-7",
)  # fmt: skip
"""Every style that a drawing may name. `screen.tcss` says what each looks like, and each theme its colours."""


class Inks(Widget):
    """What every ink looks like, for all that is drawn on its screen; it is not seen itself.

    Textual applies the stylesheet to every component class of a widget whenever its focus changes: with the inks in
    every pane that was a third of the time that a key took (2026-11-22).
    """

    COMPONENT_CLASSES = {f"ink--{name}" for name in INKS}  # noqa: RUF012 - Textual's own declaration

    DEFAULT_CSS = "Inks { display: none; }"

    def style(self, name: str) -> Style:
        """Of one of INKS: what it says, and nothing of where it stands."""
        return self.get_component_rich_style(f"ink--{name}", partial=True)

    def notify_style_update(self) -> None:
        """The theme changed."""
        super().notify_style_update()
        if self.is_attached:
            for lined in self.screen.query(Lined):
                lined.forget()


class Lined(Widget):
    """Subclasses give `draw`; whoever changes what it shows calls `redraw`. On its screen there must be Inks."""

    DEFAULT_CSS = "Lined { height: 1fr; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._strips: list[Strip] = []
        self._drawn_size = (0, 0)
        self._inks: dict[str, Style] = {}

    def draw(self, width: int, height: int) -> Iterable[Sequence[Run]]:
        """The lines to show, from the top, each as runs of text; what is too long or too many is cut."""
        raise NotImplementedError

    def ink(self, name: str) -> Style:
        """The style of a name, from the theme in force."""
        style = self._inks.get(name)
        if style is None:
            inks, style = self.screen.query_exactly_one(Inks), Style()
            for part in name.split():
                style += inks.style(part)
            self._inks[name] = style
        return style

    def redraw(self) -> None:
        """Draw again and refresh the spans that differ from what is shown. Costs nothing while it is hidden."""
        size = self.size
        if not self.is_attached or not size.width or not size.height:
            return
        strips = self._drawn(size.width, size.height)
        before, self._strips = self._strips, strips
        if self._drawn_size != (size.width, size.height):
            self._drawn_size = (size.width, size.height)
            self.refresh()
            return
        regions = [
            Region(begin, y, end - begin, 1)
            for y, (old, new) in enumerate(zip(before, strips, strict=True))
            if old is not new and (span := _difference(old, new))
            for begin, end in (span,)
        ]
        if regions:
            self.refresh(*regions)

    def render_line(self, y: int) -> Strip:
        if self._drawn_size != (self.size.width, self.size.height):
            self._strips = self._drawn(self.size.width, self.size.height)
            self._drawn_size = (self.size.width, self.size.height)
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self.rich_style)

    def notify_style_update(self) -> None:
        """The theme, the focus or a class changed."""
        super().notify_style_update()
        self._drawn_size = (0, 0)

    def forget(self) -> None:
        """The inks have changed, and so has the theme, of which it hears itself: they are asked for anew."""
        self._inks.clear()

    def _drawn(self, width: int, height: int) -> list[Strip]:
        base = self.rich_style
        strips: list[Strip] = []
        for line in self.draw(width, height):
            if len(strips) == height:
                break
            segments = [Segment(text, base + self.ink(ink) if ink else base) for text, ink in line if text]
            strips.append(Strip(segments).simplify().adjust_cell_length(width, base))
        blank = Strip.blank(width, base)
        return strips + [blank] * (height - len(strips))


def _difference(old: Strip, new: Strip) -> tuple[int, int] | None:
    """The columns [begin, end) outside of which two strips of one width look the same; None if they do all over."""
    a, b = list(old), list(new)
    if a == b:
        return None
    begin = 0
    for left, right in zip(a, b, strict=False):
        if left != right:
            begin += _shared(left, right)
            break
        begin += left.cell_length
    end = new.cell_length
    for left, right in zip(reversed(a), reversed(b), strict=False):
        if left != right:
            break
        end -= right.cell_length
    return begin, max(end, begin + 1)


def _shared(left: Segment, right: Segment) -> int:
    """Cells with which two segments begin alike; 0 unless both are ASCII, where a character is a cell."""
    if left.style != right.style or not (left.text.isascii() and right.text.isascii()):
        return 0
    count = 0
    for a, b in zip(left.text, right.text, strict=False):
        if a != b:
            break
        count += 1
    return count
