"""Choosing a lesson: those that come with the program, about how long each takes, and what it is about."""

from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from workbench.lab import lessons
from workbench.lab.lessons import Lesson
from workbench.screen.dialogs.base import Dialog
from workbench.screen.glyphs import plain

if TYPE_CHECKING:
    from workbench.screen.main import Main

CLOSE = "-"
"""The answer that leaves the lesson which is open."""


class Lessons(Dialog[str]):
    """The answer is a lesson's name, or CLOSE."""

    HINT = "↑↓ and enter · 1 to 8 · esc leaves"

    def __init__(self, known: list[Lesson], *, open: str = "") -> None:
        super().__init__("Lessons")
        self._known = {lesson.name: lesson for lesson in known}
        self._open = open
        self._about = Static("", classes="about", markup=False)

    def body(self) -> ComposeResult:
        width = max((len(name) for name in self._known), default=0)
        listed = OptionList()
        room = max(20, min(76, self.app.size.width * 96 // 100) - 8)
        for name, lesson in self._known.items():
            row = Content.assemble(
                (str(lesson.number), "bold underline"), "  ", (name.ljust(width), "bold"), "  ",
                (plain(lesson.title), "" if name != self._open else "$accent"),
            )  # fmt: skip
            listed.add_option(Option(row.truncate(room, ellipsis=True), id=name))
        if self._open:
            listed.add_option(Option(Content(f"   {'close'.ljust(width)}  the lesson that is open"), id=CLOSE))
        yield listed
        yield self._about

    def on_mount(self) -> None:
        listed = self.query_one(OptionList)
        listed.focus()
        names = list(self._known)
        listed.highlighted = names.index(self._open) if self._open in names else 0

    def on_key(self, event: events.Key) -> None:
        for name, lesson in self._known.items():
            if event.character == str(lesson.number):
                event.stop()
                self.dismiss(name)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        lesson = self._known.get(event.option.id or "")
        if lesson is None:
            self._about.update("back to the panes alone; what trains goes on")
            return
        parts = len(lesson.parts)
        about = f"{parts} part{'s' if parts > 1 else ''}" + (
            f", about {lesson.seconds:.0f} s" if lesson.seconds else ""
        )
        self._about.update(plain(f"{lesson.about}\n{about}", newlines=True))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)


async def choose(main: "Main") -> None:
    """Ask which lesson, and open it, or close the one that is open. A run that is open goes on."""
    bench = main.bench
    if bench.starting:
        bench.tell("a run is being started: wait until it is there, or X cancels it", "warning")
        main.refresh_now("status")
        return
    now = main.lesson.session.lesson.name if main.lesson else ""
    answer = await main.app.push_screen_wait(Lessons(lessons.shipped(), open=now))
    if answer == CLOSE:
        await main.close_lesson()
    elif answer:
        await main.open_lesson(lessons.load(answer))
