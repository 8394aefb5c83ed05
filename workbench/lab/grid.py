"""A sweep's grid, before anything is started: its presets, each on a schedule of its own, all of them checked."""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from workbench import preset as presets
from workbench.data.corpus import Corpus, open_corpus
from workbench.data.prompts import prompt_of
from workbench.data.rows import Rows
from workbench.data.scan import Progress
from workbench.errors import UsageError, WorkbenchError
from workbench.lab import labels
from workbench.plan import arithmetic, scaling
from workbench.plan.scaling import Rule
from workbench.preset import KEYS, Preset

Equal = Literal["steps", "tokens", "seconds"]
EQUALS: tuple[Equal, ...] = ("steps", "tokens", "seconds")
Seconds = Callable[[Preset], float]
"""Measures how long a preset's step takes."""

MOST = 1000
"""Runs of one sweep."""
_AS_WRITTEN = ("data.text", "data.dataset", "sample.prompt", "name")
"""Free text: a comma in it is a comma, unless every value is quoted."""
_NAME = 64


@dataclass(frozen=True)
class Cell:
    """One run to come."""

    label: str
    """Its place in the grid, the seed left out: "B=32"."""
    set: dict[str, Any]
    seed: int
    preset: Preset
    epochs: float
    notes: list[str]
    """What rounding to whole steps has moved."""

    @property
    def slug(self) -> str:
        return labels.slug(self.label)


@dataclass(frozen=True)
class Grid:
    base: Preset
    equal: Equal
    rule: Rule
    why: str
    """Why lr goes with the batch as it does."""
    budget: float
    """Steps, tokens or seconds that every run gets."""
    unit: str
    cells: list[Cell]

    def to_json(self) -> dict[str, Any]:
        return {
            "preset": self.base.name, "equal": self.equal, "scale": self.rule, "why": self.why, "budget": self.budget,
            "unit": self.unit,
            "runs": [
                {
                    "label": cell.label, "set": cell.set, "seed": cell.seed, "steps": cell.preset.schedule.steps,
                    "tokens": cell.preset.schedule.steps * arithmetic.tokens_per_step_of(cell.preset),
                    "epochs": cell.epochs, "lr": cell.preset.optimizer.lr, "warmup": cell.preset.schedule.warmup,
                    "moved": cell.notes,
                }
                for cell in self.cells
            ],
        }  # fmt: skip


@dataclass(frozen=True)
class Axes:
    """What --set asked for: `fixed` holds for every run, each key of `swept` has several values."""

    fixed: list[str]
    swept: dict[str, list[Any]]


def parse(sets: Sequence[str]) -> Axes:
    """Tell apart what is set for all and what makes the grid: a value with commas outside of brackets and quotes.

    [0.9, 0.99] is one value and [0.9, 0.95],[0.9, 0.99] are two. In free text (data.text, data.dataset,
    sample.prompt) commas belong to the text, unless every value is quoted. Raises UsageError with all that is wrong.
    """
    fixed: list[str] = []
    swept: dict[str, list[Any]] = {}
    wrong: list[str] = []
    single: set[str] = set()
    for text in sets:
        given, equals, written = text.partition("=")
        parts = split(written)
        key = presets.BARE.get(given.strip(), given.strip())
        if key in _AS_WRITTEN and not all(part.strip()[:1] in ("'", '"') for part in parts):
            parts = [written]
        if not equals or len(parts) == 1:
            fixed.append(text)
            single.add(key)
            continue
        values = []
        for part in parts:
            try:
                values.append(presets.parse_assignment(f"{given}={part.strip()}")[1])
            except UsageError as error:
                wrong.append(str(error))
        if key in swept:
            wrong.append(f"--set {given}: given twice; name all of its values in one")
        repeated = {labels.written(v) for v in values if values.count(v) > 1}
        if repeated:
            wrong.append(f"--set {given}: {', '.join(sorted(repeated))} is there more than once")
        swept[key] = values
    wrong += [f"--set {key}: given twice; name all of its values in one" for key in swept if key in single]
    if wrong:
        raise UsageError("\n".join(wrong))
    return Axes(fixed, swept)


