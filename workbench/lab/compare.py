"""Runs side by side, grouped by everything but the seed: what each came to, and whether gaps are more than noise.

Nothing here looks at the test split.
"""

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from workbench import preset as presets
from workbench.errors import UsageError
from workbench.lab import figures, labels
from workbench.lab.spread import MEANING, spread
from workbench.preset import Preset
from workbench.runs import FORMAT, status
from workbench.runs.directory import is_run
from workbench.runs.events import latest, read_events

X = Literal["steps", "tokens", "seconds", "flops"]
XS: tuple[X, ...] = ("steps", "tokens", "seconds", "flops")
BROKEN = ("diverged", "out-of-memory", "failed")
"""States whose losses say nothing of where the settings lead."""
FIGURES = (
    "val_loss", "loss", "noise", "train_loss", "gap", "best_val", "steps", "tokens", "epochs", "steps_per_epoch",
    "seconds", "tokens_per_s", "flops",
)  # fmt: skip
"""Figures of a group: the median over its seeds."""
_SAME = 0.02
"""Extents that differ by no more than this share are one extent: rounding to whole steps, a clock's noise."""
_NEAR = 0.95
"""Of the common x: an eval that lies no further before it stands for it."""


@dataclass(frozen=True)
class Ran:
    """One run, as far as it has come."""

    path: Path
    label: str
    seed: int
    preset: Preset
    state: str
    reason: str
    figures: dict[str, float]
    weights: str | None
    fingerprint: str | None
    set: dict[str, Any]
    """The differing keys, as this run holds them."""

    @property
    def broken(self) -> bool:
        return self.state in BROKEN


@dataclass(frozen=True)
class Group:
    """Runs that differ by their seed alone; of two with one seed the later counts."""

    label: str
    slug: str
    runs: tuple[Ran, ...]

    @property
    def sound(self) -> list[Ran]:
        """One run a seed, those left out that broke."""
        return list({run.seed: run for run in self.runs if not run.broken}.values())

    def values(self, name: str) -> list[float]:
        return [run.figures[name] for run in self.sound if name in run.figures]

    def median(self, name: str) -> float | None:
        found = self.values(name)
        return statistics.median(found) if found else None

    def range(self, name: str) -> float | None:
        """Largest less smallest over the seeds; None of one seed."""
        found = self.values(name)
        return max(found) - min(found) if len(found) > 1 else None


@dataclass(frozen=True)
class Verdict:
    """Two groups, `a` the lower one; `gap` is of the means over seeds."""

    a: str
    b: str
    metric: str
    """val_loss, or loss: the mean training loss."""
    at: float | None
    """The x at which both are judged; None: each at its own end."""
    gap: float
    spread: float | None
    verdict: str


@dataclass(frozen=True)
class Comparison:
    x: X
    unit: str
    """What x counts: steps, tokens, examples, seconds, FLOPs."""
    at: float | None
    """The largest x that all runs have reached; None where they end at the same."""
    differing: list[str]
    groups: list[Group]
    verdicts: list[Verdict]
    sentences: list[str] = field(default_factory=list)

    @property
    def runs(self) -> list[Ran]:
        return [run for group in self.groups for run in group.runs]

    def figures(self) -> dict[str, float]:
        """Figures by name and group, every pair's gap and spread, and whether initial weights are equal."""
        out: dict[str, float | None] = {f"{n}_{g.slug}": g.median(n) for g in self.groups for n in FIGURES}
        for a, b in itertools.combinations(self.groups, 2):
            one, other = a.values("val_loss"), b.values("val_loss")
            if one and other:
                out[f"gap_{a.slug}_{b.slug}"] = statistics.fmean(one) - statistics.fmean(other)
                out[f"spread_{a.slug}_{b.slug}"] = spread(one, other)
        equal = equal_weights(self.runs)
        out["weights_equal"] = None if equal is None else float(equal)
        return {name: value for name, value in out.items() if value is not None and math.isfinite(value)}

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT, "type": "compare", "x": self.x, "unit": self.unit, "at": self.at,
            "differing": self.differing,
            "runs": [_told(run) for run in self.runs],
            "groups": [
                {
                    "label": g.label, "seeds": len(g.sound), "runs": len(g.runs), **{n: g.median(n) for n in FIGURES},
                    "spread": g.range("val_loss"), "loss_spread": g.range("loss"),
                }
                for g in self.groups
            ],
            "verdicts": [vars(v) for v in self.verdicts],
            "sentences": self.sentences, "figures": self.figures(),
        }  # fmt: skip


