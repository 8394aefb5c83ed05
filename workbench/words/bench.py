"""`workbench bench`: tokens a second on this machine, what bounds them, and what would be faster, measured."""

import argparse
import textwrap
from collections.abc import Iterator

from workbench import options
from workbench import preset as presets
from workbench.data import tuned
from workbench.data.visible import visible
from workbench.errors import UsageError
from workbench.headless.lines import Preparing, narrate
from workbench.lab import bench, sizes, tune
from workbench.lab.bench import rate
from workbench.lab.busy import busy
from workbench.lab.trial import Told
from workbench.preset import Preset
from workbench.runs import FORMAT
from workbench.runs.files import dump

_WIDTH = 80
_TUNING = 1.5
"""Seconds of steps of each choice: what differs by less than a few percent is not chosen anyway."""


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "preset", nargs="?", default="char", metavar="PRESET",
        help="a TOML file, a shipped preset's name, or - for stdin (default: char)",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=_seconds, metavar="S",
        help=f"of steps to time in all, about (default: {bench.SECONDS:g}); with --tune, of each choice "
        f"(default: {_TUNING:g})",
    )  # fmt: skip
    parser.add_argument(
        "--tune", action="store_true", help="time precision, attention and threads; keep the fastest for new runs here"
    )
    parser.add_argument("--forget", action="store_true", help="with --tune: forget what was kept for this shape")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="over the preset; repeatable")
    options.json(parser)


def run(a: argparse.Namespace) -> int:
    """Time the preset's full training step as a run makes it, and say what bounds it: what is paid whatever B is,
    arithmetic at the rate of this machine's own matrix products, or the rest. What might be faster is run, and told
    with its figure. Without --tune nothing is kept."""
    if a.forget and not a.tune:
        raise UsageError("--forget goes with --tune")
    loaded = presets.load(a.preset, sets=a.set)
    for note in loaded.notes:
        narrate(note)
    if a.forget:
        return _forget(loaded.preset, json=a.json)
    others = busy()  # before there is work of its own
    with Preparing(silent=a.json) as preparing:
        if a.tune:
            code = _tune(loaded.preset, preparing, seconds=a.seconds or _TUNING, json=a.json)
            if others:
                narrate(others)
            return code
        told = bench.bench(loaded.preset, lambda told: _prepare(preparing, told), seconds=a.seconds or bench.SECONDS)
    if a.json:
        _tell(told)
    else:
        for note in told["notes"]:
            narrate(note)
        for line in lines(told):
            print(visible(line))
    if others:
        narrate(others)
    return 0


def _tell(told: Told) -> None:
    print(dump({"format": FORMAT, **told}), flush=True)


def _prepare(preparing: Preparing, told: Told) -> None:
    if told["type"] == "phase":
        preparing(str(told["phase"]), None)


# ------------------------------------------------------------------------------------------ the step


def lines(told: Told) -> Iterator[str]:
    """The `bench` object as text of about 80 columns."""
    step = told["seconds_per_step"]
    way = [
        _threads(told) if told["device"] == "cpu" else told["device"],
        told["precision"],
        *([f"{told['attention']} attention"] if told["attention"] else []),
        *(["compiled"] if told["compile"] else []),
        *([told["made"]] if told["made"] != "eager" else []),
        f"torch {told['torch_version']}",
        *(["tuned"] if told["tuned"] else []),
    ]
    yield f"{told['preset']}  {told['device_model']}"
    yield f"  {', '.join(way)}"
    of = (
        f"median of {told['steps']:,}, half of them within {told['spread']:.0%}" if told["steps"] > 1 else "of one step"
    )
    yield (
        f"  {rate(told['tokens_per_s'])} {told['unit']}/s  {rate(told['steps_per_s'])} steps/s  "
        f"{_time(step)} a step ({of})"
    )
    yield (
        f"  B = {told['B']:,}, T = {told['T']:,}, accum = {told['accum']:,}: "
        f"{_time(told['seconds_micro'])} a micro-batch, {_time(told['seconds_update'])} an update"
    )
    peak = f"{_flops(told['peak_flops_per_s'])}FLOP/s"
    if told["peak_fp32_flops_per_s"]:
        peak += f" (fp32: {_flops(told['peak_fp32_flops_per_s'])}FLOP/s)"
    parts = [
        (told["seconds_fixed"], f"whatever B is: Python, launches, the update's {_time(told['seconds_update'])}", ""),
        (told["seconds_arithmetic"], f"arithmetic at the measured peak of {peak}", " MFU"),
        (told["seconds_rest"], "memory traffic and kernels that do not multiply", ""),
        (-told["seconds_both"], "both at once: launched while the device multiplies", ""),
    ]
    for seconds, what, also in parts:
        if abs(seconds) >= 0.005 * step:
            yield f"  {_time(seconds):>9}  {what} ({seconds / step:.0%}{also})"
    if told["memory_bytes"] is not None:
        yield f"  peak memory {sizes.written(told['memory_bytes'])}, besides Python and torch"
    for sentence in told["sentences"]:
        yield from textwrap.wrap(sentence, _WIDTH)


