"""The Charts pane: the curves of the run, moved through by keys and mouse. What is in them is made by `gallery`."""

import os
import sys
from collections.abc import Iterable, Sequence

from textual import events, work

from workbench.screen import keys
from workbench.screen.bench.bench import Bench
from workbench.screen.charts import loss_chart, view
from workbench.screen.charts.gallery import Box, Gallery, axis_name
from workbench.screen.charts.moment import Moment, figures, known_losses, moment, perplexity, predictions, verdict
from workbench.screen.charts.plotting import GUTTER
from workbench.screen.charts.view import PAN, Mode, View
from workbench.screen.dialogs.overlay import Overlay
from workbench.screen.dialogs.predict import Predict
from workbench.screen.frame.lined import Run
from workbench.screen.frame.slots import BATCH, CHARTS
from workbench.screen.glyphs import fit
from workbench.screen.pane import Pane

INKS = {
    "label": "dim", "note": "", "cursor": "mark", "mark-checkpoint": "check", "mark-eval": "eval",
    "mark-edit": "edit", "mark-spike": "spike", "mark-nonfinite": "nan",
}  # fmt: skip
"""The inks of a chart's own styles; the others are inks already."""
ROOM = 12
"""Rows from which on the cursor has a second line, for what happened there; else the border says it."""


