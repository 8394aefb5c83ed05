"""The Lesson pane: what to read, to predict and to run, driven by the keyboard; it has the other panes show things."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

from textual import events

from workbench.lab.lessons import Lesson as Taught
from workbench.lab.lessons import Show
from workbench.screen import keys
from workbench.screen.charts.curves import Axis
from workbench.screen.charts.pane import Charts
from workbench.screen.frame.lined import Run
from workbench.screen.frame.slots import CHARTS, LAB, LESSON, TITLES
from workbench.screen.glyphs import fit, middle
from workbench.screen.lab.pane import Lab
from workbench.screen.lesson import lines
from workbench.screen.lesson.lending import Lending
from workbench.screen.lesson.session import Session
from workbench.screen.pane import Pane

if TYPE_CHECKING:
    from workbench.screen.bench.bench import Bench

PANES = {title.lower(): number for number, title in TITLES.items()}
"""The panes by the names that a lesson calls them."""
PASSED = " ?"
"""Characters that are keys even while a question is open: the pane's own space, and the help."""
AXES = {"steps": "step", "tokens": "tokens", "seconds": "time", "flops": "flops"}
"""The charts' axes by theirs."""


class Lesson(Pane):
    """`session` is where one stands in the lesson that is open."""

    number = LESSON
    BINDINGS = keys.bindings(LESSON)
    concerns = frozenset({"lesson", "records", "status", "run", "text", "launch", "time"})

    def __init__(self, bench: "Bench", session: Session) -> None:
        super().__init__(bench)
        self.session = session
        self._top = 0
        """The first line of the page that is shown: a page may be longer than the pane."""
        self._more, self._room = False, 1
        self._at: tuple[int, int] = (0, 0)
        self._shown = 0
        self._lending = Lending()

    def take(self, lesson: Taught) -> None:
        """Another lesson, from its beginning."""
        self.session.leave()
        self.session = Session(self.bench, lesson)
        self._shown = 0

    # ------------------------------------------------------------------------------- as time goes by

    def tick(self) -> set[str]:
        """Let the lesson go on by itself; what it wants to be looked at is shown. Returns what has changed."""
        changed = self.session.tick() | self.look()
        if isinstance(lab := self.main.house.pane(LAB), Lab) and self._lending.lend(self.session, lab):
            lab.redraw()
        return changed

    def look(self) -> set[str]:
        """Have the other panes show what the part shows, once for each time that it says so."""
        if self._shown == self.session.shown:
            return set()
        self._shown = self.session.shown
        return self._show(self.session.show)

    def _show(self, show: Show) -> set[str]:
        main, house = self.main, self.main.house
        house.place_lesson("below" if show.whole else "beside")
        if show.pane in PANES:
            house.raise_quietly(PANES[show.pane])
        charts = house.pane(CHARTS)
        if isinstance(charts, Charts):
            charts.view.axis = cast(Axis, AXES.get(show.axis, charts.view.axis))
            charts.view.log, charts.view.zoomed = show.log, None
        if isinstance(lab := house.pane(LAB), Lab):
            self._lending.prepare(self.session, lab)
        self.bench.step, self.bench.starts = show.step, show.starts or None
        main.pane_focused(house.focused)
        return {"rows", "overlays", "records"}

    # ------------------------------------------------------------------------------- keys

    def facts(self) -> set[str]:
        session, work = self.session, self.session.work
        found = {"waits"} if session.waits else set()
        if session.waits and work is not None and work.trains:
            found.add("halted" if work.run and work.run.state == "paused" else "trains")
        if session.ask is not None:
            found.add("rests" if session.rests else "asks")
            found |= {"blank"} if not session.typed else set()
        return found

    def waits(self) -> str:
        return self.session.waits

    def leave(self) -> bool:
        """The open question: until `enter` comes back to it every key has its general meaning."""
        left = self.session.rest()
        if left:
            self._answered()
        return left

    def on_key(self, event: events.Key) -> None:
        """While a question is open every character is for it: none of them may act elsewhere."""
        session, character = self.session, event.character
        if not session.answering:
            return
        if event.key == "backspace":
            taken = session.rub_out()
        elif taken := bool(character and event.is_printable and character not in PASSED):
            session.type(str(character))
        if taken:
            event.stop()
            event.prevent_default()
            self._answered()

    def _answered(self) -> None:
        self.redraw()
        self.main.footer.redraw()

    def action_go_on(self, space: bool = False) -> None:
        session = self.session
        if space and session.work is not None and session.work.trains:
            self.main.action_space()
        elif self._more:
            self._top += self._room
            self.redraw()
        elif session.now.kind == "end":
            self.main.action_lessons()
        else:
            self._changed(session.go_on())

    def action_go_back(self) -> None:
        if self._top:
            self._top = max(self._top - self._room, 0)
            self.redraw()
        else:
            self._changed(self.session.go_back())

    def action_restart(self) -> None:
        self._at = (0, 0)
        self._changed(self.session.restart())
        self.bench.tell(f"part {self.session.part.number} from its beginning")
        self.main.refresh_now("status")

    def action_choose(self, by: int) -> None:
        if self.session.choose(by):
            self._answered()

    def action_axis(self) -> None:
        """The charts' own, without leaving the lesson."""
        charts = self.main.house.pane(CHARTS)
        if isinstance(charts, Charts):
            charts.action_axis()

    def action_part(self, by: int) -> None:
        changed = self.session.enter(self.session.part.number + by)
        if not changed:
            self.bench.tell("this is the last part" if by > 0 else "this is the first part")
        self._changed(changed)

    def _changed(self, changed: set[str]) -> None:
        if changed:
            changed |= self.look()
            self.main.follow()
        self.redraw()
        self.main.refresh_now(*(changed or {"status"}))

    def on_mouse_scroll_down(self) -> None:
        if self._more:
            self._top += 1
            self.redraw()

    def on_mouse_scroll_up(self) -> None:
        self._top = max(self._top - 1, 0)
        self.redraw()

    # ------------------------------------------------------------------------------- drawing

    def caption(self) -> str:
        lesson, part, room = self.session.lesson, self.session.part, max(self.size.width - 2, 1)
        name = f"L{lesson.number} {lesson.name}" if lesson.number else middle(lesson.name, max(room // 3, 8))
        told = f"{name} · part {part.number} of {len(lesson.parts)}"
        if self.size.height < lines.TITLED:
            told = f"{name} {part.number}/{len(lesson.parts)} · {part.title}"
        return fit(told, room).rstrip()

    def draw(self, width: int, height: int) -> Iterable[Sequence[Run]]:
        session = self.session
        at = session.part.number, session.page
        if at != self._at:
            self._at, self._top = at, 0
        drawn = lines.draw(session, width, height, self._top)
        self._more, self._room = drawn.more, drawn.room
        return drawn.lines