def _threads(told: Told) -> str:
    return f"{told['threads']} thread{'' if told['threads'] == 1 else 's'}"


def _time(seconds: float) -> str:
    """Three digits that count, in seconds, ms or µs."""
    size = abs(seconds)
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if size * scale >= 0.9995 or unit == "µs":
            return f"{seconds * scale:,.0f} {unit}" if size * scale >= 99.95 else f"{seconds * scale:.3g} {unit}"
    raise AssertionError


def _flops(value: float) -> str:
    for unit, scale in (("T", 1e12), ("G", 1e9)):
        if value >= scale / 10:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e6:.3g} M"


# ------------------------------------------------------------------------------------------ tuning


def _tune(preset: Preset, preparing: Preparing, *, seconds: float, json: bool) -> int:
    gpt = preset.model.kind == "gpt"
    header = [f"{'precision':<10} {'attention':<10} {'threads':>7} {'tokens/s':>10} {'a step':>10} {'apart':>6}"]

    def hear(told: Told) -> None:
        if told["type"] != "tried":
            _prepare(preparing, told)
        elif json:
            _tell(told)
        else:
            preparing.done()
            print(*header, sep="\n", end="\n" if header else "")
            header.clear()
            print(
                f"{told['precision']:<10} {told['attention'] if gpt else '–':<10} {told['threads']:>7} "
                f"{rate(told['tokens_per_s']):>10} {_time(told['seconds_per_step']):>10} {told['spread']:>6.0%}",
                flush=True,
            )

    told = tune.tune(preset, hear, seconds=seconds)
    preparing.done()
    if json:
        _tell(told)
        return 0
    if max(row["spread"] for row in told["tried"]) > bench.BUSY:
        narrate("steps were far apart: something else ran here meanwhile; tune again when nothing does")
    gain = told["tokens_per_s"] / told["rule_tokens_per_s"] - 1
    chosen = ", ".join((told["precision"], *([f"{told['attention']} attention"] if gpt else []), _threads(told)))
    by_rule = all(told[name] == told[f"rule_{name}"] for name in tune.FIELDS)
    why = "nothing is clearly faster than the rule's" if by_rule else f"{gain:+.0%} against the rule's"
    print(f"\n{chosen}: {why}; kept for new runs of this shape on this machine, in")
    print(visible(told["path"]))
    print("`workbench bench --tune --forget`, or removing the file, forgets it")
    return 0


def _forget(preset: Preset, *, json: bool) -> int:
    gone = tuned.forget(tuned.shape(preset))
    if json:
        _tell({"type": "forgotten", "paths": [str(path) for path in gone]})
    elif not gone:
        print("nothing was kept for this shape")
    else:
        for path in gone:
            print(visible(f"removed {path}"))
    return 0


def _seconds(text: str) -> float:
    value = options.seconds(text)
    if not 0.1 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r}: expected seconds from 0.1 to 3,600")
    return value