def split(written: str) -> list[str]:
    """At the commas that are outside of brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for c in written:
        if quote:
            quote = "" if c == quote else quote
        elif c in "\"'":
            quote = c
        depth += (c in "[{") - (c in "]}") if not quote else 0
        if c == "," and not quote and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return parts


def plan(
    base: Preset,
    swept: dict[str, list[Any]],
    *,
    equal: Equal = "steps",
    rule: Rule | None = None,
    seeds: int = 1,
    seconds: Seconds | None = None,
    progress: Progress = lambda what, share: None,
) -> Grid:
    """The grid of `swept` (dotted key to values) over `base`, seed by seed. Starts nothing but `seconds`.

    Raises UsageError with everything that is wrong with any of its presets.
    """
    swept = dict(swept)
    if "name" in swept:
        raise UsageError("--set name=…: it changes nothing that a run does; sweep another key")
    given = swept.pop("seed", None)
    if given and seeds > 1:
        raise UsageError("--set seed=… and --seeds: one or the other")
    if equal != "steps" and "schedule.steps" in swept:
        raise UsageError(f"--set steps=…: with --equal {equal} the steps follow from the batch; leave out one of them")
    numbers = given or [base.seed + i for i in range(seeds)]
    count = len(numbers)
    for values in swept.values():
        count *= len(values)
    if count > MOST:
        raise UsageError(f"{count:,} runs: expected {MOST:,} at most; name fewer values")
    rule, why = _rule(base, swept, equal, rule)
    corpora: dict[str, Corpus] = {}
    wrong: dict[str, None] = {}
    settings: list[tuple[str, dict[str, Any], Preset]] = []
    for edits in _combinations(swept):
        label = labels.label(edits, edits)
        try:
            preset = presets.apply(base, edits, source=label or base.name)
            _check(preset, corpora, progress)
            settings.append((label, edits, preset))
        except WorkbenchError as error:
            wrong[_prefixed(label, str(error))] = None
    if wrong:
        raise UsageError("\n".join(wrong))
    rates = [seconds(preset) for _, _, preset in settings] if equal == "seconds" and seconds else []
    a_step = 0.0
    if equal == "seconds" and seconds:
        known = (rate for rate, (_, _, preset) in zip(rates, settings, strict=True) if preset == base)
        a_step = next(known, 0.0) or seconds(base)
    cells: list[Cell] = []
    for i, (label, edits, preset) in enumerate(settings):
        ratio = Fraction(arithmetic.tokens_per_step_of(preset), arithmetic.tokens_per_step_of(base))
        factor = {"tokens": 1 / ratio, "seconds": Fraction(a_step / rates[i]) if rates else ratio}.get(
            equal, Fraction(1)
        )
        try:
            found = scaling.rescaled(preset, factor, scaling.lr_factor(float(ratio), rule))
        except WorkbenchError as error:
            wrong[_prefixed(label, str(error))] = None
            continue
        if factor == 1 and found.preset.optimizer.lr == preset.optimizer.lr:
            found = scaling.Rescaled(preset, [])  # as it was written, every digit of it
        per_step = arithmetic.tokens_per_step_of(found.preset)
        train = corpora[repr(preset.data)].splits["train"].n
        for seed in numbers:
            named = {"name": run_name(base.name, edits, seed), "seed": seed}
            ready = presets.apply(found.preset, named, source=label)
            epochs = arithmetic.epochs(ready.schedule.steps, train, per_step)
            cells.append(Cell(label or base.name, edits, seed, ready, epochs, found.notes))
    if wrong:
        raise UsageError("\n".join(wrong))
    cells.sort(key=lambda cell: numbers.index(cell.seed))  # stable: a whole grid of each seed, one after another
    per_step = arithmetic.tokens_per_step_of(base)
    unit = {"tokens": arithmetic.unit("", base.data.layout)}.get(equal, str(equal))
    budget = {"steps": 1.0, "tokens": float(per_step), "seconds": a_step}[equal] * base.schedule.steps
    return Grid(base, equal, rule, why, budget, unit, cells)


def _rule(base: Preset, swept: dict[str, list[Any]], equal: Equal, given: Rule | None) -> tuple[Rule, str]:
    """The rule for lr, and why."""
    kinds = {str(kind) for kind in swept.get("optimizer.kind", [base.optimizer.kind])}
    if given is not None:
        return given, f"--scale {given}"
    if "optimizer.lr" in swept:
        return "none", "none: every lr is given by --set"
    if equal == "steps":
        return "none", "none: at equal steps the batch is the one thing that differs, lr included (--scale changes it)"
    if not {"batch.B", "batch.T", "batch.accum"} & swept.keys():
        return "none", "none: every run has as many tokens a step"
    rules = {scaling.default_rule(kind) for kind in kinds}
    if len(rules) > 1:
        raise UsageError("--set optimizer.kind=…: their learning rates scale by different rules; choose one by --scale")
    return rules.pop(), scaling.why(min(kinds))


def _combinations(swept: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*swept.values()):
        yield dict(zip(swept, values, strict=True))


def _check(preset: Preset, corpora: dict[str, Corpus], progress: Progress) -> None:
    """Refuse what a worker would: text that cannot be had, a T too large for it, a prompt of foreign characters."""
    key = repr(preset.data)
    if key not in corpora:
        corpora[key] = open_corpus(preset.data, progress=progress)
    Rows.of(preset, tokens=corpora[key].splits["train"].n)
    prompt_of(preset.sample.prompt, corpora[key])


def _prefixed(label: str, error: str) -> str:
    return error if not label or label in error else f"{label}: {error}"


def run_name(name: str, edits: dict[str, Any], seed: int) -> str:
    """What a run is called: names-B32-lr0.1-s1337, at most 64 characters."""
    parts = [f"{KEYS[key].leaf}{labels.written(value)}" for key, value in edits.items()]
    tail = re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(["", *parts, f"s{seed}"]))
    return f"{name[: max(1, _NAME - len(tail))]}{tail}"[:_NAME]
