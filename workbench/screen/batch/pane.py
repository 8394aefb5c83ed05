"""The Batch pane: the true x and y of a step, where they were cut, what each cell asks and what it cost."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import events

from workbench.errors import WorkbenchError
from workbench.runs.inspections import Inspected
from workbench.screen import keys
from workbench.screen.batch import lines as batch_lines
from workbench.screen.batch.cuts import ruler
from workbench.screen.batch.grid import Cells, Columns, inks_of_x, inks_of_y, shades
from workbench.screen.batch.ladder import Asks, guesses_line, guesses_list, rungs, sentence
from workbench.screen.batch.sheet import Page, Sheet, Sheets
from workbench.screen.frame.lined import Run
from workbench.screen.frame.paragraph import beside, paragraph
from workbench.screen.frame.slots import BATCH
from workbench.screen.glyphs import fit
from workbench.screen.pane import Pane

if TYPE_CHECKING:
    from workbench.screen.bench.bench import Bench

Line = Sequence[Run]

SIDE = 38
"""Columns beside the grid from which on the causal ladder stands there."""
TALL = 24
"""Lines of the pane from which on the ladder stands below the grid, where there is no room beside it."""

LABEL = 13
"""About what stands before x and y."""
ABOVE, BELOW = ("header", "ruler"), ("mean", "sentence", "guesses", "text", "strip")
"""The lines around the grid, from the top."""


@dataclass
class Place:
    """Where the grid was drawn last, for the mouse and for paging."""

    top: int = 0
    left: int = 0
    per_row: int = 2
    rows: tuple[int, int] = (0, 0)
    columns: Columns = Columns(0, 0, 1, 0)  # noqa: RUF009 - it is frozen


class Batch(Pane):
    number = BATCH
    BINDINGS = keys.bindings(BATCH)
    concerns = frozenset({"rows", "run", "text", "knobs", "looked", "records", "status", "events"})

    def __init__(self, bench: "Bench") -> None:
        super().__init__(bench)
        self._sheets = Sheets(bench)
        self._row, self._t = 0, 5
        self._ids = False
        self._first = self._column = 0
        """The first row and column that are shown, until the cursor moves them."""
        self._place = Place()

    # ------------------------------------------------------------------------------- keys and mouse

    def action_cursor(self, right: int, down: int) -> None:
        self._move(self._row + down, self._t + right)

    def action_page(self, by: int) -> None:
        begin, end = self._place.rows
        self._first += by * (end - begin)
        self._move(self._row + by * max(1, end - begin), self._t)

    def _move(self, row: int, t: int) -> None:
        sheet = self._sheets.now()
        if isinstance(sheet, Sheet):
            self._row = min(max(row, 0), len(sheet.offsets) - 1)
            self._t = 0 if sheet.windows else min(max(t, 0), sheet.T - 1)
            self.redraw()

    def action_ids(self) -> None:
        self._ids = not self._ids
        self.redraw()

    def action_shade(self) -> None:
        bench = self.bench
        if not bench.alive:
            bench.tell("losses come from a worker: space starts a run", "warning")
        else:
            bench.looking.ask()
            paused = bench.run is not None and bench.run.state == "paused"
            bench.tell("the next step will show its losses" + (": > makes it" if paused else ""))
        self.main.refresh_now("status")

    def action_follow(self) -> None:
        self.bench.step, self.bench.starts = None, None
        self.main.refresh_now("rows")

    def leave(self) -> bool:
        """Typed starts are left for the record's own rows."""
        if self.bench.starts is None:
            return False
        self.bench.starts = None
        self.main.refresh_now("rows")
        return True

    def on_click(self, event: events.Click) -> None:
        at, place = event.get_content_offset(self), self._place
        if at is None or not place.columns.T:
            return
        row = place.rows[0] + (at.y - place.top) // place.per_row
        if at.y < place.top or row >= place.rows[1]:
            return
        t = place.columns.begin + (at.x - place.left - place.columns.cut) // place.columns.width
        self._move(row, t if at.x >= place.left and t < place.columns.end else self._t)

    def on_resize(self) -> None:
        self.redraw()  # the caption is made for a width

    def on_mouse_scroll_down(self) -> None:
        self._move(self._row + 1, self._t)

    def on_mouse_scroll_up(self) -> None:
        self._move(self._row - 1, self._t)

    # ------------------------------------------------------------------------------- drawing

    def caption(self) -> str:
        sheet = self._sheets.now()
        if not isinstance(sheet, Sheet):
            return ""
        try:
            return batch_lines.caption(
                sheet,
                self._sheets.inspected(sheet),
                self._place.rows,
                chosen=self.bench.step is not None and self.bench.run is not None,
                width=self.size.width - 2,
            )
        except (WorkbenchError, OSError):  # draw tells it
            return ""

    def draw(self, width: int, height: int) -> Iterable[Line]:
        sheet = self._sheets.now()
        if isinstance(sheet, Sheet):
            try:
                return self._sheet(sheet, width, height)
            except (WorkbenchError, OSError) as error:
                sheet = str(error)
        self._place = Place()
        return [[(line, "warn" if n == 0 else "")] for n, line in enumerate(paragraph(sheet, max(width, 1)))]

    def _sheet(self, sheet: Sheet, width: int, height: int) -> list[Line]:
        plain = self.app.no_color or self.app.current_theme.ansi is True
        told = self._sheets.inspected(sheet)
        if told is not None and not sheet.agrees(told):
            told = None
        self._row = min(self._row, len(sheet.offsets) - 1)
        t = self._t = 0 if sheet.windows else min(self._t, sheet.T - 1)
        per_row = (1 if sheet.windows else 2) + (1 if told is not None and plain else 0)

        wanted = self._extras(sheet, told, height, per_row)
        room = height - len(wanted)
        begin, end = self._shown(len(sheet.offsets), max(1, room // per_row))
        page = sheet.page(begin, end)
        cells = Cells.of(page.pieces, width - LABEL, ids=self._ids, plain=plain)
        grid = Grid(
            sheet, page, cells, told, width, cursor=(self._row, t), column=self._column, done=self._done(sheet),
            plain=plain,
        )  # fmt: skip
        self._column = grid.columns.begin
        asks = grid.asks(self._row)
        aside = width - grid.width - 3
        if aside < SIDE and height >= TALL:
            kept = max(1, min(end - begin, (room // 2) // per_row))
            begin = min(max(begin, self._row - kept + 1), self._row) if kept < end - begin else begin
            end = min(end, begin + kept)
        top = int("header" in wanted) + int("ruler" in wanted)
        self._place = Place(top, grid.label, per_row, (begin, end), grid.columns)

        rows: list[Line] = [line for row in range(begin, end) for line in grid.row(row)]
        spare = room - len(rows)
        if aside >= SIDE:
            rows = [*beside(rows, grid.width + 3, self._ladder(asks, t, aside, room))]
        elif spare >= 4 and not sheet.windows:
            rows += self._ladder(asks, t, width, spare)
        rows += [[]] * (room - len(rows))

        lines: dict[str, Line] = {"sentence": sentence(asks[t], width)}
        if "header" in wanted:
            lines["header"] = batch_lines.header(sheet, width)
        if "ruler" in wanted:
            lines["ruler"] = grid.ruler()
        if "strip" in wanted:
            lines["strip"] = batch_lines.strip_line(sheet, self._row, width)
        if "text" in wanted:
            lines["text"] = batch_lines.text_line(sheet, self._row, t, width)
        if told is not None:
            lines["mean"] = batch_lines.mean_line(told, self._sheets.logged(sheet), sheet.vocab, width, plain=plain)
            lines["guesses"] = guesses_line(asks[t], width)
        elif "mean" in wanted:
            lines["mean"] = [("no losses: ", "warn"), (fit(self.bench.looking.error, max(1, width - 11)), "")]
        above, below = ([lines[name] for name in names if name in wanted] for names in (ABOVE, BELOW))
        return above + rows + below

    def _extras(self, sheet: Sheet, told: Inspected | None, height: int, per_row: int) -> list[str]:
        """The lines around the grid that there is room for, the most telling first; at least half is the grid's."""
        need = len(sheet.offsets) * per_row
        least = need if need <= 0.7 * height else max(per_row, height // 2 // per_row * per_row)
        names = ["header", "sentence", "strip", "mean", "guesses", "text", "ruler"]
        if told is None:
            names = [name for name in names if name != "guesses" and (name != "mean" or self.bench.looking.error)]
        if sheet.windows:
            names.remove("ruler")
        return names[: max(0, height - least)]

    def _shown(self, rows: int, most: int) -> tuple[int, int]:
        """Which rows are on the screen: as they were scrolled, and the cursor's among them."""
        most = min(most, rows)
        first = min(max(self._first, self._row - most + 1), self._row)
        self._first = min(max(first, 0), rows - most)
        return self._first, self._first + most

    def _ladder(self, asks: Asks, t: int, width: int, height: int) -> list[Line]:
        """What the cursor's row asks, and, beside a tall grid, what the model guessed there."""
        if height < 2:
            return []
        guesses = guesses_list(asks[t], min(width, 50)) if height >= len(asks) + 8 else []
        if guesses:
            guesses.insert(0, [("the model's guesses", "dim")])
        titled = height - len(guesses) != len(asks)  # a ladder that just fits goes without
        what = f"row {self._row} asks {len(asks)} question{'s' if len(asks) > 1 else ''}"
        title: list[Line] = [[(what, "dim")]] if titled else []
        return [*title, *rungs(asks, t, width, height - len(title) - len(guesses)), *guesses]

    def _done(self, sheet: Sheet) -> int:
        """Micro-batches of the shown step that are trained on, while it is under way."""
        run = self.bench.run
        inside = run.status.inside if run and run.status else None
        return inside["micro"] if run and inside and sheet.step == len(run.curves) else 0


class Grid:
    """The rows of a page as lines: x above y, or x → y on one line with the `windows` layout."""

    def __init__(
        self, sheet: Sheet, page: Page, cells: Cells, told: Inspected | None, width: int, *, cursor: tuple[int, int],
        column: int, done: int, plain: bool,
    ) -> None:  # fmt: skip
        self._sheet, self._page, self._cells, self._told = sheet, page, cells, told
        self._cursor, self._plain = cursor, plain
        rows = range(page.begin, page.begin + len(page.x))
        for short in (False, True, False):  # short only where the whole row fits then
            self._labels = [batch_lines.labels(sheet, row, short=short, done=done) for row in rows]
            if sheet.windows:
                self._labels = [(f"{row} {offset}", "") for row, offset in self._labels]
            self._wide = max(len(label) for both in self._labels for label in both)
            self.label = self._wide + 4
            room = width - self.label - (cells.width + 3 if sheet.windows else 0)
            if sheet.T * cells.width <= room:
                break
        keep = sheet.T - 1 if sheet.windows else cursor[1]
        self.columns = Columns.fitting(sheet.T, cells.width, max(room, cells.width + 2), keep, column)

    @property
    def width(self) -> int:
        columns = self.columns
        asked = 3 + self._cells.width if self._sheet.windows else 0
        return self.label + (columns.end - columns.begin) * columns.width + 2 * columns.cut + asked

    def asks(self, row: int) -> Asks:
        pieces, at = self._page.pieces, row - self._page.begin
        x, y = ([pieces[id] for id in ids[at]] for ids in (self._page.x, self._page.y))
        return Asks(self._sheet, x, y, row, self._told)

    def ruler(self) -> list[Run]:
        columns = self.columns
        every = 1 if columns.width > 8 else 4 if columns.width > 4 or columns.T <= 16 else 8
        numbers = ruler(columns.begin, columns.end - columns.begin, columns.width, every)
        return [("t".rjust(self.label - 1) + " ", "dim"), *columns.framed([(numbers, "dim")])]

    def row(self, row: int) -> list[Line]:
        sheet, at = self._sheet, row - self._page.begin
        x, y = self._page.x[at], self._page.y[at]
        here = row == self._cursor[0]
        t = self._cursor[1] if here else None
        levels = None if self._told is None else shades(self._told.losses[row].reshape(-1), sheet.vocab).tolist()
        inks = inks_of_y(len(y), t, levels)
        if sheet.windows:
            given = self._cells.row(x, self.columns, ["past" if here else ""] * len(x))
            label = self._label(self._labels[at][0], here, "x")
            asked = self._cells.text(y[0])
            only = Columns(0, 1, self._cells.width, 1)
            lines: list[Line] = [[*label, *self.columns.framed(given), (" → ", "dim"), (asked, inks[0])]]
            if levels is not None and self._plain:
                lines.append([(" " * (self.width - self._cells.width), ""), *self._cells.bars(levels, only)])
            return lines
        framed = self.columns.framed
        above = self._cells.row(x, self.columns, inks_of_x(len(x), t))
        below = self._cells.row(y, self.columns, inks)
        lines = [
            [*self._label(self._labels[at][0], here, "x"), *framed(above)],
            [*self._label(self._labels[at][1], False, "y"), *framed(below)],
        ]
        if levels is not None and self._plain:
            lines.append([(" " * self.label, ""), *framed(self._cells.bars(levels, self.columns))])
        return lines

    def _label(self, text: str, here: bool, name: str) -> list[Run]:
        return [
            ("▸" if here else " ", "mark"),
            (text.ljust(self._wide) + " ", "" if here else "dim"),
            (name + " ", "title" if name == "x" else "val"),
        ]
