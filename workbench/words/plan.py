"""`workbench plan`: B, T, accum and world for so many tokens a step, and what that comes to."""

import argparse
import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from textwrap import wrap
from typing import Any

from workbench import options
from workbench import preset as presets
from workbench.data.corpus import Corpus, open_corpus
from workbench.data.rows import Rows
from workbench.data.visible import visible
from workbench.errors import DataError, UsageError
from workbench.headless.lines import Preparing, narrate
from workbench.lab import sizes
from workbench.lab.planned import Planned, document, planned
from workbench.plan import arithmetic, parameters, scaling
from workbench.plan.derivation import Step, derivation
from workbench.plan.planner import NotWhole, Plan, solve
from workbench.plan.totals import TOTALS
from workbench.preset import Preset
from workbench.runs import FORMAT, directory
from workbench.runs.files import dump
from workbench.words import saving

_SLOWEST = 1e-6
"""Tokens a second that a time can be told of."""
_WIDE = 96
"""Columns of a value; a longer one goes on below."""


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "preset", nargs="?", metavar="PRESET", help="a TOML file, a shipped preset's name, or - for stdin"
    )
    parser.add_argument("--tokens", type=options.whole, metavar="N", help="targets a step, on all ranks")
    for name, what in (
        ("T", "tokens a row"),
        ("B", "rows a micro-batch"),
        ("accum", "micro-batches a step"),
    ):
        parser.add_argument(f"--{name}", type=options.whole, metavar="N", help=what)
    parser.add_argument("--world", type=options.world, metavar="N", help="ranks that train together (default: 1)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="over the preset; repeatable")
    parser.add_argument("--rate", type=_rate, metavar="TOKENS_PER_S", help="of all ranks together, instead of a run's")
    parser.add_argument(
        "--scale", choices=scaling.RULES, help="how lr goes with tokens a step (default: the optimizer's own rule)"
    )
    saving.declare(parser, "this B, T, accum and lr")
    parser.add_argument("--derive", action="store_true", help="the five steps that lead there")
    parser.add_argument("--totals", action="store_true", help="what known models took a step, with sources")
    options.runs_dir(parser)
    options.json(parser)


def run(a: argparse.Namespace) -> int:
    """Solve tokens a step = B·T·accum·world for what is left open: with --tokens, accum (B if --accum is given, then T,
    then world); without --tokens, tokens. What is not given comes from the preset. Nothing is trained or fetched."""
    if a.preset is None:
        if a.totals:
            _check_alone(a)
            _print_totals(json=a.json)
            return 0
        raise UsageError(
            "which preset? name a TOML file or a shipped preset, as in `workbench plan char --tokens 16384`"
        )
    path = saving.target(a)
    loaded = presets.load(a.preset, sets=a.set)
    for note in loaded.notes:
        narrate(note)
    plan = _solved(a, loaded.preset)
    corpus, note = _text(loaded.preset, quiet=a.json)
    if corpus:
        _check_T(loaded.preset, plan, corpus)
    rule = a.scale or scaling.default_rule(loaded.preset.optimizer.kind)
    runs = directory.runs_folder(a.runs_dir)
    p = planned(loaded.preset, plan, rule=rule, corpus=corpus, runs=runs, rate=a.rate)
    if path:
        _save(path, p)
    if a.json:
        print(dump(_document(a, p, note)))
        return 0
    _print(a, p, runs)
    if note:
        narrate(note)
    return 0


def _check_alone(a: argparse.Namespace) -> None:
    """Raise UsageError for options of a plan, where there is no preset to plan for."""
    plan = ("tokens", "T", "B", "accum", "world", "set", "rate", "scale", "save", "force", "derive", "runs_dir")
    if given := [f"--{name.replace('_', '-')}" for name in plan if getattr(a, name)]:
        raise UsageError(f"{', '.join(given)}: of a plan, which needs a PRESET; --totals alone lists what is known")


# ------------------------------------------------------------------------------------------ solving


def _solved(a: argparse.Namespace, preset: Preset) -> Plan:
    """The plan that the options ask for, the preset's settings in the place of what they leave out but for one."""
    windows = preset.data.layout == "windows"
    held = Plan.of(preset).numbers()
    asked = {name: value for name in held if (value := getattr(a, name)) is not None}
    open_ = "tokens"
    if a.tokens is not None:
        left = [name for name in ("accum", "B", "T", "world") if name not in asked and not (windows and name == "T")]
        if not left:
            raise UsageError("--tokens and all of its factors are given: leave one out, and it is solved for")
        open_ = left[0]
    given = {name: value for name, value in {**held, **asked}.items() if name != open_}
    try:
        return solve(given, layout=preset.data.layout)
    except NotWhole as error:
        raise UsageError(str(error)) from None


def _check_T(preset: Preset, plan: Plan, corpus: Corpus) -> None:
    """Refuse, as a run would, a T of which the text has no row."""
    planned_T = presets.apply(preset, {"batch.T": plan.T}, source="plan")
    Rows.of(planned_T, tokens=corpus.splits["train"].n)


def _text(preset: Preset, *, quiet: bool) -> tuple[Corpus | None, str]:
    """The corpus, if it is here, else why it is not; a plan never fetches one."""
    try:
        with Preparing(silent=quiet) as preparing:
            return open_corpus(preset.data, progress=preparing, download=False), ""
    except DataError as error:
        return None, f"steps per epoch need the text: {error}"


# ------------------------------------------------------------------------------------------ telling


def _document(a: argparse.Namespace, p: Planned, note: str) -> dict[str, Any]:
    told = {"format": FORMAT, **document(p), "note": note}
    if a.derive:
        told["derivation"] = [asdict(step) for step in _steps(a, p)]
    if a.totals:
        told["totals"] = [asdict(total) for total in TOTALS]
    return told


def _print(a: argparse.Namespace, p: Planned, runs: Path) -> None:
    given = p.preset
    lines = [*_counted(p), *_timed(p, runs), *_lr(p), *_memory(p)]
    print(f"{given.name}: {given.model.kind}, {given.optimizer.kind}, {given.data.tokenizer} tokens\n")
    width = max(len(label) for label, _ in lines)
    for label, value in lines:
        first, *more = wrap(value, _WIDE, break_on_hyphens=False)
        print(f"{label:<{width}}  {first}", *(f"{'':<{width}}  {line}" for line in more), sep="\n")
    if a.derive:
        print()
        for number, step in enumerate(_steps(a, p), 1):
            print(f"{number}  {step.title}: {step.figure}\n   {step.sentence}")
    if a.totals:
        print()
        _print_totals(json=False)


def _noun(p: Planned) -> str:
    """What a target is called: characters, bytes, tokens or examples."""
    return arithmetic.unit(p.preset.data.tokenizer, p.preset.data.layout)


def _counted(p: Planned) -> Iterator[tuple[str, str]]:
    plan, noun = p.plan, _noun(p)
    in_all = plan.tokens * p.steps
    yield f"{noun} a step", plan.product()
    yield (
        "rows a step",
        f"{plan.rows:,}, " + ("one target each" if plan.layout == "windows" else f"{plan.T:,} targets each"),
    )
    yield "accumulation", p.verdict
    yield "steps", f"{p.steps:,}, {in_all:,} {noun} in all"
    if p.train and p.steps_per_epoch and p.epochs:
        epoch, epochs = arithmetic.rounded(p.steps_per_epoch), arithmetic.rounded(p.epochs)
        yield "an epoch", f"{epoch} steps: {p.train:,} {noun}; {epochs} epochs planned"
    else:
        yield "an epoch", "unknown: it needs the text, which is not here"
    if p.params is not None:
        yield "parameters", f"{p.params:,}"
    if p.flops is not None:
        step = p.flops * plan.tokens
        yield "FLOPs", f"{_si(p.flops)} for each of the {noun}, {_si(step)} a step, {_si(step * p.steps)} in all"


def _timed(p: Planned, runs: Path) -> Iterator[tuple[str, str]]:
    if p.rate and p.seconds and p.hourly:
        yield "rate", f"{arithmetic.rounded(p.rate)} {_noun(p)} a second, by {visible(p.rate_from or '')}"
        each, all_, hourly = _duration(p.seconds), _duration(p.seconds * p.steps), arithmetic.rounded(p.hourly)
        yield "time", f"{each} a step, {all_} in all, {hourly} updates an hour"
    else:
        yield (
            "time",
            f"not measured: no run of this model, T and tokenizer is in {visible(str(runs))}; "
            "train one for some steps, or give --rate",
        )


def _lr(p: Planned) -> Iterator[tuple[str, str]]:
    now, noun = p.preset.optimizer.lr, _noun(p)
    if p.plan.tokens == p.tokens_before:
        yield "lr", f"{now:g}, the preset's, which takes as many {noun} a step"
        return
    yield (
        "lr",
        f"{now:.4g} by rule {p.rule}: {arithmetic.rounded(p.factor)} times the {p.tokens_before:,} {noun} a step "
        f"that the preset takes with {p.lr_before:g}",
    )
    others = (rule for rule in scaling.RULES if rule != p.rule)
    yield "", "; ".join(f"--scale {rule}: {scaling.scaled_lr(p.lr_before, p.factor, rule):.4g}" for rule in others)
    yield "", f"the default is {scaling.why(p.preset.optimizer.kind)}"
    yield "", "a rule extrapolates: `workbench sweep` measures"


def _memory(p: Planned) -> Iterator[tuple[str, str]]:
    if p.memory:
        yield "memory", f"{sizes.written(parameters.total(p.memory))} on each device, estimated"
        for item in p.memory:
            yield "", f"{sizes.written(item.count):>9}  {item.name}"


def _steps(a: argparse.Namespace, p: Planned) -> list[Step]:
    sets = [*a.set, f"T={p.plan.T}"] if a.T is not None else a.set
    fit = " ".join(["workbench fit", quote(visible(a.preset)), *(f"--set {quote(visible(text))}" for text in sets)])
    return derivation(p.plan, fit=fit, updates_per_hour=p.hourly)


def _print_totals(*, json: bool) -> None:
    if json:
        print(dump({"format": FORMAT, "type": "totals", "totals": [asdict(total) for total in TOTALS]}))
        return
    widths = [max(len(getattr(total, name)) for total in TOTALS) for name in ("model", "how")]
    for total in TOTALS:
        tokens = f"{'' if total.exact else 'about '}{total.tokens:,}"
        print(f"{tokens:>15}  {total.model:<{widths[0]}}  {total.how:<{widths[1]}}  {total.source}")


# ------------------------------------------------------------------------------------------ saving


def _save(path: Path, p: Planned) -> None:
    saving.save(path, p.preset)
    if p.preset.optimizer.lr != p.lr_before:
        narrate(f"lr = {p.preset.optimizer.lr:g} in it, scaled by rule {p.rule}; --scale none keeps {p.lr_before:g}")
    if p.plan.world > 1:
        narrate(f"world = {p.plan.world} is not in it: it belongs to the launch")


# ------------------------------------------------------------------------------------------ words and numbers


def _rate(text: str) -> float:
    with contextlib.suppress(ValueError):
        if _SLOWEST <= (value := float(text)) <= options.LARGEST:
            return value
    raise argparse.ArgumentTypeError(
        f"{text[:40]!r}: expected tokens a second, a number over 0 (from {_SLOWEST:g} to {options.LARGEST:g})"
    )


def _si(count: float) -> str:
    """Three digits and a letter: 854 M, 448 T."""
    for unit in ("", " K", " M", " G", " T", " P", " E", " Z"):
        if count < 999.5 or unit == " Z":
            break
        count /= 1000
    return f"{count:,.3g}{unit}" if count < 999.5 else f"{count:,.0f}{unit}"


def _duration(seconds: float) -> str:
    """0.25 ms, 4.2 s, 4.2 min, 3.1 h, 12 days."""
    if seconds < 0.1:
        return f"{arithmetic.rounded(1000 * seconds)} ms"
    for unit, long in (("s", 60.0), ("min", 60.0), ("h", 48.0), ("days", float("inf"))):
        if seconds < long:
            break
        seconds /= 24 if unit == "h" else 60
    return f"{arithmetic.rounded(seconds)} {unit}"
