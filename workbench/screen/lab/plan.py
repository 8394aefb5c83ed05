"""Plan: tokens a step = B·T·accum(·world), each locked or free, the product always true. No Textual."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench import preset as presets
from workbench.plan import arithmetic, memory, parameters, planner
from workbench.plan.derivation import Measured, derivation
from workbench.plan.planner import Locked, Moved, NotWhole, Plan
from workbench.plan.totals import TOTALS, nearest
from workbench.preset import Preset, PresetError
from workbench.screen.bench.edits import THREE, told
from workbench.screen.frame.paragraph import beside, paragraph
from workbench.screen.frame.paragraph import told as sentence
from workbench.screen.frame.units import amount
from workbench.screen.glyphs import fit
from workbench.screen.lab.view import LABEL, Drawn, Line, View, joined
from workbench.screen.samples.samples import duration

if TYPE_CHECKING:
    from workbench.screen.bench.bench import Bench

TWO_COLUMNS = 96
"""Columns from which the derivation stands beside the four numbers."""
_MEANS = {
    "tokens": "a step", "B": "rows per micro-batch", "T": "tokens per row", "accum": "micro-batches per step",
    "world": "devices, each with its share",
}  # fmt: skip


class PlanView(View):
    name = "plan"

    def __init__(self, bench: "Bench") -> None:
        super().__init__(bench)
        self._own: Plan | None = None
        """What was moved here; None shows the knobs' own."""
        self.locked: set[str] = set()
        self._note: tuple[str, str] = ("", "")
        """What the last move did, or why there was none, and its ink."""
        self.measured: tuple[object, Measured] | None = None
        """What fit has found, and for which shape."""
        self.speeds: tuple[object, Mapping[int, float]] = (None, {})
        """Targets a second by B, as fit measured them, and for which shape."""

    @property
    def plan(self) -> Plan:
        return self._own or Plan.of(self.bench.proposed, world=self.bench.world)

    @property
    def names(self) -> list[str]:
        """What can be moved, as it is listed; world where there is more than one device to think of."""
        return ["tokens", *(["B", "accum"] if self.plan.layout == "windows" else ["B", "T", "accum"]), "world"]

    @property
    def rows(self) -> int:
        return len(self.names)

    @property
    def chosen(self) -> str:
        return self.names[min(self.at, len(self.names) - 1)]

    def why_not(self) -> str:
        return "a plan measures nothing: f does"

    # ------------------------------------------------------------------------------- moving

    def move(self, value: int) -> None:
        """Set the chosen number; another one that is free gives way."""
        name = self.chosen
        try:
            moved = planner.change(self.plan, name, value, locked=self.locked)
        except Locked as error:
            self._note = (str(error) + self._neighbours(name, value), "warn")
            return
        self._set(moved)

    def _set(self, moved: Moved) -> None:
        self._own, self._note = moved.plan, (moved.sentence, "staged")

    def _neighbours(self, name: str, value: int) -> str:
        """The totals next to one that B, T and world do not divide."""
        if name != "tokens" or value < 1:
            return ""
        given = {**self.plan.numbers(), "tokens": value}
        del given["accum"]
        try:
            planner.solve(given, layout=self.plan.layout)
        except NotWhole as error:
            return f"\n{error}"
        return ""

    def turn(self, by: int) -> None:
        """Twice or half as much; what is odd is halved to no fraction."""
        now = self.plan.numbers()[self.chosen]
        self.move(now * 2 if by > 0 else max(now // 2, 1))

    def lock(self) -> None:
        name = self.chosen
        self.locked ^= {name}
        self._note = (f"{name} is {'locked: it gives way to nothing' if name in self.locked else 'free again'}", "dim")

    def wrong(self, text: str) -> str:
        """Why a typed text cannot be the chosen number; "" if it can."""
        value = typed(text)
        if value is None:
            return f"{text.strip()!r}: expected a whole number such as 524,288 or 2^19"
        try:
            planner.change(self.plan, self.chosen, value, locked=self.locked)
        except Locked as error:
            return str(error) + self._neighbours(self.chosen, value)
        return ""

    def type(self, text: str) -> None:
        """Take a text that `wrong` has found nothing wrong with."""
        value = typed(text)
        if value is not None:
            self.move(value)

    def leave(self) -> bool:
        """Back to the knobs' own numbers."""
        left, self._own, self._note = self._own is not None, None, ("", "")
        return left

    def take(self) -> Mapping[str, Any]:
        plan, now = self.plan, Plan.of(self.bench.proposed)
        if (plan.B, plan.T, plan.accum) == (now.B, now.T, now.accum):
            return {}
        return dict(zip(THREE, (plan.B, plan.accum, plan.T), strict=True))

    def taken(self) -> None:
        self._own = None if self.plan.world == self.bench.world else self._own
        self._note = ("", "")

    # ------------------------------------------------------------------------------- drawing

    def draw(self, width: int, height: int) -> Drawn:
        two = width >= TWO_COLUMNS
        left = 46 if two else width
        drawn = self._numbers(left)
        drawn.lines += self._figures(left)
        why = self._derived(width - left - 3 if two else width)
        if two:
            drawn.lines = beside(drawn.lines + [[]] * (len(why) - len(drawn.lines)), left, why, " │ ")
            drawn.lit = left
        else:
            drawn.lines += [[], *why]
        return drawn

    def _numbers(self, width: int) -> Drawn:
        plan, drawn = self.plan, Drawn()
        before = Plan.of(self.bench.proposed, world=self.bench.world).numbers()
        wide = max(len(f"{value:,}") for value in plan.numbers().values())
        for name in self.names:
            value = plan.numbers()[name]
            line: Line = [(f" {name}".ljust(LABEL - 4), "dim"), (f"{value:>{wide},}", "value"), (" ", "")]
            line.append(("locked", "staged") if name in self.locked else ("free  ", "dim"))
            was = f"  {before[name]:,} in the knobs" if value != before[name] else f"  {_MEANS[name]}"
            rest = width - sum(len(text) for text, _ in line)
            drawn.stop([*line, (was, "staged" if value != before[name] else "dim")] if len(was) <= rest else line)
        drawn.lines += sentence(plan.product(), width, "title")
        note, ink = self._note
        if note:
            drawn.lines += sentence(note, width, ink)
        changes = self.take()
        if changes:
            said = joined(
                [
                    f"{k.rpartition('.')[2]} {v:,}"
                    for k, v in changes.items()
                    if v != presets.get(self.bench.proposed, k)
                ],
                max(width - 20, 8),
                ", ",
            )
            drawn.lines.append([("a", "key"), (f" takes {said}", "dim")])
        if self.plan.world != self.bench.world:
            drawn.lines += sentence(f"world belongs to the launch: it was opened with {self.bench.world}", width, "dim")
        return drawn

    def _planned(self) -> Preset:
        """The settings with the plan's numbers. Raises PresetError where they are none."""
        plan = self.plan
        new = {"batch.B": plan.B, "batch.T": plan.T, "batch.accum": plan.accum}
        return presets.apply(self.bench.proposed, new)

    def rate(self) -> tuple[float, str] | None:
        """Targets a second of one device that were measured, and by what: by fit for this B, else by the open run."""
        run, plan = self.bench.run, self.plan
        if self.speeds[0] == shape(self.bench.proposed, plan.T) and (fitted := self.speeds[1].get(plan.B)):
            return fitted, f"fit, B = {plan.B:,}"
        speed = run.curves.recent_speed() if run else None
        return (speed, run.name) if run and speed else None

    @property
    def per_hour(self) -> float | None:
        rate = self.rate()
        return 3600 * rate[0] * self.plan.world / self.plan.tokens if rate else None

    def _figures(self, width: int) -> list[Line]:
        """What it comes to: an epoch, an update, the run, memory."""
        try:
            planned = self._planned()
        except PresetError as error:
            return sentence(told(error), width, "bad")
        plan, corpus, rate = self.plan, self.bench.text.corpus, self.rate()
        steps, figures = planned.schedule.steps, []
        if corpus:
            train = corpus.splits["train"].n
            epoch = arithmetic.rounded(arithmetic.steps_per_epoch(train, plan.tokens))
            figures.append(("an epoch", f"{epoch} steps; {arithmetic.rounded(steps * plan.tokens / train)} planned"))
        if rate:
            speed, name = rate
            seconds = plan.tokens / (speed * plan.world)  # the devices of world work at once
            figures.append(("an update", f"{short(seconds)}; {arithmetic.rounded(3600 / seconds)} an hour"))
            figures.append(("the run", f"{duration(seconds * steps)} for {steps:,} steps"))
            figures.append(("measured", f"{arithmetic.rounded(speed)} tokens/s by {name}"))
        else:
            figures.append(("an update", "not known: fit (f) or a run measures it"))
        if corpus:
            held = parameters.total(memory.estimate(planned, corpus.tokenizer.vocab_size))
            figures.append(("memory", f"{amount(held)} a device, estimated"))
        lines: list[Line] = [[]]
        for label, figure in figures:
            room = max(width - LABEL - 1, 8)
            first, *more = paragraph(figure, room)
            lines.append([(label.ljust(LABEL + 1), "dim"), (first, "")])
            lines += [[(" " * (LABEL + 1), ""), (text, "")] for text in more]
        return lines

    def _derived(self, width: int) -> list[Line]:
        """The five steps, then what known models took a step."""
        found = (
            self.measured[1] if self.measured and self.measured[0] == shape(self.bench.proposed, self.plan.T) else None
        )
        lines: list[Line] = [[("from scratch, in five steps".ljust(width), "title")]]
        for step in derivation(self.plan, fit="f then enter", measured=found, updates_per_hour=self.per_hour):
            ink, mark = {True: ("good", "✓"), None: ("warn", "?"), False: ("bad", "✗")}[step.holds]
            told_of = f"{step.title}: {step.figure}"
            first, *more = paragraph(told_of, max(width - 2, 8))
            lines += [[(f"{mark} ", ink), (first, "value")], *([("  ", ""), (text, "value")] for text in more)]
            lines += [[("  ", ""), (text, "dim")] for text in paragraph(step.sentence, max(width - 2, 8))]
        lines += [[], [("tokens a step that known models took", "title")]]
        near = nearest(self.plan.tokens)
        for total in TOTALS:
            mark = "▸" if total is near else " "
            figure = f"{'' if total.exact else '~'}{total.tokens:,}"
            text = f"{mark}{figure:>10}  {total.model} · {total.how} · {total.source}"
            lines.append([(fit(text, width).rstrip(), "value" if total is near else "dim")])
        return lines


def shape(preset: Preset, T: int) -> object:
    """What the largest B depends on, besides the machine."""
    return preset.model, preset.optimizer.kind, preset.device, preset.data.tokenizer, preset.data.layout, T


def typed(text: str) -> int | None:
    """A whole number as people type it: 524288, 524,288, 2^19, 32k; None of anything else."""
    text = text.strip().replace(",", "").replace("_", "").lower()
    if text.startswith("2^") and text[2:].isdecimal() and int(text[2:]) < 50:
        return 1 << int(text[2:])
    scale = {"k": 2**10, "m": 2**20}.get(text[-1:], 1)
    digits = text[:-1] if scale > 1 else text
    return int(digits) * scale if digits.isdecimal() and len(digits) < 16 else None


def short(seconds: float) -> str:
    """Seconds of one step: 850 µs, 12.3 ms, 1.24 s, then as people say them."""
    if seconds >= 60:
        return duration(seconds)
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"
