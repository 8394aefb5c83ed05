"""The one screen: panes, keys, and the clock that keeps them up to date. What keys do to the run is in `acts.py`."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.message import Message
from textual.screen import Screen

from workbench.runs.inspections import Inspected
from workbench.runs.launch import Launch
from workbench.screen import keys
from workbench.screen.acts import Acts
from workbench.screen.batch.pane import Batch
from workbench.screen.bench.bench import Bench
from workbench.screen.bench.follow import Changed, Followed, Follower
from workbench.screen.charts.pane import Charts
from workbench.screen.data.pane import Data
from workbench.screen.frame.bars import Footer, StatusLine
from workbench.screen.frame.house import House
from workbench.screen.frame.lined import Inks
from workbench.screen.frame.slots import BATCH, LESSON, SAMPLES, STEP, TITLES
from workbench.screen.glyphs import plain
from workbench.screen.keys import Key
from workbench.screen.knobs.pane import Knobs
from workbench.screen.lab.pane import Lab
from workbench.screen.pane import Pane
from workbench.screen.runs.pane import Runs
from workbench.screen.samples.pane import Samples
from workbench.screen.step.pane import Step
from workbench.screen.system.pane import System

if TYPE_CHECKING:
    from workbench.lab.lessons import Lesson as Taught
    from workbench.screen.lesson.pane import Lesson
    from workbench.screen.lesson.session import Session

TICK = 0.25
"""Seconds between two looks at what moves by itself. A key's own effect is drawn at once."""
TURN = 0.01
"""Seconds between two panes that draw what moved by itself: a key goes through several turns of the loop."""
SAID_FOR = 4.0
"""Seconds for which the footer says something before it shows the keys again."""


