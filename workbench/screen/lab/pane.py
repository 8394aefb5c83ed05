"""The Lab pane: five views, and the one measurement that is under way."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.cells import cell_len
from textual import events, work

from workbench import preset as presets
from workbench.errors import WorkbenchError
from workbench.screen import keys
from workbench.screen.bench.bench import Bench
from workbench.screen.bench.edits import sentence
from workbench.screen.dialogs.base import Choice
from workbench.screen.dialogs.base import Line as AskLine
from workbench.screen.frame.lined import Run
from workbench.screen.frame.slots import LAB
from workbench.screen.glyphs import fit, plain
from workbench.screen.lab.asking import Asking, Told
from workbench.screen.lab.check import CheckView
from workbench.screen.lab.compare import CompareView
from workbench.screen.lab.fit import FitView
from workbench.screen.lab.plan import PlanView
from workbench.screen.lab.sweep import SweepView
from workbench.screen.lab.view import Drawn, Line, Name, View
from workbench.screen.pane import Pane
from workbench.screen.runs.pane import MOST_OVERLAYS
from workbench.screen.samples.samples import duration

VIEWS: tuple[tuple[str, Name], ...] = (
    ("p", "plan"), ("f", "fit"), ("c", "check"), ("s", "sweep"), ("m", "compare"),
)  # fmt: skip
"""By the key that shows it."""
FINAL = ("fit", "scenarios", "check", "compare")
"""The types of the last objects."""
GAP = 2
WHEEL = 3


class Lab(Pane):
    number = LAB
    concerns = frozenset({"knobs", "run", "status", "text", "launch", "time", "overlays"})
    BINDINGS = keys.bindings(LAB)

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self.plan, self.fit = PlanView(bench), FitView(bench)
        self.sweep = SweepView(bench)
        views: list[View] = [self.plan, self.fit, CheckView(bench), self.sweep, CompareView(bench)]
        self.views = {view.name: view for view in views}
        self.view: View = self.plan
        self.asking: Asking | None = None
        self._asker: View = self.plan
        """The view that its answers belong to."""
        self._answered = False
        """Its last word has been heard: an exit code after that says what the answer says too."""
        self._overlaid: set[Path] = set()
        """The runs of the last sweep, as far as they were drawn over the open one."""
        self._sheet = Drawn()
        self._follow = True
        """The cursor is kept in sight; not while the wheel or a page key has moved away from it."""

    # ------------------------------------------------------------------------------- drawing

    def draw(self, width: int, height: int) -> Iterable[Sequence[Run]]:
        yield self._tabs_line()
        view, rows = self.view, max(height - 1, 1)
        view.said = self._said(view, width)
        if view is self.plan:
            self.plan.measured, self.plan.speeds = self.fit.measured, self.fit.speeds
        drawn = self._sheet = view.draw(width, rows)
        view.at = min(view.at, view.last)
        at = drawn.stops[view.at] if drawn.stops else 0
        if self._follow:
            # The line above the first row is its header; above the first field there is nothing to miss.
            view.top = min(max(view.top, at - rows + 1), at if view.at else 0)
        view.top = min(view.top, max(len(drawn.lines) - rows, 0))
        for n, line in enumerate(drawn.lines[view.top : view.top + rows], view.top):
            lit = self.has_focus and drawn.stops and n == at
            yield _lit(line, drawn.lit or width) if lit else line

    def _tabs_line(self) -> Line:
        line: Line = []
        for key, name in VIEWS:
            here = name == self.view.name
            line += [(key, "key"), (" ", ""), (name, "title cursor" if here else "dim"), (" " * GAP, "")]
        return line

    def _said(self, view: View, width: int) -> Line:
        """What the process of a view does, how it ended, or what would disturb it."""
        asking = self.asking
        if asking and self._asker is view:
            if asking.code is None:
                doing = "stopping" if asking.cancelled else plain(view.doing() or asking.phase)
                room = max(width - 24, 8)
                return [(fit(doing, min(len(doing), room)), "warn"),
                        (f"  {duration(asking.seconds)}  ", "dim"), ("x", "key"), (" ends it", "dim")]  # fmt: skip
            if asking.error and not self._answered:
                return [(fit(f"✗ {asking.error}", width), "bad")]
            if asking.cancelled:
                return [("it was ended before it was done", "dim")]
        elif asking and asking.code is None and not view.reads and view is not self.plan:
            return [(f"{self._asker.name} is under way: x ends it", "dim")]
        if view.timed and self.bench.alive:
            return [(fit("a run is training here: it and what is measured slow each other down", width), "warn")]
        return []

    def caption(self) -> str:
        if self.asking and self.asking.code is None:
            doing = self._asker.doing() or self.asking.phase
            return f"{self._asker.name}: {plain(doing)} · {duration(self.asking.seconds)}"
        over = len(self._sheet.lines) - self.view.top - max(self.size.height - 1, 1)
        return f"{self.view.name} · {over} more lines below" if over > 0 else self.view.name

    def facts(self) -> set[str]:
        asking = self.asking is not None and self.asking.code is None
        found = {self.view.name} | ({"asking"} if asking else set())
        measures = self.view is not self.plan and not asking and (self.view.reads or not self.bench.read_only)
        return found | ({"measures"} if measures else set()) | ({"takes"} if self.view.take() else set())

    def heard(self, changed: set[str]) -> None:
        if "time" in changed:
            self._overlay()
        if changed - {"time"} or (self.asking and self.asking.code is None) or self.view is self.plan:
            super().heard(changed)

    # ------------------------------------------------------------------------------- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.main.check_action(action, parameters)

    def action_view(self, name: Name) -> None:
        self.view, self._follow = self.views[name], True
        self._changed()

    def action_move(self, by: int) -> None:
        """The cursor, and past its last stop the lines: there is more to read than to choose."""
        view, stops = self.view, self._sheet.stops
        rows = max(self.size.height - 1, 1)
        least = max(stops[view.at] - rows + 1, 0) if view.at < len(stops) else 0
        if (by > 0 and view.at >= view.last) or (by < 0 and not self._follow and view.top > least):
            self._scroll(by)
        else:
            view.at, self._follow = min(max(view.at + by, 0), view.last), True
            self._changed()

    def _scroll(self, by: int) -> None:
        end = max(len(self._sheet.lines) - max(self.size.height - 1, 1), 0)
        self.view.top, self._follow = min(max(self.view.top + by, 0), end), False
        self._changed()

    def action_page(self, by: int) -> None:
        self._scroll(by * max(self.size.height - 2, 1))

    def action_turn(self, by: int) -> None:
        self.view.turn(by)
        self._follow = True
        self._changed()

    def action_hold(self) -> None:
        if self.view is self.plan:
            self.plan.lock()
        self._changed()

    async def action_act(self) -> None:
        """Type a value; take a row; else measure."""
        view = self.view
        if view is self.plan or (view.at < len(view.fields) and view.fields[view.at].words):
            self._type()
        elif view.at >= len(view.fields) and view.take():
            if self.main.check_action("take", ()):
                self.action_take()
        else:
            self.action_measure()

    @work
    async def _type(self) -> None:
        view = self.view
        if view is self.plan:
            name, value = self.plan.chosen, f"{self.plan.plan.numbers()[self.plan.chosen]:,}"
            words = "A whole number: 524,288, 2^19 and 512k are the same. What is free gives way."
            answer = await self.app.push_screen_wait(AskLine(name, words, value, check=self.plan.wrong))
            if answer is not None:
                self.plan.type(answer)
        else:
            one = view.fields[view.at]
            answer = await self.app.push_screen_wait(AskLine(one.label, one.words, one.value, check=one.check))
            one.value = answer.strip() if answer is not None else one.value
        self._changed()

    def action_take(self) -> None:
        """Into the knobs: staged, or in the draft. Where they hold it already, they are applied."""
        changes = self.view.take()
        if not changes:
            self.main.action_apply()
            return
        if self.bench.change(changes):
            held = "staged: a applies it" if self.bench.staged else "in the knobs"
            self.bench.tell(f"{sentence(changes)}: {held}")
            if self.view is self.plan:
                self.plan.taken()
        self.main.refresh_now()
        self._changed()

    def action_end(self) -> None:
        if self.asking and self.asking.code is None:
            self.asking.cancel()
        else:
            self.bench.tell("nothing is being measured")
            self.main.refresh_now("status")
        self._changed()

    def leave(self) -> bool:
        left = self.view.leave()
        self._changed()
        return left

    # ------------------------------------------------------------------------------- measuring

    @work
    async def action_measure(self) -> None:
        """Start what the view asks, after a question where a run beside it would spoil its times."""
        view, bench = self.view, self.bench
        words = view.words()
        why = "" if words else view.why_not()
        if self.asking and self.asking.code is None:
            why = f"{self._asker.name} is under way: x ends it"
        if bench.read_only and not view.reads:
            why = "read-only: this screen looks and starts nothing"
        if not why and view.timed and bench.alive:
            run = bench.run.name if bench.run else "a run"
            told = f"{plain(run)} is training: it and what is measured here slow each other down."
            options = [("y", "measure all the same"), ("n", "wait")]
            if await self.app.push_screen_wait(Choice("Measure beside a run?", told, options)) != "y":
                return
        if why:
            bench.tell(why, "warning")
            self.main.refresh_now("status")
            return
        self._start(view, words)

    def _start(self, view: View, words: list[str]) -> None:
        preset = "" if view.reads else presets.to_toml(self.bench.proposed)

        def in_our_thread(do: Callable[[], None]) -> None:
            self.post_message(events.Callback(callback=lambda: do() if self.asking is asking else None))

        try:
            asking = Asking(
                words,
                preset,
                hear=lambda told: in_our_thread(lambda: self._heard_object(view, told)),
                over=lambda: in_our_thread(lambda: self._is_over(view, asking)),
            )
        except OSError as error:
            self.bench.tell(f"{words[0]}: no process can be had ({error.strerror})", "error")
            self.main.refresh_now("status")
            return
        self.asking, self._asker = asking, view
        self._answered = False
        view.begin()
        if view is self.sweep:
            self._clear_overlays()
        self._changed()

    def _heard_object(self, view: View, told: Told) -> None:
        view.hear(told)
        self._answered |= told["type"] in FINAL
        self._overlay()
        self._changed()

    def _is_over(self, view: View, asking: Asking) -> None:
        """The process is gone: what it came to is said, unless it can be read here."""
        seen = view is self.view and self in self.main.house.shown()
        error = "" if self._answered else asking.error
        if error and not (seen and len(error) <= self.size.width - 2 and "\n" not in error):
            self.bench.tell(f"{view.name}: {plain(error, newlines=True)}", "error")
        elif not error and not asking.cancelled and not seen and (said := view.conclusion()):
            self.bench.tell(f"{view.name}: {plain(said)}")
        self._overlay()
        self.main.refresh_now("status")
        self._changed()

    def _overlay(self) -> None:
        """Draw the runs of a sweep over the open one as they come, as many as can be told apart."""
        bench = self.bench
        for path in self.sweep.paths():
            there = {run.path for run in (*bench.overlays, *([bench.run] if bench.run else []))}
            if path in there | self._overlaid or len(bench.overlays) >= MOST_OVERLAYS:
                continue
            try:
                self.main.toggle_overlay(path)
            except (WorkbenchError, OSError):
                continue  # its preset is not written yet
            self._overlaid.add(path)

    def _clear_overlays(self) -> None:
        """Those of the sweep before."""
        for run in list(self.bench.overlays):
            if run.path in self._overlaid:
                self.main.toggle_overlay(run.path)
        self._overlaid = set()

    def _changed(self) -> None:
        self.redraw()
        if self.has_focus:
            self.main.pane_focused(LAB)  # the footer's keys are the view's

    def on_unmount(self) -> None:
        if self.asking is not None:
            self.asking.close()

    # ------------------------------------------------------------------------------- the mouse

    def on_click(self, event: events.Click) -> None:
        where = event.get_content_offset(self)
        if where is None:
            return
        if where.y == 0:
            x = 0
            for key, name in VIEWS:
                wide = len(key) + 1 + len(name) + GAP
                if x <= where.x < x + wide:
                    self.action_view(name)
                x += wide
            return
        line = self.view.top + where.y - 1
        if line in self._sheet.stops:
            self.view.at, self._follow = self._sheet.stops.index(line), True
            self._changed()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self._scroll(WHEEL)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self._scroll(-WHEEL)


def _lit(line: Line, width: int) -> Line:
    """The line under the cursor, with its mark: its first `width` columns, filled up."""
    (blank, first), *rest = line
    out: Line = []
    for text, ink in [("▸", "mark"), (blank[1:], first), *rest]:
        out.append((text, f"{ink} select".strip() if width > 0 else ink))
        width -= cell_len(text)
    return [*out, (" " * max(width, 0), "select")]
