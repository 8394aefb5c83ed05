"""The lines that are always there: what the run does, above; what the keys do, below."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual import events

from workbench.plan.arithmetic import tokens_per_step_of
from workbench.screen import keys
from workbench.screen.frame.figures import figures, room_for
from workbench.screen.frame.lined import Lined, Run
from workbench.screen.glyphs import fit, middle, plain
from workbench.screen.keys import Key
from workbench.screen.runs.telling import record_of

if TYPE_CHECKING:
    from workbench.screen.bench.bench import Bench
    from workbench.screen.bench.follow import Followed

DOTS = {
    "running": ("●", "good"), "paused": ("‖", "warn"), "starting": ("◌", "warn"), "ready": ("○", "dim"),
    "done": ("✓", "good"), "stopped": ("■", "dim"), "interrupted": ("■", "warn"), "diverged": ("✗", "bad"),
    "out-of-memory": ("✗", "bad"), "failed": ("✗", "bad"), "lost": ("✗", "bad"), "unresponsive": ("?", "warn"),
    "waiting": ("‖", "bad"),
}  # fmt: skip
"""The mark of each state, and its ink."""
BIG = 5
"""Rows of the status area with large figures: the line, their labels, and three rows of figures."""
BIG_FROM = (76, 22)
"""The least columns and rows of a screen for them."""
SHORTEST = 12
"""Cells under which a text that does not fit is left out instead of cut."""


@dataclass(frozen=True)
class _Style:
    """How closely the status line is written: cells between its parts, its words, and the least cells of a name."""

    gap: int
    step: str
    loss: str
    lr: str
    speed: str
    name: int


_STYLES = (
    _Style(2, "step {step:,}/{steps:,}", ".4f", ".2e", " tok/s", 14),
    _Style(2, "{step:,}/{steps:,}", ".4f", ".2e", " tok/s", 10),
    _Style(1, "{step:,}/{short}", ".4f", ".2e", " tok/s", 10),
    _Style(1, "{step:,}/{short}", ".3f", ".1e", " t/s", 8),
    _Style(1, "{step:,}/{short}", ".3f", ".1e", "/s", 6),
)
"""The first that fits is taken: the name gives way first."""


class StatusLine(Lined):
    """run, state, step n/N, loss, lr, tokens/s, what it is doing: a dash where there is nothing yet.

    `big` adds step, loss and lr in figures of three rows, where they fit.
    """

    def __init__(self, bench: "Bench", *, big: bool = False) -> None:
        super().__init__(id="status")
        self._bench = bench
        self._big = big

    def rows(self, width: int, height: int) -> int:
        """The rows that it takes on a screen of so many columns and rows."""
        return BIG if self._big and width >= BIG_FROM[0] and height >= BIG_FROM[1] else 1

    def draw(self, width: int, height: int) -> Iterable[Sequence[Run]]:
        if height < BIG:
            yield self._line(width)
            return
        yield self._line(width, brief=True)
        yield from self._figures(width)

    def _line(self, width: int, *, brief: bool = False) -> list[Run]:
        """One line of `width` cells; `brief` leaves out what is told in figures."""
        bench, run = self._bench, self._bench.run
        state = "waiting" if bench.waits else run.state if run else "starting" if bench.starting else "ready"
        dot, ink = DOTS.get(state, ("?", "warn"))
        name = plain(run.name if run else bench.draft.name)
        doing = self._doing()
        for style in _STYLES:
            parts: list[list[Run]] = [[(state, ink)], *([] if brief else self._measured(style)), [self._speed(style)]]
            room = width - cell_len(dot) - 1 - _wide(parts, style.gap)
            least = min(cell_len(name), style.name)
            if room >= least:
                break
        while room < least and len(parts) > 1:  # a long state, and hardly any room: what it said last goes
            room += _wide([parts.pop()], style.gap)
        told = []
        for text, more in doing:
            need = cell_len(text) + style.gap
            if room - need < least:
                text = fit(text, room - least - style.gap).rstrip() if room - least - style.gap >= SHORTEST else ""
                need = cell_len(text) + style.gap
            if text:
                told.append([(text, more)])
                room -= need
        line: list[Run] = [(f"{dot} ", ink), (middle(name, max(room, 1)), "title")]
        for part in [*parts, *told]:
            line += [(" " * style.gap, ""), *part]
        return line

    def _measured(self, style: _Style) -> list[list[Run]]:
        """step, loss and lr, each with its label."""
        step, steps, loss, lr = self._now()
        words = style.step.format(step=step, steps=steps, short=_short(steps))
        label, _, value = words.rpartition(" ")
        return [
            [(f"{label} ", "dim"), (value, "value")] if label else [(value, "value")],
            [("loss ", "dim"), ("–" if loss is None else format(loss, style.loss), "value")],
            [("lr ", "dim"), ("–" if lr is None else _power(format(lr, style.lr)), "value")],
        ]

    def _now(self) -> tuple[int, int, float | None, float | None]:
        """step, steps, and the last record's loss and lr."""
        run = self._bench.run
        last = run.curves.last if run else None
        step, steps = (run.step, run.steps) if run else (0, self._bench.draft.schedule.steps)
        return step, steps, last["loss"] if last else None, last["lr"] if last else None

    def _figures(self, width: int) -> list[list[Run]]:
        """A row of labels, then three of figures: loss and lr in the colours of their curves."""
        step, steps, loss, lr = self._now()
        for exact, peak in ((".4f", ".2e"), (".3f", ".1e"), (".2f", ".0e")):
            columns = [
                (f"step of {steps:,}", f"{step:,}", "value"),
                ("loss", "–" if loss is None else format(loss, exact), "smooth"),
                ("lr", "–" if lr is None else _power(format(lr, peak)), "lr"),
            ]
            usual = (f"{steps:,}", format(0, exact), _power(format(1e-3, peak)))  # so that nothing moves as they come
            wide = [
                max(len(label), room_for(value), room_for(it))
                for (label, value, _), it in zip(columns, usual, strict=True)
            ]
            spare = width - sum(wide)
            if spare >= 2 * (len(columns) - 1):
                break
        gap = min(spare // (len(columns) - 1), 12)
        lines: list[list[Run]] = [[], [], [], []]
        for (label, value, ink), cells in zip(columns, wide, strict=True):
            for line, text, style in zip(lines, [label, *figures(value)], ["dim", ink, ink, ink], strict=True):
                line.append((text.ljust(cells + gap), style))
        return lines

    def _speed(self, style: _Style) -> Run:
        """Tokens a second over the last ten records."""
        run = self._bench.run
        if run is None or not (speed := run.curves.recent_speed()):
            return f"–{style.speed}", ""
        short = f"{speed / 1e6:.2f}M" if speed >= 1e6 else f"{speed / 1e3:.1f}k" if speed >= 1e3 else f"{speed:.0f}"
        return f"{short}{style.speed}", ""

    def _doing(self) -> list[Run]:
        """What went wrong, what is staged, the phase, the pace: whatever a person would wonder about, that first."""
        bench, run = self._bench, self._bench.run
        told: list[Run] = []
        if run and run.error:
            told.append((plain(run.error), "bad"))
        if bench.read_only:
            told.append(("read-only", "warn"))
        if bench.staged:
            told.append((f"{len(bench.staged)} staged", "staged"))
        if bench.starting and bench.launch:
            told.append((plain(bench.launch.phase), "warn"))
        elif run and bench.waits:
            told.append((plain(run.phase.removeprefix("waiting: ")), "bad"))
        elif run and run.alive and run.phase and (run.state, run.phase) != ("paused", "training"):
            told.append((plain(run.phase), "warn") if run.phase != "training" else (f"training{_left(run)}", "dim"))
        if run and run.alive and run.status and run.status.pace:
            told.append((f"pace {run.status.pace:g}/s", "warn"))
        return told


def _left(run: "Followed") -> str:
    """How long the rest of the steps will take at the pace of the last ones, as ", 12 min left"; "" before any."""
    speed = run.curves.recent_speed()
    if run.state != "running" or not speed or run.steps <= run.step:
        return ""
    each = tokens_per_step_of(run.live) / speed
    if run.status and run.status.pace:
        each = max(each, 1 / run.status.pace)
    seconds = (run.steps - run.step) * each
    if seconds < 59.5:
        return f", {max(1, round(seconds))} s left"
    minutes = round(seconds / 60)
    if minutes < 100 * 60:
        return f", {minutes} min left" if minutes < 100 else f", {minutes // 60} h {minutes % 60:02} min left"
    return f", {minutes // (24 * 60)} days left"


def _wide(parts: Sequence[Sequence[Run]], gap: int) -> int:
    """Cells of the parts, each with the gap before it."""
    return sum(gap + sum(cell_len(text) for text, _ in part) for part in parts)


def _short(steps: int) -> str:
    """A number of steps in few cells, only where none of it is lost."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if steps >= size and steps % (size // 10) == 0:
            return f"{steps / size:g}{letter}"
    return f"{steps:,}"


def _power(text: str) -> str:
    return text.replace("e-0", "e-").replace("e+0", "e+")


class Footer(Lined):
    """The keys that matter here; for a few seconds, what there is to say. A click does what its key does."""

    def __init__(self, bench: "Bench") -> None:
        super().__init__(id="footer")
        self._bench = bench
        self._pane = 0
        self._whole = self._lesson = False
        self._said = ""
        self.facts: Callable[[], Collection[str]] = tuple
        """What is so in the pane that has the focus."""
        self.waits: Callable[[], str] = str
        """What that pane waits for, where none of its keys goes on."""
        self._spans: list[tuple[int, int, Key]] = []

    def show(self, pane: int, *, whole: bool = False, lesson: bool = False) -> None:
        """The keys of a pane that has the focus now; `lesson`: another one is an open lesson's."""
        self._pane, self._whole, self._lesson = pane, whole, lesson
        self.redraw()

    def say(self, text: str) -> None:
        """Show a sentence instead of the keys, until `say("")`."""
        self._said = plain(text)
        self.redraw()

    def key_at(self, x: int) -> Key | None:
        """The key that stands in column x."""
        return next((key for begin, end, key in self._spans if begin <= x < end), None)

    def draw(self, width: int, height: int) -> Iterable[Sequence[Run]]:
        self._spans = []
        if self._said:
            yield [(" ", ""), (fit(self._said, max(width - 2, 1)), "value")]
            return
        found = keys.footer(self._pane, self._situation()) if self._pane else []
        always = [(key, label) for key, label in found if key.action in keys.ALWAYS]
        room = width - 1 - sum(_need(key, label) for key, label in always)
        line: list[Run] = [(" ", "")]
        if waits := fit(self.waits(), max(room - 2, 1)).rstrip():
            line += [(waits, "warn"), ("  ", "")]
            room -= cell_len(waits) + 2
        x = sum(cell_len(text) for text, _ in line)
        taken = []
        for key, label in found:
            if key.action in keys.ALWAYS:
                continue
            room -= _need(key, label)
            if room < 0:
                break
            taken.append((key, label))
        for key, label in [*taken, *always]:
            line += [(key.shown, "key"), (f" {label}", "dim"), ("  ", "")]
            self._spans.append((x, x + _need(key, label) - 2, key))
            x += _need(key, label)
        yield line

    def _situation(self) -> set[str]:
        """What is so, in the words of `keys.footer`."""
        bench, run = self._bench, self._bench.run
        now: set[str] = {*self.facts()}
        now |= {"undo"} if bench.history.has("undo") else set()
        now |= {"redo"} if bench.history.has("redo") else set()
        if bench.starting:
            now.add("starting")
        elif run is None:
            now.add("ready")
        elif bench.waits:
            now.add("waiting")
        elif run.alive:
            now.add("paused" if run.state == "paused" else "running")
        else:
            now |= {"over"} | ({"done"} if run.state == "done" else {"resumable"})
        if run is not None:
            now |= {"run"} | ({"checkpoint"} if run.alive and run.last("checkpoint") else set())
        return now | {
            word
            for word, so in (
                ("staged", bench.staged),
                ("offered", bench.offered),
                ("culprit", run is not None and record_of(run) is not None),
                ("whole", self._whole),
                ("lesson", self._lesson),
                ("read-only", bench.read_only),
            )
            if so
        }

    async def on_click(self, event: events.Click) -> None:
        if (key := self.key_at(event.x)) and (doing := getattr(self.screen, "doing", None)):
            doing(key)()


def _need(key: Key, label: str) -> int:
    return cell_len(key.shown) + len(label) + 3
