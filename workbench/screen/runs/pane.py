"""The Runs pane: the runs of the folder, what the open one has told, and what its worker has said."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from textual import events, work

from workbench.errors import WorkbenchError
from workbench.screen import keys
from workbench.screen.bench.bench import Bench
from workbench.screen.bench.edits import sentence
from workbench.screen.bench.notice import Level
from workbench.screen.dialogs.base import Choice, Line
from workbench.screen.frame.aside import Aside
from workbench.screen.frame.lined import Run
from workbench.screen.frame.paragraph import paragraph, told
from workbench.screen.frame.scrolling import Listed, Scrolled
from workbench.screen.frame.slots import RUNS
from workbench.screen.frame.units import amount
from workbench.screen.glyphs import fit, plain, wrap
from workbench.screen.pane import Pane
from workbench.screen.runs import removal, runs_table, telling, worker_log
from workbench.screen.runs.shelf_of_runs import Row, Shelf, of_followed
from workbench.screen.runs.telling import Tale, Told
from workbench.screen.runs.worker_log import Tail

View = Literal["runs", "events", "log"]
NEXT: dict[View, View] = {"runs": "events", "events": "log", "log": "runs"}
EVERY: dict[View, float] = {"runs": 2.0, "events": 60.0, "log": 1.0}
"""Seconds between two looks at the disk, while the view is shown; events come from who follows the run anyhow."""
MOST_OVERLAYS = 4
"""As many as there are marks and colours to tell them apart."""
WHEEL = 3
GAP = 2


class Runs(Pane):
    number = RUNS
    concerns = frozenset({"status", "events", "records", "run", "overlays", "time"})
    BINDINGS = keys.bindings(RUNS)

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self._view: View = "runs"
        self._filters: dict[View, str] = {"runs": "", "events": "", "log": ""}
        self._shelf = Aside(Shelf(bench.runs).look, self._looked)
        self._log = Aside(self._look_at_log, self._looked)
        self._log_of: tuple[Path | None, Tail | None] = (None, None)
        self._next_look = 0.0
        self._list, self._chosen = Listed(), None  # type: Listed, Path | None
        self._scrolled = {"events": Scrolled(), "log": Scrolled()}
        self._tale = Tale()
        self._wrapped: tuple[object, list[str]] = (None, [])
        self._caption = ""
        self._stateless = False
        """No column has room for the states: the caption tells that of the run under the cursor."""
        self._first_line = 0
        """The line of the drawing that the first run stands on."""

    # ------------------------------------------------------------------------------- looking

    def heard(self, changed: set[str]) -> None:
        if "run" in changed:
            self._next_look = 0.0
            self._log_of = (None, None)
            for scrolled in self._scrolled.values():
                scrolled.back = 0
            if self.bench.run is not None and self._chosen is None:
                self._chosen = self.bench.run.path
        if changed & {"time", "run"}:
            self._look()
        if changed - {"records"} or self._view == "runs":
            super().heard(changed)

    def on_show(self, event: events.Show) -> None:  # the base's own is called as well
        self._look(now=True)

    def on_resize(self) -> None:
        self.redraw()  # for the caption: how much is shown depends on the size

    def _look(self, *, now: bool = False) -> None:
        """Ask the disk, if it is time to."""
        clock = self.bench.clock()
        if now or clock >= self._next_look:
            self._next_look = clock + EVERY[self._view]
            if self._view == "runs":
                self._shelf.ask()
            elif self._view == "log":
                self._log.ask()

    def _look_at_log(self) -> None:
        run = self.bench.run
        if run is not None:
            path, before = self._log_of
            self._log_of = (run.path, worker_log.tail(run.path, before if path == run.path else None))

    def _looked(self) -> None:
        """A look is over; this is its thread."""
        self.post_message(events.Callback(callback=self.redraw))

    # ------------------------------------------------------------------------------- drawing

    def caption(self) -> str:
        text = self._filters[self._view]
        if text:
            return f"{self._view} {self._caption} with “{plain(text)}” · esc: all"
        return f"{self._view} {self._caption}" + ("" if self._stateless else f" · e: {NEXT[self._view]}")

    def draw(self, width: int, height: int) -> Iterable[Sequence[Run]]:
        self._caption, self._stateless = "", False
        trouble = self._trouble(width, height)
        yield from ([(line, "bad")] for line in trouble)
        self._first_line = len(trouble) + 1
        draw = {"runs": self._draw_runs, "events": self._draw_events, "log": self._draw_log}[self._view]
        yield from draw(width, height - len(trouble))

    def _trouble(self, width: int, height: int) -> list[str]:
        """What is wrong with the open run, in a third of the pane at most."""
        run = self.bench.run
        text = telling.trouble(run, sentence(self.bench.offered)) if run else ""
        if not text:
            return []
        lines = paragraph(f"✗ {text}", max(width, 10))
        most = max(1, height // 3)
        return lines if len(lines) <= most else [*lines[: most - 1], fit(" ".join(lines[most - 1 :]), width)]

    def _shown_of(self, shown: range, length: int) -> None:
        self._caption = f"{shown.start + 1:,}–{shown.stop:,} of {length:,}" if length else "none"

    def rows(self) -> list[Row]:
        """The runs that are listed, the newest first; the open one as it is now, wherever it lies."""
        found = list(self._shelf.found or ())
        run, text = self.bench.run, self._filters["runs"].lower()
        if run is not None and not run.reading:
            now = of_followed(run)
            at = next((i for i, row in enumerate(found) if row.path == run.path), None)
            found[at or 0 : 0 if at is None else at + 1] = [now]
        return [row for row in found if text in f"{row.name} {row.state}".lower()] if text else found

    def _draw_runs(self, width: int, height: int) -> Iterator[Sequence[Run]]:
        rows = self.rows()
        if not rows:
            yield from _note(self._why_none(), width, "bad" if self._shelf.error else "dim")
            return
        cursor = self._list
        at = next((i for i, row in enumerate(rows) if row.path == self._chosen), None)
        cursor.at = cursor.at if at is None else at
        shown = cursor.view(len(rows), height - 1)
        self._chosen = rows[cursor.at].path
        self._shown_of(shown, len(rows))
        widths = runs_table.columns(rows, width - runs_table.INDENT)
        yield runs_table.header(widths)
        over = {run.path: n for n, run in enumerate(self.bench.overlays, 1)}
        for i in shown:
            row = rows[i]
            flag, ink = ("▸", "title") if self.bench.run and row.path == self.bench.run.path else ("", "")
            if n := over.get(row.path):
                flag, ink = str(n), f"over-{min(n, MOST_OVERLAYS)}"
            on_top = ("cursor" if self.has_focus else "select") if i == cursor.at else ""
            yield runs_table.line(row, widths, width, flag=flag, flag_ink=ink, over=on_top)
        self._stateless = "state" not in widths
        if self._stateless:
            self._caption += f" · {rows[cursor.at].state}"

    def _why_none(self) -> str:
        if self._shelf.error:
            return plain(self._shelf.error)
        if self._shelf.found is None:
            return f"reading {plain(str(self.bench.runs))} …"
        if self._filters["runs"]:
            return "no run is called that; esc shows all"
        return f"no runs yet: space starts one, in {plain(str(self.bench.runs))}"

    def _draw_events(self, width: int, height: int) -> Iterator[Sequence[Run]]:
        lines = self._tell()
        if not lines:
            why = "no run is open: enter opens one among the runs"
            if self.bench.run:
                filtered = bool(self._filters["events"])
                why = "no event holds that; esc shows all" if filtered else "nothing yet: the worker is starting"
            yield from _note(why, width)
            return
        shown = self._scrolled["events"].view(len(lines), height)
        self._shown_of(shown, len(lines))
        visible = [lines[i] for i in shown]
        steps = max(len(f"{t.step:,}") if t.step is not None else 0 for t in visible)
        kinds = max(len(t.kind) for t in visible)
        days = {t.at.date() for t in (lines[0], lines[-1]) if t.at}
        form = "%H:%M:%S" if len(days) < 2 else "%m-%d %H:%M"
        clock = len(f"{datetime.min:{form}}") + GAP
        timed = width >= clock + steps + GAP + kinds + GAP + 24
        for t in visible:
            left: list[Run] = []
            if timed:
                left.append((f"{t.at:{form}}  " if t.at else " " * clock, "dim"))
            left.append((("" if t.step is None else f"{t.step:,}").rjust(steps) + "  ", "value"))
            left.append((fit(t.kind, kinds) + "  ", t.ink))
            room = width - sum(len(text) for text, _ in left)
            yield [*left, (fit(t.what, max(room, 1)), t.ink if t.ink in ("bad", "warn", "edit", "dim") else "")]

    def _tell(self) -> list[Told]:
        """The open run's events as lines, those that hold the filter's text."""
        lines = self._tale.lines(self.bench.run.events if self.bench.run else ())
        text = self._filters["events"].lower()
        return [t for t in lines if text in f"{t.step} {t.kind} {t.what}".lower()] if text else lines

    def _draw_log(self, width: int, height: int) -> Iterator[Sequence[Run]]:
        path, tail = self._log_of
        run = self.bench.run
        if run is None or tail is None or path != run.path or not tail.lines:
            why = "worker.log is empty: the worker has had nothing to complain about"
            if run is None:
                why = "no run is open: enter opens one among the runs"
            elif tail is None or path != run.path:
                why = plain(self._log.error) or "reading worker.log …"
            yield from _note(why, width)
            return
        text = self._filters["log"].lower()
        if self._wrapped[0] != (path, tail.stamp, width, text):
            found = [line for line in tail.lines if text in line.lower()] if text else tail.lines
            self._wrapped = ((path, tail.stamp, width, text), [part for line in found for part in wrap(line, width)])
        lines = self._wrapped[1]
        shown = self._scrolled["log"].view(len(lines), height)
        self._shown_of(shown, len(lines))
        if tail.cut:
            self._caption += f" (the last {worker_log.MOST // 1024} KB)"
        yield from ([(lines[i], "")] for i in shown)

    # ------------------------------------------------------------------------------- moving about

    @property
    def _here(self) -> Listed | Scrolled:
        return self._list if self._view == "runs" else self._scrolled[self._view]

    def action_move(self, by: int) -> None:
        self._here.move(by)
        self._moved()

    def action_page(self, by: int) -> None:
        self._here.page(by)
        self._moved()

    def action_ends(self, by: int) -> None:
        self._here.to_end(by)
        self._moved()

    def _moved(self) -> None:
        if self._view == "runs" and (rows := self.rows()):
            self._chosen = rows[min(self._list.at, len(rows) - 1)].path
        self.redraw()

    def action_log(self) -> None:
        self._view = NEXT[self._view]
        self._look(now=True)
        self.redraw()

    @work
    async def action_filter(self) -> None:
        view = self._view
        words = "Only the lines that hold this text, in any case; nothing shows all."
        text = await self.main.app.push_screen_wait(Line(f"Filter the {view}", words, self._filters[view]))
        if text is not None:
            self._filters[view] = text.strip()
            self.redraw()

    def leave(self) -> bool:
        """Escape takes the filter away."""
        had, self._filters[self._view] = self._filters[self._view], ""
        if had:
            self.redraw()
        return bool(had)

    def on_click(self, event: events.Click) -> None:
        where = event.get_content_offset(self)
        if where is None or self._view != "runs":
            return
        rows, at = self.rows(), self._list.top + where.y - self._first_line
        if where.y >= self._first_line and at < len(rows):
            self._chosen = rows[at].path
            self.redraw()
            if event.chain == 2:
                self.action_open()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-WHEEL)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(WHEEL)

    # ------------------------------------------------------------------------------- what keys do to a run

    def _chosen_row(self) -> Row | None:
        """The run under the cursor; None, and a word about it, where there is none."""
        if self._view == "runs":
            row = next((row for row in self.rows() if row.path == self._chosen), None)
            if row is None:
                self.bench.tell("no run is under the cursor")
        else:
            row = None
            self.bench.tell("e leads back to the runs: this acts on the one under the cursor there")
        return row

    def _say(self, text: str, level: Level = "said") -> None:
        """Tell what holds names that anyone may have given."""
        self.bench.tell(plain(text), level)

    def action_open(self) -> None:
        row = self._chosen_row()
        if row is not None:
            self._open(row)
        self.main.refresh_now("overlays")

    def _open(self, row: Row) -> bool:
        try:
            if any(run.path == row.path for run in self.bench.overlays):
                self.main.toggle_overlay(row.path)
            self.main.open_run(row.path)
        except (WorkbenchError, OSError) as error:
            self._say(f"{row.name} cannot be opened: {error}", "error")
            return False
        return True

    async def open_to_resume(self) -> bool:
        """Make the run under the cursor the open one, and wait until its files have been read once."""
        if self._view != "runs":
            return True
        row, bench = self._chosen_row(), self.bench
        if row is None:
            return bench.run is not None
        if (bench.run is None or bench.run.path != row.path) and not self._open(row):
            self.main.refresh_now("overlays")
            return False
        while bench.run is not None and bench.run.path == row.path and bench.run.reading:
            await asyncio.sleep(0.02)
        return bench.run is not None and bench.run.path == row.path

    def action_overlay(self) -> None:
        row, bench = self._chosen_row(), self.bench
        if row is not None:
            there = any(run.path == row.path for run in bench.overlays)
            try:
                if not there and len(bench.overlays) >= MOST_OVERLAYS:
                    bench.tell(
                        f"{MOST_OVERLAYS} runs are drawn over this one already: o takes one of them away", "warning"
                    )
                else:
                    self.main.toggle_overlay(row.path)
            except (WorkbenchError, OSError) as error:
                self._say(f"{row.name} cannot be opened: {error}", "error")
        self.main.refresh_now("overlays")

    @work
    async def action_delete(self) -> None:
        row, bench = self._chosen_row(), self.bench
        if row is not None and bench.read_only:
            bench.tell("read-only: this screen looks and does not delete", "warning")
        elif row is not None and (why := removal.refusal(row.path)):
            self._say(why, "warning")
        elif row is not None:
            size = amount(await asyncio.to_thread(removal.size_of, row.path))
            words = (
                f"{row.name}: {row.step:,} steps, {row.state}; {size} of records, checkpoints and log. "
                "Nothing brings it back."
            )
            options = [("n", "keep it"), ("y", "delete it for good")]
            if await self.main.app.push_screen_wait(Choice("Delete this run?", plain(words), options)) == "y":
                await self._delete(row, size)
        self.main.refresh_now("run", "overlays", "status")

    async def _delete(self, row: Row, size: str) -> None:
        bench = self.bench
        try:
            await asyncio.to_thread(removal.remove, row.path)
        except WorkbenchError as error:
            self._say(str(error), "error")
        else:
            self._say(f"{row.name} is deleted: {size} freed")
            if any(run.path == row.path for run in bench.overlays):
                self.main.toggle_overlay(row.path)
            if bench.launch and bench.launch.run == row.path:
                bench.launch = None
            if bench.run is not None and bench.run.path == row.path:
                self.main.close_run()
            if self._shelf.found is not None:
                self._shelf.found = tuple(kept for kept in self._shelf.found if kept.path != row.path)
        self._look(now=True)


def _note(text: str, width: int, ink: str = "dim") -> Iterator[Sequence[Run]]:
    """What stands where there is nothing to show."""
    yield from told(text, max(width, 10), ink)
