"""Sweep: runs for every value of a key, drawn on the charts as they come, then compared. No Textual."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import preset as presets
from workbench.plan.scaling import RULES
from workbench.preset import PresetError
from workbench.screen.bench.edits import number as written
from workbench.screen.bench.edits import told as problems
from workbench.screen.frame.paragraph import told as sentence
from workbench.screen.glyphs import plain
from workbench.screen.lab import table
from workbench.screen.lab.asking import Told
from workbench.screen.lab.compare import compared, concluded
from workbench.screen.lab.table import Table
from workbench.screen.lab.view import Drawn, Field, View, an_object, number, whole

if TYPE_CHECKING:
    from workbench.screen.bench.bench import Bench

EQUAL = ("steps", "tokens", "seconds")


class SweepView(View):
    name = "sweep"

    def __init__(self, bench: "Bench") -> None:
        super().__init__(bench)
        lr = bench.proposed.optimizer.lr
        tried = ",".join(written(float(f"{lr * factor:.12g}")) for factor in (0.1, 1, 10))
        self.fields = [
            Field("set", ("B=1,32,64", f"lr={tried}", "accum=1,4,16"), check=wrong_set,
                  words="A key and its values, as in B=1,32,64. Two keys: B=1,32 lr=0.1,0.2"),
            Field("equal", EQUAL),
            Field("lr", ("by the optimizer's rule", *RULES)),
            Field("steps", ("",), empty="as in the preset", check=wrong_steps,
                  words="How many updates the preset has; nothing: its own."),
            Field("seeds", ("1", "3", "5")),
        ]  # fmt: skip
        self.runs: dict[str, Told] = {}
        """By run's path (or label, until it has one), the last that was told of it."""
        self.result: Told = {}

    @property
    def rows(self) -> int:
        return 0 if self.result else len(self.runs)

    # ------------------------------------------------------------------------------- what it asks

    def words(self) -> list[str]:
        sets, equal, rule, steps, seeds = (one.value for one in self.fields)
        words = ["sweep", "-", *(word for part in sets.split() for word in ("--set", part)), "--equal", equal]
        words += ["--scale", rule] if rule in RULES else []
        words += ["--steps", steps.replace(",", "")] if steps else []
        return [*words, "--seeds", seeds, "--runs-dir", str(self.bench.runs)]

    def begin(self) -> None:
        self.runs, self.result = {}, {}

    def hear(self, told: Told) -> None:
        if told["type"] == "run":
            key = f"{told.get('label')} {told.get('seed')}"
            self.runs[key] = {**self.runs.get(key, {}), **told}
        elif told["type"] == "compare":
            self.result = told

    def conclusion(self) -> str:
        return concluded(self.result)

    def doing(self) -> str:
        told = next(reversed(self.runs.values()), {})
        if not told:
            return ""
        count = f"run {told.get('number')} of {told.get('of')}: " if whole(told, "number") else ""
        return f"{count}{told.get('label', '')} {told.get('phase') or told.get('state') or ''}"

    def paths(self) -> list[Path]:
        """The runs that there are, the first seed of every value first: what the charts draw."""
        seen: dict[str, list[Path]] = {}
        for told in self.runs.values():
            if isinstance(told.get("run"), str):
                seen.setdefault(str(told.get("label")), []).append(Path(told["run"]))
        deepest = max((len(found) for found in seen.values()), default=0)
        return [found[n] for n in range(deepest) for found in seen.values() if n < len(found)]

    # ------------------------------------------------------------------------------- what keys do

    def take(self) -> Mapping[str, Any]:
        """What the run under the cursor was set to."""
        n = self.at - len(self.fields)
        if self.result or not 0 <= n < len(self.runs):
            return {}
        return {key: value for key, value in an_object([*self.runs.values()][n], "set").items() if key in presets.KEYS}

    # ------------------------------------------------------------------------------- drawing

    def draw(self, width: int, height: int) -> Drawn:
        drawn = self.head(width)
        if self.result:
            drawn.lines += compared(self.result, width)
        elif self.runs:
            rows = [self._row(told) for told in self.runs.values()]
            columns = ("run", "seed", "state", "step", "of", "loss")
            lines, begins = table.chosen_from(Table.of("", columns, rows), width)
            drawn.stops += [len(drawn.lines) + 1 + begin for begin in begins]
            drawn.lines += [[], *lines]
        else:
            drawn.lines += sentence(_ABOUT[self.fields[1].value], width, "dim")
        return drawn

    def _row(self, told: Told) -> list[object]:
        label, seed, state = (plain(str(it)) for it in (
            told.get("label", ""), told.get("seed", "–"), told.get("phase") or told.get("state") or "",
        ))  # fmt: skip
        return [label, seed, state, whole(told, "step"), whole(told, "steps"), number(told, "loss")]


_ABOUT = {
    "steps": "Every run makes as many updates as the preset: with other batches they read more or less of the text.",
    "tokens": "Every run reads as many tokens: steps, warmup and milestones are scaled, lr by the optimizer's rule.",
    "seconds": "Every run gets as long: its steps are measured first, then its schedule is made to end in time.",
}


def wrong_steps(text: str) -> str:
    """Why a typed text is no number of updates; "" if it is one, or nothing."""
    text = text.strip().replace(",", "")
    good = not text or (text.isdecimal() and 0 < int(text) < 10**12)
    return "" if good else f"{text!r}: expected a number of updates such as 1,000, or nothing"


def wrong_set(text: str) -> str:
    """Why a typed text says no values of a key; "" if it does."""
    if not text.split():
        return "expected a key and its values, such as B=1,32,64"
    for part in text.split():
        key, equals, values = part.partition("=")
        if not equals or not values:
            return f"{part!r}: expected a key and its values, such as B=1,32,64"
        for value in [values] if "[" in values else values.split(","):
            try:
                presets.parse_assignment(f"{key}={value}")
            except PresetError as error:
                return problems(error)
    return ""
