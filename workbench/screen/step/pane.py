"""The Step pane: one optimizer step as it happens, micro-batch by micro-batch, beside the loop that makes it."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from textual import events

from workbench.screen import keys
from workbench.screen.frame.lined import Run
from workbench.screen.frame.paragraph import beside
from workbench.screen.frame.slots import STEP
from workbench.screen.pane import Pane
from workbench.screen.step import lines as step_lines
from workbench.screen.step.loop_lines import loop_lines
from workbench.screen.step.one_step import OneStep, Steps, splitting_matters

if TYPE_CHECKING:
    from workbench.screen.bench.bench import Bench

Line = Sequence[Run]

BESIDE = 112
"""Columns from which on the loop stands beside the boxes."""


class Step(Pane):
    number = STEP
    BINDINGS = keys.bindings(STEP)
    concerns = frozenset({"status", "records", "run", "events", "looked", "rows", "knobs"})

    def __init__(self, bench: "Bench") -> None:
        super().__init__(bench)
        self._steps = Steps(bench)
        self._cursor: int | None = None
        """The micro-batch that was chosen; None: where the step stands."""
        self._line: int | None = None
        """The line of the loop that is in the middle; None: where the step stands."""
        self._boxes = (0, 0, 1, 4)
        """Of the last drawing, for the mouse: the first one's line, its number, how many a line, how tall."""

    # ------------------------------------------------------------------------------- keys and mouse

    def action_cursor(self, right: int, down: int) -> None:
        it = self._steps.now()
        if right:
            at = self._cursor if self._cursor is not None else min(it.done, it.accum - 1)
            self._cursor = min(max(at + right, 0), it.accum - 1)
        if down:
            self._scroll(down)
        self.redraw()

    def leave(self) -> bool:
        """Back to where the step stands."""
        moved = self._cursor is not None or self._line is not None
        self._cursor = self._line = None
        self.redraw()
        return moved

    def on_mouse_scroll_down(self) -> None:
        self._scroll(1)
        self.redraw()

    def on_mouse_scroll_up(self) -> None:
        self._scroll(-1)
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        at, (top, first, per_line, tall) = event.get_content_offset(self), self._boxes
        if at is None or at.y < top or not tall:
            return
        n = first + (at.y - top) // tall * per_line + at.x // step_lines.BOX
        if at.x // step_lines.BOX < per_line and n < self._steps.now().accum:
            self._cursor = n
            self.redraw()

    def _scroll(self, by: int) -> None:
        loop = loop_lines()
        stands = loop.at.get(self._steps.now().stage or "backward", 0)
        at = self._line if self._line is not None else stands
        self._line = min(max(at + by, 0), max(0, len(loop.lines) - 1))

    # ------------------------------------------------------------------------------- drawing

    def caption(self) -> str:
        it = self._steps.now()
        if self._cursor is not None and self._cursor < it.accum:
            return step_lines.micro_batch(it, self._cursor)
        return "g: the norm of the gradient added up so far" if it.done else ""

    def draw(self, width: int, height: int) -> Iterable[Line]:
        it = self._steps.now()
        two = width >= BESIDE
        left = width // 2 - 2 if two else width
        lines: list[Line] = [step_lines.header(it, self._state(it), left)]
        lines += self._micro_batches(it, left, height)
        lines += step_lines.totals(it)
        lines += step_lines.update(it, left)
        if note := splitting_matters(it.preset):
            lines.append([(note, "warn")])
        if not two:
            if height - len(lines) > 6:
                lines.append([])
            return [*lines, *step_lines.code(it, width, max(0, height - len(lines)), self._line)]
        right = step_lines.code(it, width - left - 3, height, self._line)
        return beside(lines + [[]] * (height - len(lines)), left, right, " │ ")

    def _micro_batches(self, it: OneStep, width: int, height: int) -> list[Line]:
        """The boxes, in as many lines as there is room for; the one that matters is among them."""
        if not (it.done or it.under_way) and it.loss is not None:
            self._boxes = (0, 0, 1, 0)
            return [[("its micro-batches were not looked at: . goes through the next step one by one", "dim")]]
        tall = height >= 11
        lines_each = 4 if tall else 2
        per_line = max(1, width // step_lines.BOX)
        all_lines = -(-it.accum // per_line)
        shown = min(all_lines, max(1, (height - 6) // lines_each))
        matters = self._cursor if self._cursor is not None else min(it.done, it.accum - 1)
        begin = min(max(0, matters // per_line - shown + 1), all_lines - shown)
        first = begin * per_line
        self._boxes = (1, first, per_line, lines_each)
        lines: list[Line] = []
        for n in range(shown):
            at = first + n * per_line
            lines += step_lines.boxes(it, at, per_line, self._cursor, tall=tall)
        if shown < all_lines:
            last = min(first + shown * per_line, it.accum)
            lines.append([(f"micro-batches {first + 1}–{last} of {it.accum}: ← → moves through them", "dim")])
        return lines

    def _state(self, it: OneStep) -> str:
        run = self.bench.run
        if run is None:
            return "space starts; . goes one micro-batch at a time"
        if it.under_way:
            if it.done == it.accum:
                return f"waits after all {it.accum}: . makes the update"
            return f"waits after {it.done} of {it.accum}"
        if run.state == "running":
            return f"runs, at {len(run.curves):,} now" if it.step < len(run.curves) - 1 else "runs"
        if run.state == "paused" and it.stage == "update":
            return "the update is made; > makes the next step"
        return run.state