class Charts(Pane):
    number = CHARTS
    concerns = frozenset({"records", "events", "status", "run", "text", "knobs", "launch", "overlays"})
    BINDINGS = keys.bindings(CHARTS)

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self.view = View()
        self._now: Moment | None = None
        self._others: list[tuple[str, float, str]] = []
        self._dragged: tuple[int, int, bool] | None = None
        """Where the mouse went down, where it was last, and whether it has moved."""

    def on_mount(self) -> None:
        self.gallery = Gallery(self.bench, self.view, big=bool(getattr(self.app, "big", False)), braille=_has_braille())

    # ------------------------------------------------------------------------------- drawing

    def heard(self, changed: set[str]) -> None:
        if "run" in changed:
            self.view.cursor, self.view.zoomed, self._now = None, None, None
            if self.view.mode == "cursor":
                self.view.mode = ""
        elif changed & {"events", "overlays"} and self._now is not None:
            self._point()
        super().heard(changed)

    def draw(self, width: int, height: int) -> Iterable[Sequence[Run]]:
        told = self._told(width, height) if self.view.mode == "cursor" and self._now else []
        for row in self.gallery.draw(width, height - len(told), self._now if told else None):
            yield [(text, INKS.get(style, style)) for text, style in row]
        yield from told

    def _told(self, width: int, height: int) -> list[list[Run]]:
        """The line of the cursor's values, and one of what happened there, where there is room for it."""
        assert self._now is not None
        lines: list[list[Run]] = [[]]
        for name, value, ink in figures(self._now, self._others):
            need = len(name) + bool(name) + len(value)
            if _length(lines[-1]) + need > width:
                lines.append([])
            lines[-1] += [(f"{name} ", "dim")] if name else []
            lines[-1] += [(value, ink), ("  ", "")]
        if height < ROOM:
            return lines[:1]
        second = lines[1] if len(lines) > 1 else []
        return [lines[0], [*second, (fit(self._now.words, width - _length(second)), "edit")]]

    def caption(self) -> str:
        run, room = self.bench.run, self.size.width - 2
        if self.view.mode == "cursor":
            parts = ["cursor ←→", "enter its rows", "↑↓ zoom", "esc leaves"]
            if self._now and self._now.words and self.size.height < ROOM:
                parts = [fit(self._now.words, min(len(self._now.words), room)), "esc leaves"]
        elif self.view.mode == "zoom":
            parts = ["zoom ←→↑↓", "f follows", "esc leaves"]
        else:
            parts = self._state()
            guessed = verdict(predictions(run, self.bench.predicted, self.view.level))
            parts[1:1] = [guessed] if guessed else []
        out = ""
        for part in parts:
            longer = f"{out} · {part}" if out else part
            if len(longer) > room:
                break
            out = longer
        return out

    def _state(self) -> list[str]:
        run, view = self.bench.run, self.view
        if run is None or not len(run.curves):
            return ["planned", f"x {self._axis()}"]
        n, behind = len(run.curves), run.curves.behind
        if behind:
            parts = [f"reading, {n / (n + behind):.0%} of it"]
        elif view.zoomed:
            parts = ["zoomed, f follows"]
        else:
            parts = ["whole run" if view.whole or run.over else "following"]
        parts += [loss_chart.ema(view.level) if view.level else "not smoothed", f"x {self._axis()}"]
        last = run.last("eval")
        if last and last.get("val_loss") is not None:
            parts.append(f"val ppl {perplexity(last['val_loss'])}")
        return parts

    def _axis(self) -> str:
        """What x counts: what was chosen, and what it is by until then."""
        shown, chosen = (
            axis_name(axis, self.bench) for axis in (view.extent(self.bench, self.view).axis, self.view.axis)
        )
        return chosen if shown == chosen else f"{chosen}: not known yet"

    # ------------------------------------------------------------------------------- modes

    def _enter(self, mode: Mode) -> bool:
        """Into a mode; the cursor needs a record to stand on."""
        if mode == "cursor" and self.view.cursor is None:
            self.view.cursor = view.first_cursor(self.bench, self.view)
            if self.view.cursor is None:
                self.bench.tell("no step has been taken yet: space starts")
                self.main.refresh_now("status")
                return False
        self.view.mode = mode
        return True

    def leave(self) -> bool:
        was, self.view.mode = self.view.mode, ""
        if was:
            self.redraw()
        return bool(was)

    def action_zoom(self) -> None:
        self._enter("" if self.view.mode == "zoom" else "zoom")
        self.redraw()

    def action_inspect(self) -> None:
        if self.view.mode == "cursor":
            self.leave()
        elif self._enter("cursor"):
            self._pointed()

    def action_sideways(self, by: int) -> None:
        """Pan in zoom mode; else the cursor, which the first key brings up."""
        if self.view.mode == "zoom":
            view.shift(self.bench, self.view, PAN * by)
            self.redraw()
        elif self.view.mode == "cursor" and self._now is not None:
            self.view.cursor = view.moved(self.bench, self.view, by, self._cells)
            self._pointed()
        elif self._enter("cursor"):
            self._pointed()

    def action_ends(self, by: int) -> None:
        if self._enter("cursor") and self.bench.run is not None:
            self.view.cursor = 0 if by < 0 else max(len(self.bench.run.curves) - 1, 0)
            self._pointed()

    def action_magnify(self, by: int) -> None:
        if self.view.mode == "":
            self._enter("zoom")
        view.magnify(self.bench, self.view, by)
        self.redraw()

    def action_follow(self) -> None:
        self.view.follow()
        self.redraw()

    def action_smooth(self) -> None:
        self.view.next_level()
        self._point()
        self.redraw()

    def action_log(self) -> None:
        self.view.log = not self.view.log
        self.redraw()

    def action_axis(self) -> None:
        self.view.next_axis()
        self._point()
        self.redraw()

    def action_rows(self) -> None:
        """The rows of the step under the cursor: from a spike to the batch responsible."""
        if self.view.mode != "cursor" or self.view.cursor is None:
            self.action_inspect()
            return
        self.bench.step, self.bench.starts = self.view.cursor, None
        self.main.house.raise_quietly(BATCH)
        self.bench.tell(f"the rows of step {self.view.cursor:,} are in the Batch pane")
        self.main.refresh_now("rows")

    @work
    async def action_predict(self) -> None:
        first, last = known_losses(self.bench.run, self.view.level)
        words = "What will an untrained model's loss be, and where will this run end? In nats; empty for none."
        for name, known in (("step 0", first), ("the end", last)):
            if known is not None:
                words += f"\nKnown already: {known:.3f} at {name}."
        answer = await self.main.app.push_screen_wait(Predict(words, self.bench.predicted))
        if answer is not None:
            self.bench.predicted = answer
            self.redraw()

    @work
    async def action_overlay(self) -> None:
        await self.main.app.push_screen_wait(Overlay(self.main))
        self.redraw()

    # ------------------------------------------------------------------------------- the cursor

    @property
    def _cells(self) -> int:
        box = self.gallery.boxes.get("loss")
        return max((box.width if box else self.size.width) - GUTTER, 1)

    def _pointed(self) -> None:
        """The cursor has moved: into sight, its values read, the other panes told."""
        view.keep_in_sight(self.bench, self.view)
        self._point()
        self.redraw()
        if self.view.cursor is not None:
            self.main.cursor_moved(self.view.cursor)

    def _point(self) -> None:
        """Read the values of the step under the cursor; a run that was cut takes it along."""
        run, at = self.bench.run, self.view.cursor
        if run is None or at is None or not len(run.curves):
            self._now = None
            return
        at = self.view.cursor = min(at, len(run.curves) - 1)
        e = view.extent(self.bench, self.view)
        half = (e.shown[1] - e.shown[0]) / self._cells / 2
        x = run.curves.x_of(at, e.axis)
        near = run.curves.step_of(e.axis, x - half), run.curves.step_of(e.axis, x + half) + 1
        self._now = moment(run, at, self.view.level, near)
        self._others = loss_chart.losses_at(self.bench, self.view, at)

    # ------------------------------------------------------------------------------- the mouse

    def _chart_at(self, event: events.MouseEvent) -> tuple[Box, int] | None:
        """The chart under the mouse and the cell of its curves, None beside them."""
        where = event.get_content_offset(self)
        if where is None:
            return None
        for box in self.gallery.boxes.values():
            cell = where.x - box.x - GUTTER
            if box.y <= where.y < box.y + box.height and 0 <= cell < box.width - GUTTER:
                return box, cell
        return None

    def _wheel(self, event: events.MouseEvent, by: int) -> None:
        event.stop()
        found = self._chart_at(event)
        at = None
        if found:
            box, cell = found
            begin, end = view.extent(self.bench, self.view).shown
            at = begin + (cell + 0.5) * (end - begin) / (box.width - GUTTER)
        view.magnify(self.bench, self.view, by, at)
        self.redraw()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, 1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, -1)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        if event.button == 1 and self._chart_at(event):
            self._dragged = (event.screen_x, event.screen_x, False)
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._dragged is None:
            return
        began, before, _ = self._dragged
        by = event.screen_x - before
        if by:
            self._dragged = (began, event.screen_x, True)
            view.shift(self.bench, self.view, -by / self._cells)
            self.redraw()

    def on_mouse_up(self, event: events.MouseUp) -> None:
        dragged, self._dragged = self._dragged, None
        if dragged is None:
            return
        self.release_mouse()
        found = self._chart_at(event)
        if dragged[2] or found is None or self.bench.run is None or not len(self.bench.run.curves):
            return
        box, cell = found
        begin, end = view.extent(self.bench, self.view).shown
        width = (end - begin) / (box.width - GUTTER)
        self.view.cursor = view.landmark(self.bench, self.view, begin + cell * width, begin + (cell + 1) * width)
        self.view.mode = "cursor"
        self._pointed()


def _length(line: Sequence[Run]) -> int:
    return sum(len(text) for text, _ in line)


def _has_braille() -> bool:
    """Whether the terminal can be trusted with braille: the console of Linux has no font for it."""
    encoding = getattr(sys.__stdout__, "encoding", None) or "utf-8"
    return os.environ.get("TERM") != "linux" and encoding.lower().replace("-", "").startswith("utf")
