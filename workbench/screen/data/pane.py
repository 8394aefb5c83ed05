"""The Data pane: the texts there are, the one that is learnt from in figures, and how its training text begins."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from textual import events, work

from workbench.data import catalog
from workbench.screen import keys
from workbench.screen.data.corpus_facts import Preview, facts_of, floor_facts, flow, prompt_trouble, why_split
from workbench.screen.data.shelf import Item, Shelf, choice, counted, short
from workbench.screen.frame.lined import Run
from workbench.screen.frame.paragraph import beside, told
from workbench.screen.frame.slots import DATA
from workbench.screen.glyphs import fit, plain
from workbench.screen.pane import Pane

if TYPE_CHECKING:
    from workbench.screen.bench.bench import Bench

SIDE_BY_SIDE = 64
"""Columns from which the list and the corpus stand side by side."""
LIST, LIST_COUNTED = 36, 62
"""Columns of the list; of one that shows tokens and vocabulary too, from this many columns on:"""
COUNTED_FROM = 100
LIST_SPELT = 40
"""Columns of a list that has room for whole words."""
SEEN_TEXT = 2
"""Lines that are kept for the training text."""
LOOK_AFTER = 0.5
"""Seconds until the other texts are looked for: the first paint comes first."""
BROUGHT = ("data.dataset", "data.text", "data.split", "data.layout")
"""What a choice brings with it, and takes away again when another is staged."""

Line = list[Run]


class Data(Pane):
    number = DATA
    concerns = frozenset({"text", "knobs", "run", "launch", "status"})
    BINDINGS = keys.bindings(DATA)

    def __init__(self, bench: "Bench") -> None:
        super().__init__(bench)
        self.shelf = Shelf(bench)
        self._edges = False
        self._top = 0
        self._preview: Preview | None = None
        self._prompt_trouble = ""
        self._list_at = (0, 0)
        self._hidden = False
        self._said = ""
        self._to_fit: Item | None = None
        """What was chosen and is still to be read."""

    def on_mount(self) -> None:
        self._prepare()
        self.set_timer(LOOK_AFTER, self._look_further)

    def _prepare(self) -> None:
        """Read what the next drawing shows."""
        self.shelf.look()
        corpus = self.bench.text.corpus
        if corpus is None:
            self._preview, self._prompt_trouble = None, ""
        else:
            if self._preview is None or self._preview.corpus is not corpus:
                self._preview = Preview(corpus)
            self._prompt_trouble = prompt_trouble(self.bench.now, corpus)

    def redraw(self) -> None:
        if self.is_attached and self.display:
            self._prepare()
        super().redraw()
        error = self.bench.text.error
        if self._hidden and error != self._said:
            # A small pane shows the beginning; what to do stands at the end.
            self.bench.tell(error, "error")
        self._said = error

    def heard(self, changed: set[str]) -> None:
        self._fit_prompt()
        super().heard(changed)
        if changed & {"knobs", "run"}:
            self._look_further()

    @work(thread=True, exclusive=True, group="shelf")
    def _look_further(self) -> None:
        """Count the other texts where their tokens are kept, away from the thread that draws."""
        for item, data in self.app.call_from_thread(self.shelf.unseen):
            self.app.call_from_thread(self.shelf.learn, item, data, counted(data))
        self.app.call_from_thread(self.redraw)

    def on_resize(self) -> None:
        self.redraw()  # for the caption: how much of the list is shown depends on the size

    # ------------------------------------------------------------------------------- drawing

    def draw(self, width: int, height: int) -> Iterable[Sequence[Run]]:
        self._hidden = False
        if width >= SIDE_BY_SIDE:
            return self._beside(width, height)
        return self._below(width, height)

    def _beside(self, width: int, height: int) -> list[Line]:
        left = LIST_COUNTED if width >= COUNTED_FROM else LIST
        rows = self._list(left, height)
        under = self.shelf.under_cursor
        if len(rows) + 2 <= height and (self.has_focus or under != self.shelf.chosen):
            rows += [[], *self._about(under, left)]
        right = self._corpus(width - left - 3, height)
        return beside(rows + [[]] * (height - len(rows)), left, right, " │ ")

    def _below(self, width: int, height: int) -> list[Line]:
        trouble = bool(self.bench.text.error or (self.bench.text.phase and not self.bench.text.corpus))
        room = max(height - 3, 2) if self.has_focus else max(height // 3, 1)
        if trouble:
            room = 1
        rows = self._list(width, room)
        left = height - len(rows)
        under = self.shelf.under_cursor
        if self.has_focus and under != self.shelf.chosen:
            return rows + self._about(under, width)[:left]
        return rows + self._corpus(width, left)

    def _list(self, width: int, height: int) -> list[Line]:
        """At most `height` rows of the list, the cursor's or else the chosen one's among them."""
        shelf = self.shelf
        at = shelf.cursor if self.has_focus else shelf.items.index(shelf.chosen)
        last = max(len(shelf.items) - height, 0)
        self._top = min(max(min(self._top, at), at - height + 1), last)
        shown = shelf.items[self._top : self._top + height]
        self._list_at = (self._top, len(shown))
        return [self._row(item, width) for item in shown]

    def _row(self, item: Item, width: int) -> Line:
        shelf = self.shelf
        known = shelf.known[item]
        chosen, staged = item == shelf.chosen, item == shelf.staged
        mark, ink = ("● ", "good") if chosen else ("* ", "staged") if staged else ("  ", "")
        counted = width >= LIST_COUNTED
        wide = width >= LIST_SPELT
        place = 13 if wide else 8
        name = max(width - 2 - 11 - 1 - place - (22 if counted else 0), 6)
        size = f"{short(known.characters)} chars" if known.characters is not None else "–"
        where, place_ink = self._place(item, wide)
        under = "cursor" if self.has_focus and item == shelf.under_cursor else "value" if chosen else ""
        line: Line = [(mark, ink), (fit(item.name, name), under), (size.rjust(11), "")]
        if counted:
            line += [(f"{short(known.tokens)} tokens".rjust(13) if known.tokens is not None else " " * 13, "dim")]
            line += [(f"V {known.vocabulary:,}".rjust(9) if known.vocabulary is not None else " " * 9, "dim")]
        return [*line, (" ", ""), (fit(where, place), place_ink)]

    def _place(self, item: Item, spelt: bool) -> Run:
        """Where a text is; for the one that is made ready, how far it is. In 13 columns if `spelt`, else in 8."""
        if item == self.shelf.staged:
            return "staged", "staged"
        if item == self.shelf.chosen and Item.of(self.bench.text.data) == item:
            text = self.bench.text
            if text.corpus is None and text.phase:
                word, _, rest = text.phase.partition(" ")
                share = rest.rpartition(" ")[2]
                done = share.endswith("%")
                return (f"{word[:8]} {share}" if spelt else share) if done else f"{word[:7]}…", "warn"
            if text.error and text.corpus is None:
                return "error", "bad"
        place = self.shelf.places[item]
        if place == "to fetch":
            return "to be fetched" if spelt else place, "warn"
        return (place, "dim") if place else ("gone", "bad")

    def _about(self, item: Item, width: int) -> list[Line]:
        """What a text is, and what enter does with it, first of all."""
        dataset = catalog.DATASETS.get(item.value)
        fetch = dataset if dataset and self.shelf.places[item] == "to fetch" else None
        what = f"enter fetches {fetch.bytes:,} bytes" if fetch else "enter takes it"
        lines = told(what, width, "key") if item != self.shelf.chosen else []
        lines += told(item.about, width, "")[:6]
        return lines + (told(f"from {fetch.url}", width, "dim") if fetch else [])

    def _corpus(self, width: int, height: int) -> list[Line]:
        """What is learnt from: why it is not ready, or its figures and how it begins."""
        text = self.bench.text
        if text.error:
            lines = told(text.error, width, "bad")
            if text.corpus is None:
                lines += told("enter tries again · o another file", width, "key")
            self._hidden = len(lines) > height
            return lines
        if text.corpus is None:
            return self._waiting(width)
        corpus, preview = text.corpus, self._preview
        if preview is not None and preview.corpus is not corpus:
            preview = None
        warnings = (text.misfit, self._prompt_trouble, preview.error if preview else "")
        lines = [line for words in warnings if words for line in told(words, width, "warn")]
        floors = flow(floor_facts(text.floors, text.exact), width)
        if text.phase:
            floors.append([(fit(f"floors: {text.phase}", width), "dim")])
        lines += flow(facts_of(corpus), width)
        rest = [told(why_split(text.data, corpus), width, "dim"), floors]
        for block in (*rest, *(told(note, width, "dim") for note in corpus.notes)):
            # Half a sentence says nothing: what would leave no room for the text is left out whole.
            if len(lines) + len(block) + SEEN_TEXT <= height:
                lines += block
        room = height - len(lines)
        if room > 0 and preview is not None:
            if room > SEEN_TEXT + 1:
                title = "the tokens of the training text" if self._edges else "the training text begins"
                lines.append([(fit(title, width), "title")])
            bars = self._edges and bool(self.app.current_theme.ansi)
            lines += preview.lines(width, height - len(lines), edges=self._edges, bars=bars)
        return lines

    def _waiting(self, width: int) -> list[Line]:
        text = self.bench.text
        if text.phase:
            words, _, share = text.phase.rpartition(" ")
            if not share.endswith("%"):
                return [[(fit(text.phase, width), "warn")], [("x", "key"), (" cancels", "dim")]]
            done = int(share[:-1]) if share[:-1].isdecimal() else 0
            room = max(width - 5, 1)
            full = room * min(done, 100) // 100
            return [
                [(fit(words, width), "warn")],
                [("█" * full, "title"), ("░" * (room - full), "dim"), (share.rjust(5), "value")],
                [("x", "key"), (" cancels", "dim")],
            ]
        if text.to_fetch:
            dataset = catalog.DATASETS[text.data.dataset]
            return told(f"enter fetches {dataset.bytes:,} bytes from {dataset.url}", width, "key")
        return [[(fit("not read yet: enter reads it", width), "key")]]

    def caption(self) -> str:
        if self._hidden:
            return "0 shows all of it"
        if self.shelf.staged:
            return f"staged: {plain(self.shelf.staged.name)}: a"
        top, shown = self._list_at
        count = len(self.shelf.items)
        return f"{top + 1}–{top + shown} of {count}" if shown < count else f"{count} texts"

    # ------------------------------------------------------------------------------- keys

    def action_move(self, by: int) -> None:
        self.shelf.move(by)
        self.redraw()

    def action_choose(self) -> None:
        self.choose(self.shelf.under_cursor)

    def choose(self, item: Item) -> None:
        """Make it the corpus, with what must change with it; fetch it where it is not here."""
        bench = self.bench
        if bench.read_only:
            bench.tell("read-only: this screen looks and does not steer", "warning")
        elif item == self.shelf.chosen and not self.shelf.staged:
            self._again()
        else:
            staged = bench.staged
            bench.staged = {key: value for key, value in staged.items() if key not in BROUGHT}
            changes, words = choice(bench.proposed, item) if item != self.shelf.chosen else ({}, [])
            if bench.change(changes):
                self._told(item, words)
                self._to_fit = None if bench.alive else item
                self._fit_prompt()
            else:
                bench.staged = staged
        self.main.refresh_now("rows", "text", "knobs", "status")

    def _fit_prompt(self) -> None:
        """A prompt with characters that the chosen text lacks would end a run before it began: samples then start
        from a newline, which any text can. Known once the text has been read."""
        bench = self.bench
        if self._to_fit is None or bench.alive or bench.text.corpus is None:
            return
        if self._to_fit == Item.of(bench.draft.data) and prompt_trouble(bench.draft, bench.text.corpus):
            was = bench.draft.sample.prompt
            if bench.change({"sample.prompt": "\n"}):
                bench.tell(f"prompt = ↵ ({plain(was)} has characters that {plain(self._to_fit.name)} lacks)", "warning")
        self._to_fit = None

    def _again(self) -> None:
        text = self.bench.text
        if text.corpus is None and not text.phase:
            text.fetch()
        else:
            self.bench.tell(f"{plain(self.shelf.chosen.name)} is chosen already")

    def _told(self, item: Item, words: list[str]) -> None:
        bench = self.bench
        also = f"; with it {', '.join(words)}" if words else ""
        if bench.alive:
            if item == self.shelf.chosen:
                bench.tell(f"{plain(item.name)}: the run keeps it")
            else:
                bench.tell(f"{plain(item.name)} is staged{also}. It needs a new run: a asks for one", "warning")
        elif bench.text.to_fetch and bench.text.corpus is None:
            bench.text.fetch()
            bench.tell(f"fetching {plain(item.name)}{also}")
        elif words:
            bench.tell(f"{plain(item.name)}{also}")

    @work
    async def action_open(self) -> None:
        from workbench.screen.dialogs.open import OpenPath

        if self.bench.read_only:
            self.bench.tell("read-only: this screen looks and does not steer", "warning")
            self.main.refresh_now("status")
            return
        answer = await self.app.push_screen_wait(OpenPath(self.bench.now, Path.cwd()))
        if answer is not None:
            self.choose(answer)

    def action_edges(self) -> None:
        self._edges = not self._edges
        self.redraw()

    def action_cancel(self) -> None:
        text = self.bench.text
        if not text.phase:
            self.bench.tell("nothing is being fetched or read")
        elif text.corpus is None:
            text.cancel()
        else:
            text.close()
            self.bench.tell("the floors are not counted")
        self.main.refresh_now("text")

    # ------------------------------------------------------------------------------- mouse

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        top, shown = self._list_at
        if offset is None or offset.y >= shown:
            return
        self.shelf.cursor = top + offset.y
        if event.chain == 2:
            self.choose(self.shelf.under_cursor)
        self.redraw()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-1)
