"""The Knobs pane: every setting, what is staged, and what it comes to before it is applied."""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from textual import events, work

from workbench import preset as presets
from workbench.preset import Key, Preset
from workbench.screen import keys
from workbench.screen.bench.edits import THREE, flat, number, shown
from workbench.screen.frame.lined import Run
from workbench.screen.frame.paragraph import beside, told
from workbench.screen.frame.slots import KNOBS
from workbench.screen.glyphs import ELLIPSIS, fit, plain
from workbench.screen.knobs import consequences, knobs, lr_rules
from workbench.screen.pane import Pane

Line = list[Run]
TWO_COLUMNS = 70
"""Columns from which the consequences stand beside the list, and not under it."""
WITH_DOCS = 62
"""Columns of the list from which every key says what it means."""
LOW = 10
"""Rows under which nothing is spent on what a key means."""
NAME = 17
"""Columns of a key's name: `checkpoint every` and a space."""
NEW_RUN = "new run"
DRAG = 3
"""Columns of a drag that make one step less or more."""


class Knobs(Pane):
    number = KNOBS
    concerns = frozenset(("knobs", "run", "status", "text", "launch", "events", "time"))
    BINDINGS = keys.bindings(KNOBS)

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.selected = "batch.B"
        """The dotted key that the cursor stands on."""
        self.differing = False
        """What differs from the loaded preset stands in place of the list."""
        self._top = 0
        self._follow = True
        self._live: list[Key] = []
        self._dead: list[Key] = []
        self._shown: list[str] = []
        self._dragged: tuple[int, int] | None = None

    # ------------------------------------------------------------------------------- drawing

    def draw(self, width: int, height: int) -> Iterable[Sequence[Run]]:
        now, then = self.bench.as_new, self.bench.proposed
        self._live, self._dead = knobs.keys_of(then)
        if width < TWO_COLUMNS:
            return self._stacked(now, then, width, height)
        wide = min(max(width // 2, 38), 84)
        listed, right = self._list(now, then, wide, height), self._comes_to(now, then, width - wide - 3)
        if wide < WITH_DOCS:
            right += [[], *told(self._meaning(), width - wide - 3, "dim")]
        _cut(right, height)
        return beside(listed + [[]] * (height - len(listed)), wide, right, " │ ")

    def _stacked(self, now: Preset, then: Preset, width: int, height: int) -> list[Line]:
        """The list, under it what the chosen key means and what the settings come to; all of that while it fits."""
        below = self._comes_to(now, then, width)
        if height < LOW:
            spare = min(len(below), max(height - 4, 0))
            return self._list(now, then, width, height - spare) + below[:spare]
        # What is staged is there to be weighed: what it comes to gets the more room.
        listed = self._list(now, then, width, max(height - len(below) - 1, height // (3 if self.bench.staged else 2)))
        rule: Line = [(f"{fit(f'─ {self._meaning()}', width - 1).rstrip()} ".ljust(width, "─"), "axis")]
        _cut(below, height - len(listed) - 1)
        return [*listed, rule, *below]

    def _meaning(self) -> str:
        key = presets.KEYS[self.selected]
        return f"{key.leaf}: {key.doc}"

    def facts(self) -> set[str]:
        return {"scaled"} if lr_rules.scaled(self.bench) else set()

    def caption(self) -> str:
        names = self._lines()
        if self.differing or not names:
            return "w: back to the knobs" if self.differing else ""
        at = names.index(self.selected) if self.selected in names else 0
        at += at < len(self._live)  # the line between the two kinds is none of them
        return (
            f"{self.selected} · {'live' if self.bench.can_live(self.selected) else NEW_RUN} · {at} of {len(names) - 1}"
        )

    def _list(self, now: Preset, then: Preset, width: int, height: int) -> list[Line]:
        if self.differing:
            lines = self._differences(then, width)
            self._top, self._shown = min(self._top, max(len(lines) - height, 0)), []
            return lines[self._top : self._top + height]
        names = self._lines()
        if self._follow and self.selected in names:
            at = names.index(self.selected)
            self._top = min(max(self._top, at - height + 1), at)
        self._top = min(self._top, max(len(names) - height, 0))
        self._shown = names[self._top : self._top + height]
        leaves = [key.leaf for key in (*self._live, *self._dead)]
        before, after = flat(now), flat(then)
        three = max(len(shown(after[name])) for name in THREE)

        def line(name: str) -> Line:
            if not name:
                return [("─ these need a new run ".ljust(width, "─"), "axis")]
            key = presets.KEYS[name]
            alone = leaves.count(key.leaf) == 1 or name in knobs.FIRST
            here = name == self.selected
            ink = "select" if here else ""
            room = 30 if width >= WITH_DOCS else width - NAME - 1
            value = self._turned(key, before.get(name), after.get(name), room, three)
            rest = width - NAME - 1 - sum(cell_len(text) for text, _ in value)
            called = key.leaf if alone else f"{key.table} {key.leaf}"
            drawn = [("▸" if here else " ", "mark"), (called.ljust(NAME), ""), *value, *self._told_of(key, rest, room)]
            return [(text, f"{style} {ink}".strip()) for text, style in drawn]

        return [line(name) for name in self._shown]

    def _turned(self, key: Key, old: object, new: object, room: int, three: int) -> Line:
        """The value in force, and the staged one (*) or the one under way to the run (…).

        The lock joins B, T and accum, whose values are `three` wide.
        """
        if key.name in self.bench.staged:
            told = _value(key, old, (room - 4) // 2)
            return [(told, "dim"), (" → ", "dim"), (_value(key, new, room - cell_len(told) - 4) + "*", "staged")]
        if key.name in self.bench.under_way and new != old:
            told = _value(key, old, (room - 4) // 2)
            return [
                (told, "dim"),
                (" → ", "dim"),
                (f"{_value(key, new, room - cell_len(told) - 4)}{ELLIPSIS}", "staged"),
            ]
        value = _value(key, new, room)
        if not (self.bench.locked and key.name in THREE):
            return [(value, "value")]
        lock = {"batch.B": "┐", "batch.T": "┤ locked", "batch.accum": "┘"}[key.name]
        return [(value.ljust(three + 1), "value"), (lock, "staged")]

    def _told_of(self, key: Key, rest: int, room: int) -> Line:
        """What a key means, where there is room, and at the right that it needs a new run."""
        mark = "" if self.bench.can_live(key.name) else f" {NEW_RUN}"
        if rest < len(mark):
            mark = ""
        docs = self.size.width >= TWO_COLUMNS and rest > room
        pad = max(rest - len(mark), 0)
        return [(fit(f"  {key.doc}", pad) if docs else " " * pad, "dim"), (mark, "dim")]

    def _differences(self, then: Preset, width: int) -> list[Line]:
        """What the settings on the screen hold otherwise than the loaded preset, and what they no longer hold."""
        loaded = flat(self.bench.loaded)
        now = flat(then)
        differ = [name for name in presets.KEYS if loaded.get(name) != now.get(name)]
        what = plain(self.bench.source)
        if not differ:
            return told(f"nothing differs from {what}", width, "dim")
        lines: list[Line] = [[(f"{len(differ)} differ from {what}", "title")]]
        for name in differ:
            half = max((width - 24 - 3) // 2, 6)
            old = _value(presets.KEYS[name], loaded.get(name), half)
            new = _value(presets.KEYS[name], now.get(name), half)
            lines.append([(f" {name}".ljust(24), ""), (old, "dim"), (" → ", "dim"), (new, "value")])
        return lines

    def _comes_to(self, now: Preset, then: Preset, width: int) -> list[Line]:
        """The consequences, the most urgent first, none wider than `width`."""
        lines: list[Line] = told(acts, width, "staged") if (acts := self._acts()) else []
        found = consequences.consequences(self.bench, now, then)
        label = max((len(c.label) for c in found), default=0) + 2
        first, rest = found[:1], found[1:]
        for c in first:
            lines += _figure(c, label, width)
        scaled = lr_rules.scaled(self.bench)
        if scaled:
            lines += lr_rules.lines(scaled, width)
        if words := consequences.sentence(self.bench, then):
            lines += told(words, width, "")
        for c in rest:
            lines += _figure(c, label, width)
        if scaled:
            lines += lr_rules.why(scaled, width)
        if not self.bench.text.corpus:
            lines += told("the rest is counted once the text is here", width, "dim")
        if self.bench.text.misfit or self.bench.text.error:
            why = self.bench.text.misfit or self.bench.text.error
            lines = told(why, width, "bad") + lines
        return lines

    def _acts(self) -> str:
        told = consequences.acts(self.bench)
        if told or self.bench.alive or not self.bench.unsaved:
            return told
        over = self.bench.resumed_with and self.bench.run
        goes_on = over and (over.state != "done" or self.bench.draft.schedule.steps > over.step)
        return "space asks: a resume with this, or a new run" if goes_on else "space starts a run with this"

    # ------------------------------------------------------------------------------- where the cursor is

    def _lines(self) -> list[str]:
        """The keys as they are listed; "" for the line between the live ones and the others."""
        return [*(key.name for key in self._live), "", *(key.name for key in self._dead)]

    def select(self, name: str) -> None:
        self.selected, self._follow = name, True
        self.redraw()

    def leave(self) -> bool:
        left, self.differing = self.differing, False
        self.redraw()
        return left

    # ------------------------------------------------------------------------------- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.main.check_action(action, parameters)

    def action_move(self, by: int) -> None:
        if self.differing:
            self._top = max(self._top + by, 0)
            self.redraw()
            return
        names = [name for name in self._lines() if name]
        at = names.index(self.selected) if self.selected in names else 0
        self.select(names[min(max(at + by, 0), len(names) - 1)])

    def action_nudge(self, by: int) -> None:
        if self.differing:
            return
        changes = knobs.nudged(self.bench.proposed, self.selected, by)
        if changes:
            self.bench.change(changes)
        elif not knobs.can_nudge(self.selected):
            self.bench.tell(f"{self.selected}: enter types a value")
        self.main.refresh_now()

    @work
    async def action_edit(self) -> None:
        from workbench.screen.dialogs.value import ask

        if self.differing:
            self.leave()
        await ask(self.main, self.selected)

    def action_next_rule(self) -> None:
        """lr by the next rule, where B·T·accum is proposed otherwise than it was."""
        scaled = lr_rules.scaled(self.bench)
        if scaled is None:
            self.bench.tell("B·T·accum is what lr was chosen for: there is nothing to scale it by")
        elif self.bench.change(scaled.changes(scaled.following), joined=THREE):
            said = f"lr = {number(scaled.lr(scaled.following))} by the rule: {lr_rules.NAMES[scaled.following]}"
            self.bench.tell(said)
        self.main.refresh_now()

    def action_lock(self) -> None:
        self.bench.locked = not self.bench.locked
        b = self.bench.proposed.batch
        self.bench.tell(f"locked: B·T·accum stays {b.B * b.T * b.accum:,}" if self.bench.locked else "unlocked")
        self.main.refresh_now("knobs")

    def action_discard(self) -> None:
        self.bench.discard()
        self.main.refresh_now()

    def action_differs(self) -> None:
        self.differing, self._top, self._follow = not self.differing, 0, True
        self.redraw()

    # ------------------------------------------------------------------------------- the mouse

    def _key_at(self, x: int, y: int) -> str:
        """The key that is drawn there, "" where none is; coordinates are the widget's, its border included."""
        inner = self.content_region
        x, y = x - (inner.x - self.region.x), y - (inner.y - self.region.y)
        inside = 0 <= y < len(self._shown) and 0 <= x < inner.width
        return self._shown[y] if inside else ""

    def on_mouse_down(self, event: events.MouseDown) -> None:
        if name := self._key_at(event.x, event.y):
            self.select(name)
            self._dragged = (event.screen_x, 0)
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._dragged is None:
            return
        begin, done = self._dragged
        wanted = int((event.screen_x - begin) / DRAG)
        by = 1 if wanted > done else -1
        if self.check_action("nudge", ()):
            for _ in range(abs(wanted - done)):
                self.action_nudge(by)
        self._dragged = (begin, wanted)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        self._dragged = None
        self.release_mouse()

    def on_click(self, event: events.Click) -> None:
        if event.chain == 2 and self._key_at(event.x, event.y) and self.check_action("edit", ()):
            self.action_edit()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._scroll(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._scroll(-1)

    def _scroll(self, by: int) -> None:
        self._top, self._follow = max(self._top + by, 0), False
        self.redraw()


def _cut(lines: list[Line], height: int) -> None:
    """At most `height` lines; where there were more, the last of them says where they are."""
    if len(lines) > height:
        lines[max(height - 1, 0) :] = [[(f"{ELLIPSIS} 0 shows the rest", "dim")]] if height > 0 else []


def _value(key: Key, value: object, room: int) -> str:
    """A value in at most `room` columns. Of a path the end is what tells it apart."""
    if value is None:
        return "–"
    text = shown(value)
    # A corpus may stand here: what cannot be seen is not looked at.
    text = plain(text[-4 * room :] if key.name == "data.dataset" else text[: 4 * room])
    if key.name == "data.text" and not value:
        text = "none: t types one"
    if cell_len(text) <= room:
        return text
    if key.name == "data.dataset" and text.isascii():
        return ELLIPSIS + text[-(room - 1) :]
    return fit(text, room)


def _figure(c: consequences.Consequence, label: int, width: int) -> list[Line]:
    """A consequence on one line, or on as many as it needs, broken before the arrow and the note."""
    if len(c.label) + 1 + cell_len(c.before) > width:
        lines: list[Line] = [[(fit(c.label, width), "dim")], [(fit(f" {c.before}", width), "value")]]
        used = width
    else:
        label = min(label, width - cell_len(c.before))
        lines = [[(c.label.ljust(label), "dim"), (c.before, "value")]]
        used = label + cell_len(c.before)
    for text, ink in ((f" → {c.after}*" if c.after else "", "staged"), (f"  {c.note}" if c.note else "", "dim")):
        if not text:
            continue
        if used + cell_len(text) <= width:
            lines[-1].append((text, ink))
            used += cell_len(text)
        else:
            text = fit(text if ink == "staged" else text.strip(), min(cell_len(text), width))
            indent = min(label - (3 if ink == "staged" else 0), max(width - cell_len(text), 0))
            lines.append([(" " * indent, ""), (text, ink)])
            used = indent + cell_len(text)
    return lines
