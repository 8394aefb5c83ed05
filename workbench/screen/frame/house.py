"""The area between the status line and the footer: the panes, arranged in slots."""

from collections.abc import Iterable

from textual.geometry import Offset, Region, Size, Spacing
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.widget import Widget

from workbench.screen.frame import slots
from workbench.screen.pane import Pane


class SlotLayout(Layout):
    """Puts every pane into its slot. A pane that is not shown has `display` off and is not asked about."""

    name = "slots"

    def __init__(self, house: "House") -> None:
        self._house = house

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        where = {slot.shown: slot for slot in self._house.slots_of(size)}
        return [
            WidgetPlacement(Region(slot.x, slot.y, slot.width, slot.height), Offset(), Spacing(), pane)
            for pane in children
            if isinstance(pane, Pane) and (slot := where.get(pane.number))
        ]


class House(Widget):
    """Knows which panes are shown. The focus decides which of a slot's panes is on top."""

    def __init__(self, panes: Iterable[Pane], *, big: bool, first: int) -> None:
        super().__init__(*panes)
        self._big = big
        self._whole = False
        self._recent = [first]
        self._lesson: slots.LessonForm = ""
        self._arranged: tuple[object, ...] = ()
        self._slot_layout = SlotLayout(self)

    @property
    def layout(self) -> Layout:
        return self._slot_layout

    @property
    def whole(self) -> bool:
        return self._whole

    @property
    def focused(self) -> int:
        """The pane that has the focus, or had it last."""
        return self._recent[-1]

    @property
    def order(self) -> tuple[int, ...]:
        """The panes that there are, as the digits and then the lesson."""
        return tuple(sorted(pane.number for pane in self.query_children(Pane)))

    def pane(self, number: int) -> Pane:
        return next(p for p in self.query_children(Pane) if p.number == number)

    def shown(self) -> list[Pane]:
        return [pane for pane in self.query_children(Pane) if pane.display]

    def show(self, number: int) -> None:
        """Bring a pane to the top of its slot and give it the focus."""
        self._recent = [p for p in self._recent if p != number] + [number]
        self.arrange_panes()
        self.screen.set_focus(self.pane(number), scroll_visible=False)  # at once: keys may have been typed ahead

    def raise_quietly(self, number: int) -> None:
        """Bring a pane to the top of its slot without giving it the focus."""
        self._recent = [number, *(p for p in self._recent if p != number)] if number == self.focused else [
            *[p for p in self._recent[:-1] if p != number], number, self._recent[-1]]  # fmt: skip
        self.arrange_panes()

    def make_whole(self, whole: bool) -> None:
        self._whole = whole
        self.arrange_panes()

    def place_lesson(self, form: slots.LessonForm) -> None:
        """Where the Lesson pane stands; "" once there is none."""
        self._lesson = form
        if not form:
            self._recent = [p for p in self._recent if p != slots.LESSON] or [slots.BATCH]
        self.arrange_panes()

    def slots_of(self, size: Size) -> list[slots.Slot]:
        return slots.slots(
            size.width, size.height, recent=self._recent, whole=self._whole, big=self._big, lesson=self._lesson
        )

    def arrange_panes(self) -> None:
        """After a change of size, focus or wholeness: which panes are shown, under which tabs."""
        found = self.slots_of(self.size)
        arranged = (self.size, *found)
        if arranged == self._arranged or not self.size.width:
            return
        self._arranged = arranged
        on_top = {slot.shown: slot for slot in found}
        for pane in self.query_children(Pane):
            slot = on_top.get(pane.number)
            if slot is not None:
                pane.tabs = slot.panes
            pane.display = slot is not None
        # A child's, since a widget's own request leaves its kept arrangement: the same panes in other sizes.
        self.query_children(Pane).first().refresh(layout=True)

    def on_resize(self) -> None:
        self.arrange_panes()