class Main(Acts, Screen[None]):
    BINDINGS = [  # noqa: RUF012
        *keys.bindings(),
        *((str(n), f"pane({n})", title) for n, title in TITLES.items()),
    ]

    class Found(Message):
        """The follower saw a change. Posted from its thread."""

        def __init__(self, run: Followed, changed: Changed) -> None:
            super().__init__()
            self.run, self.changed = run, changed

    def __init__(self, bench: Bench, *, big: bool = False, lesson: "Session | None" = None) -> None:
        super().__init__()
        self.bench = bench
        self.lesson = _lesson_pane(bench, lesson) if lesson else None
        """The pane of the lesson that is open."""
        self._big = big
        self._follower = Follower(self._found)
        self._pending: set[str] = set()
        self._ticks = 0
        self._said_until = 0.0
        self._looked_at: Inspected | None = None
        self._opened: Launch | None = None
        """The start whose run has been opened: the user may since have opened another."""

    def compose(self) -> ComposeResult:
        self.status_line, self.footer = StatusLine(self.bench, big=self._big), Footer(self.bench)
        panes = [pane(self.bench) for pane in (Data, Batch, Step, Knobs, Charts, Samples, System, Runs, Lab)]
        self.house = House([*panes, *([self.lesson] if self.lesson else [])], big=self._big, first=self._first)
        yield Inks()
        yield self.status_line
        yield self.house
        yield self.footer

    def on_mount(self) -> None:
        self.follow()
        if self.lesson:
            self.house.place_lesson("beside")
            self.lesson.look()
        self.house.show(self._first)
        self.footer.show(self._first)
        self._fit()
        self.set_interval(TICK, self._tick)

    def on_resize(self) -> None:
        self._fit()

    def _fit(self) -> None:
        """The status area has more rows where there is room for large figures, and they are wanted."""
        rows = self.status_line.rows(self.size.width, self.size.height)
        self.status_line.styles.height = rows
        self.set_class(rows > 1, "-figures")

    @property
    def _first(self) -> int:
        return LESSON if self.lesson else BATCH

    def on_unmount(self) -> None:
        self._follower.close()
        if self.lesson:
            self.lesson.session.close()

    # ------------------------------------------------------------------------------- what changes

    def _found(self, run: Followed, changed: Changed) -> None:
        self.post_message(self.Found(run, changed))

    def follow(self) -> None:
        """Whatever the bench shows is followed, and what a lesson waits for; nothing else."""
        shown = [self.bench.run, *self.bench.overlays, *(self.lesson.session.followed() if self.lesson else [])]
        self._follower.keep([run for run in shown if run is not None])

    async def _tick(self) -> None:
        await self._heard_in_turn(self.tick())

    def tick(self) -> set[str]:
        """Four times a second: what moves by itself. Returns whatever has changed since, to be drawn once."""
        self._ticks += 1
        self.bench.looking.wanted = any(pane.number in (BATCH, STEP) for pane in self.house.shown())
        self._pending |= self.bench.tick()
        if (launch := self.bench.launch) and launch.run and launch is not self._opened:
            self._opened = launch
            if not self.bench.run or self.bench.run.path != launch.run:
                self.open_run(launch.run)
        if self.lesson:
            self._pending |= self.lesson.tick()
        self.follow()
        if self._ticks % 4 == 0:
            self._pending.add("time")
        self._tell_notices()
        slow = {"records"} if self._ticks % 2 else set()
        now, self._pending = self._pending - slow, self._pending & slow
        return now

    def on_main_found(self, message: Found) -> None:
        self.bench.changed(message.run, message.changed)
        looked = self.bench.looking.latest
        if looked is not self._looked_at:
            self._looked_at = looked
            self._pending.add("looked")
        self._pending |= message.changed
        run = self.bench.run  # what a long run has so far is drawn in its turn, at the next tick
        if "status" in message.changed or (run and run.state != "running" and not run.curves.behind):
            self._tell_notices()
            now, self._pending = self._pending, set()
            self.set_timer(TURN, partial(self._heard_in_turn, now))  # beside what waits for this screen

    def heard(self, changed: set[str]) -> None:
        """Tell every pane that is shown, and the two lines."""
        with self.app.batch_update():
            for hear in self._hearers(changed):
                hear()

    async def _heard_in_turn(self, changed: set[str]) -> None:
        """The same, for what nobody has asked for: a key that comes meanwhile waits for one pane, not for all."""
        for hear in self._hearers(changed):
            hear()
            await asyncio.sleep(TURN)

    def _hearers(self, changed: set[str]) -> Iterator[Callable[[], None]]:
        if changed & {"status", "records", "launch", "run", "knobs", "text"}:
            yield self.status_line.redraw
        if changed & {"status", "launch", "run", "knobs", "text", "lesson"}:
            yield self.footer.redraw
        for pane in self.house.shown() if changed else ():
            if pane.is_attached:  # still, after a turn
                yield partial(pane.heard, changed)

    def refresh_now(self, *changed: str) -> None:
        """After a key: draw what it changed, at once, and say what there is to say."""
        self._tell_notices()
        self.heard(set(changed) or {"knobs", "rows", "text", "status"})

    def _tell_notices(self) -> None:
        notices, self.bench.notices = self.bench.notices, []
        for notice in notices:
            if notice.level == "said" and len(notice.text) < self.size.width:
                self.footer.say(notice.text)
                self._said_until = self.bench.clock() + SAID_FOR
            else:
                severity = {"said": "information", "warning": "warning", "error": "error"}[notice.level]
                self.notify(plain(notice.text, newlines=True), severity=severity, timeout=8, markup=False)  # type: ignore[arg-type]
        if self._said_until and self.bench.clock() > self._said_until:
            self._said_until = 0.0
            self.footer.say("")

    def open_run(self, path: Path) -> None:
        """Follow a run from now on; the one before goes on without being watched."""
        self.bench.open_run(Followed(path))
        self.follow()
        self.refresh_now("run", "status", "records", "events", "text", "knobs", "rows")

    def close_run(self) -> None:
        """No run is open; the one that was is followed no longer."""
        self.bench.close_run()
        self.follow()
        self.refresh_now("run", "status", "records", "events", "text", "knobs", "rows")

    def toggle_overlay(self, path: Path) -> None:
        """Draw another run over the open one, or take it away again."""
        overlays = self.bench.overlays
        there = next((run for run in overlays if run.path == path), None)
        if there is not None:
            overlays.remove(there)
        elif self.bench.run is not None and self.bench.run.path == path:
            self.bench.tell("this run is the one that is open")
        else:
            overlays.append(Followed(path))
        self.follow()
        self.refresh_now("overlays", "records")

    def cursor_moved(self, step: int) -> None:
        """The charts' cursor stands on a step: the other panes that go through steps follow."""
        self.house.pane(SAMPLES).show_step(step)

    # ------------------------------------------------------------------------------- lessons

    @work
    async def action_lessons(self) -> None:
        from workbench.screen.dialogs.lessons import choose

        await choose(self)

    def action_lesson(self) -> None:
        """Back to the lesson, from wherever the focus is."""
        if self.lesson:
            if self.house.whole:
                self._make_whole(False)
            self.house.show(LESSON)

    async def open_lesson(self, lesson: "Taught") -> None:
        """A lesson, from its beginning; what trains goes on."""
        from workbench.screen.lesson.session import Session

        if self.lesson is None:
            self.lesson = _lesson_pane(self.bench, Session(self.bench, lesson))
            await self.house.mount(self.lesson)
            self.house.place_lesson("beside")
        else:
            self.lesson.take(lesson)
        self.action_lesson()
        self.lesson.look()
        self.follow()
        self.refresh_now("run", "status", "records", "events", "text", "knobs", "rows", "launch", "overlays", "lesson")

    async def close_lesson(self) -> None:
        """The panes alone; what trains goes on."""
        closed, self.lesson = self.lesson, None
        if closed is not None:
            closed.session.leave()
            self.house.place_lesson("")
            self.house.show(self.house.focused)
            await closed.remove()

    # ------------------------------------------------------------------------------- panes and keys

    def pane_focused(self, number: int) -> None:
        pane = self.house.pane(number)
        self.footer.facts, self.footer.waits = pane.facts, pane.waits
        self.footer.show(number, whole=self.house.whole, lesson=self.lesson is not None and number != LESSON)

    def action_pane(self, number: int) -> None:
        self.house.show(number)

    def action_cycle(self, by: int) -> None:
        order = self.house.order
        self.house.show(order[(order.index(self.house.focused) + by) % len(order)])

    def action_draw_anew(self) -> None:
        self.app.draw_anew()  # type: ignore[attr-defined]  # Workbench, which imports this module

    def action_to_shell(self) -> None:
        self.app.action_suspend_process()

    def action_whole(self) -> None:
        self._make_whole(not self.house.whole)

    def action_leave(self) -> None:
        """Escape: out of a mode of the pane, else back from the whole screen."""
        pane = self.house.pane(self.house.focused)
        if not pane.leave() and self.house.whole:
            self._make_whole(False)

    def _make_whole(self, whole: bool) -> None:
        self.house.make_whole(whole)
        self.pane_focused(self.house.focused)

    def doing(self, key: Key) -> Callable[[], None]:
        """What the palette runs for a key: its pane is brought to the front first."""

        def do() -> None:
            self._do(key)

        return do

    @work
    async def _do(self, key: Key) -> None:
        target: Pane | Main = self
        if key.panes:
            if self.house.focused not in key.panes:
                self.house.show(key.panes[0])
            target = self.house.pane(self.house.focused)
        await self.app.run_action(key.action, default_namespace=target)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A read-only screen does nothing to the run."""
        if self.bench.read_only and any(k.steers and k.action.partition("(")[0] == action for k in keys.KEYS):
            self.bench.tell("read-only: this screen looks and does not steer", "warning")
            return False
        return True


def _lesson_pane(bench: Bench, session: "Session") -> "Lesson":
    """Imported when the first lesson is opened."""
    from workbench.screen.lesson.pane import Lesson

    return Lesson(bench, session)