def compare(paths: Sequence[Path], x: X = "steps", *, slugs: Mapping[Path, str] | None = None) -> Comparison:
    """Compare runs along `x`. `slugs` name a run's group in the figures' names, instead of its label.

    Raises UsageError where one is no run, has no records, or has no such x.
    """
    runs = [_read(path) for path in dict.fromkeys(paths)]
    keys, held = labels.differing([labels.flat(r.preset) for r in runs]), [labels.flat(r.preset) for r in runs]
    names = labels.labels(held)
    runs = [
        Ran(**vars(run) | {"label": name, "set": {key: of[key] for key in keys if key in of}})
        for run, of, name in zip(runs, held, names, strict=True)
    ]
    groups = _grouped(runs, slugs or {})
    for run in runs:
        if not run.figures["steps"] and not run.broken:
            raise UsageError(f"{run.path.name}: its worker has made no step yet; leave it out")
        if x not in run.figures and not run.broken:
            raise UsageError(
                f"{run.path.name}: nothing tells its {x}; leave it out, or choose another --x ({', '.join(XS)})"
            )
    at = _common([run for group in groups for run in group.sound], x)
    windows = all(run.preset.data.layout == "windows" for run in runs)
    unit = {"tokens": "examples" if windows else "tokens", "flops": "FLOPs"}.get(x, str(x))
    verdicts = _verdicts(groups, "val_loss" if _all_have(groups, "val_loss") else "loss", None)
    if at is not None:
        verdicts += _verdicts_at(groups, x, at)
    comparison = Comparison(x, unit, at, keys, groups, verdicts)
    comparison.sentences.extend(_sentences(comparison))
    return comparison


def equal_weights(runs: Iterable[Ran]) -> bool | None:
    """Whether runs of one seed and one model began with equal weights; None where no two can be compared."""
    by_seed: dict[tuple[int, str], set[str | None]] = {}
    counts: dict[tuple[int, str], int] = {}
    for run in runs:
        key = run.seed, f"{run.preset.model} {run.preset.batch.T} {run.figures.get('vocab')}"
        by_seed.setdefault(key, set()).add(run.weights)
        counts[key] = counts.get(key, 0) + 1
    compared = [by_seed[key] for key, n in counts.items() if n > 1 and None not in by_seed[key]]
    return all(len(hashes) == 1 for hashes in compared) if compared else None


# ------------------------------------------------------------------------------------------ reading and grouping


def _read(path: Path) -> Ran:
    if not is_run(path):
        raise UsageError(f"{str(path)!r} is not a run: expected a directory with a preset.toml and a commands folder")
    preset = presets.load(str(path / "preset.toml")).preset
    there = status.read(path)
    start = latest(read_events(path), "start") or {}
    return Ran(
        path, "", preset.seed, preset, status.observed(there), there.reason if there else "", figures.figures(path),
        start.get("weights"), start.get("fingerprint"), {},
    )  # fmt: skip


def _grouped(runs: Sequence[Ran], slugs: Mapping[Path, str]) -> list[Group]:
    """In the order in which their first runs were given."""
    found: dict[str, list[Ran]] = {}
    for run in runs:
        edits = [(e["step"], e["changes"]) for e in read_events(run.path) if e.get("type") == "edit"]
        alike = {key: value for key, value in labels.flat(run.preset).items() if key not in labels.APART}
        found.setdefault(repr((alike, edits, run.fingerprint)), []).append(run)
    groups, taken, slugs_taken = [], set(), set()
    for members in found.values():
        label = members[0].label or (members[0].preset.name if len(found) == 1 else "")
        if any(e.get("type") == "edit" for e in read_events(members[0].path)):
            label = f"{label} edited".strip()
        if not label or label in taken:  # edits or the text alone tell them apart
            label = f"{label} {members[0].path.name}".strip()
        taken.add(label)
        named = tuple(Ran(**vars(run) | {"label": label}) for run in members)
        slug = first = slugs.get(members[0].path) or labels.slug(label)
        for number in itertools.count(2):  # two values may be written alike: neither's figures replace the other's
            if slug not in slugs_taken:
                break
            slug = f"{first}_{number}"
        slugs_taken.add(slug)
        groups.append(Group(label, slug, named))
    return groups


def _all_have(groups: Iterable[Group], name: str) -> bool:
    return all(len(group.values(name)) == len(group.sound) for group in groups)


def _common(runs: Iterable[Ran], x: X) -> float | None:
    """The largest x that all sound runs have reached; None where they end within a step or 2% of each other."""
    ends = [(run.figures[x], run.figures[x] / max(run.figures["steps"], 1)) for run in runs if not run.broken]
    if not ends:
        return None
    least, most = min(end for end, _ in ends), max(end for end, _ in ends)
    a_step = max(step for _, step in ends) if x != "steps" else 0
    return None if most - least <= max(_SAME * most, a_step) else least


# ------------------------------------------------------------------------------------------ verdicts


def _verdicts(groups: Sequence[Group], metric: str, at: float | None) -> list[Verdict]:
    """Of every two groups, the lower one first."""
    return _judged([(g, g.values(metric)) for g in groups], metric, at)


def _verdicts_at(groups: Sequence[Group], x: X, at: float) -> list[Verdict]:
    """At a common x: by the evals there, if every run has one near enough before it, else by training losses."""
    evals = [(g, [_eval_at(run, x, at) for run in g.sound]) for g in groups]
    if all(value is not None for _, values in evals for value in values):
        return _judged([(g, [v for v in values if v is not None]) for g, values in evals], "val_loss", at)
    losses = [(g, [_loss_at(run, x, at) for run in g.sound]) for g in groups]
    return _judged([(g, [v for v in values if v is not None]) for g, values in losses], "loss", at)


def _judged(given: Sequence[tuple[Group, list[float]]], metric: str, at: float | None) -> list[Verdict]:
    out = []
    for (a, one), (b, other) in itertools.combinations([(g, values) for g, values in given if values], 2):
        gap = statistics.fmean(other) - statistics.fmean(one)
        lower, higher = (a, b) if gap >= 0 else (b, a)
        noise = spread(one, other)
        if not _comparable(a, b):
            said = "other data: these losses do not compare"
        elif noise is None:
            said = "one seed: no spread measured"
        else:
            said = "within noise" if abs(gap) <= noise else f"lower by {nats(abs(gap))}"
        out.append(Verdict(lower.label, higher.label, metric, at, abs(gap), noise, said))
    return out


def _comparable(a: Group, b: Group) -> bool:
    """A loss is per target of one text in one vocabulary."""
    one, other = a.runs[0], b.runs[0]
    same = ("data.tokenizer", "data.split", "data.val_fraction", "data.layout")
    held, also = labels.flat(one.preset), labels.flat(other.preset)
    return one.fingerprint == other.fingerprint and all(held[key] == also[key] for key in same)


def _eval_at(run: Ran, x: X, at: float) -> float | None:
    """The validation loss of the last eval up to there, if it is near."""
    steps = figures.steps_at(run.path, x, at)
    evals = [e for e in read_events(run.path) if e.get("type") == "eval" and e["step"] <= steps]
    if not evals or evals[-1].get("val_loss") is None or evals[-1]["step"] < _NEAR * steps:
        return None
    return float(evals[-1]["val_loss"])


def _loss_at(run: Ran, x: X, at: float) -> float | None:
    """The mean training loss of the last tenth, at most 500, of the records up to there."""
    steps = figures.steps_at(run.path, x, at)
    return figures.mean_loss(run.path, steps - figures.last_records(steps), steps) if steps else None


# ------------------------------------------------------------------------------------------ words


def _sentences(c: Comparison) -> list[str]:
    out = []
    equal = equal_weights(c.runs)
    if equal is not None:
        hashes = sorted({f"{run.weights:.12}" for run in c.runs if run.weights})
        which = f"SHA-256 {', '.join(hashes[:3])}{' …' if len(hashes) > 3 else ''}"
        same = "equal" if equal else "NOT equal"
        out.append(f"initial weights of runs with the same seed are {same} ({which})")
    for run in c.runs:
        if run.broken:
            out.append(f"{run.label} seed {run.seed}: {run.state} after {run.figures['steps']:,.0f} steps; left out")
        elif run.state not in ("done", "stopped"):
            out.append(f"{run.label} seed {run.seed} is {run.state}: judged by what it has done so far")
        at = run.figures.get("val_step")
        if at is not None and at < run.figures["steps"] and not run.broken:
            told = f"{run.figures['steps'] - at:,.0f} before its last"
            out.append(f"{run.label} seed {run.seed}: its validation loss is that of step {at:,.0f}, {told}")
    for group in c.groups:
        if len({run.seed for run in group.runs}) < len(group.runs):
            out.append(f"{group.label}: more than one run of a seed; the last one named counts")
    if c.at is not None:
        cut = [g.label for g in c.groups if any(r.figures[c.x] > c.at * (1 + _SAME) for r in g.sound)]
        out.append(
            f"the runs end at different {c.unit}: they are also compared at {place(c.at)} {c.unit}, "
            f"where {', '.join(cut)} {'was' if len(cut) == 1 else 'were'} in the middle of a longer schedule"
        )
    measured = [v for v in c.verdicts if v.spread is not None]
    if measured:
        out.append(MEANING)
    elif c.verdicts:
        out.append("one seed: no spread measured, so no gap here can be told from noise; --seeds 3 measures it")
    return out


def nats(gap: float) -> str:
    """A gap or a spread as it is written: four decimals, and never a zero that is none."""
    return "less than 0.0001" if 0 < gap < 0.00005 else f"{gap:.4f}" if gap else "0"


def place(x: float) -> str:
    """An x as it is written: whole where it is large."""
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def _told(run: Ran) -> dict[str, Any]:
    return {
        "run": str(run.path), "label": run.label, "seed": run.seed, "state": run.state, "set": run.set,
        **{name: run.figures.get(name) for name in FIGURES},
        **{name: run.figures.get(name) for name in ("loss_0", "clipped", "clip_coefficient", "lr_max")},
        "weights": run.weights,
    }  # fmt: skip
