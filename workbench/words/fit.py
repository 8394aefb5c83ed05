"""`workbench fit`: the largest B that fits and the fastest, measured; or three scenarios under one memory limit."""

import argparse
import math
from pathlib import Path
from shlex import quote
from typing import Any

from workbench import options
from workbench import preset as presets
from workbench.data.visible import visible
from workbench.errors import UsageError
from workbench.headless.lines import Preparing, narrate
from workbench.lab import fit, scenarios, sizes
from workbench.lab.busy import busy
from workbench.lab.trial import OutOfMemory, Told
from workbench.plan.arithmetic import tokens_per_step_of
from workbench.preset import Preset
from workbench.runs import FORMAT
from workbench.runs.files import dump
from workbench.words import saving

_BAR = 14
"""Columns of a bar: two of them and their figures are 80 columns."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("preset", metavar="PRESET", help="a TOML file, a shipped preset's name, or - for stdin")
    parser.add_argument(
        "--memory-limit", type=_memory, metavar="SIZE",
        help="2GiB, 512MiB, …: what training may hold (default: the card's free memory, or 75%% of the computer's)",
    )  # fmt: skip
    parser.add_argument(
        "--tokens", type=options.whole, metavar="N",
        help="targets a step, held by moving accum (default: the preset's; with --scenarios 32,768)",
    )  # fmt: skip
    parser.add_argument(
        "--max-B", type=options.whole, metavar="N", help="run no larger B (default: the training split's rows)"
    )
    parser.add_argument("--steps", type=_steps, metavar="N", help=f"full steps of every size (default: {fit.STEPS})")
    parser.add_argument(
        "--scenarios", action="store_true", help="all at once, small without accum, small with it: under one limit"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="over the preset; repeatable")
    saving.declare(parser, "the fastest B that holds tokens a step")
    options.json(parser)


def run(a: argparse.Namespace) -> int:
    """Find the largest B that fits and the fastest, by full steps in fresh processes: forward, backward, optimizer,
    evaluation, and compiling where the preset asks for it. No size is named that was not run. On a CPU the limit
    stands for a card: it counts what training holds, not Python and torch themselves. Exit code 4 where not even
    B = 1 fits, or scenario B does not."""
    given = [
        name for name, there in (("--max-B", a.max_B), ("--steps", a.steps), ("--save", a.save)) if there is not None
    ]
    if a.scenarios and given:
        raise UsageError(f"{', '.join(given)}: not with --scenarios, which runs three given sizes and saves none")
    path = saving.target(a)  # before minutes are spent
    loaded = presets.load(a.preset, sets=a.set)
    for note in loaded.notes:
        narrate(note)
    others = busy()  # before there is work of its own
    with Preparing(silent=a.json) as preparing:
        code = _scenarios(a, loaded.preset, preparing) if a.scenarios else _fit(a, loaded.preset, preparing, path)
    if others:
        narrate(others)
    return code


def _fit(a: argparse.Namespace, preset: Preset, preparing: Preparing, path: Path | None) -> int:
    wanted = fit.Wanted(preset, limit=a.memory_limit, tokens=a.tokens, max_B=a.max_B, steps=a.steps or fit.STEPS)
    table = _Growing(a.json, preparing, _HEADER, _row)
    told = fit.fit(wanted, table.hear, preparing)
    preparing.done()
    if a.json:
        _tell(told)
    elif told["largest"]:
        for line in ("", *_chart(told), "", *told["sentences"]):
            print(line)
    if told["largest"] is None:
        raise OutOfMemory(told["sentences"][0])
    _offer(a, preset, told["choice"], path)
    return 0


def _scenarios(a: argparse.Namespace, preset: Preset, preparing: Preparing) -> int:
    table = _Growing(a.json, preparing, "", lambda told: f"{told['name']}  {told['sentence']}")
    told = scenarios.scenarios(preset, limit=a.memory_limit, tokens=a.tokens, hear=table.hear, progress=preparing)
    preparing.done()
    if a.json:
        _tell(told)
    else:
        for line in ("", *told["sentences"]):
            print(line)
    if told["scenarios"][1]["state"] != "done":
        raise OutOfMemory(f"not even {told['scenarios'][1]['sentence']}")
    return 0


# ------------------------------------------------------------------------------------------ telling


def _tell(told: Told) -> None:
    print(dump({"format": FORMAT, **told}), flush=True)


class _Growing:
    """Objects as they come: JSON lines, or a table's rows on stdout above a line of what is being done on stderr."""

    def __init__(self, json: bool, preparing: Preparing, header: str, row: Any) -> None:
        self._json, self._preparing, self._header, self._row = json, preparing, header, row

    def hear(self, told: Told) -> None:
        if self._json:
            _tell(told)
            return
        if told["type"] == "phase":
            self._preparing(told["phase"], None)
            return
        self._preparing.done()
        if self._header:
            print(self._header)
            self._header = ""
        print(visible(self._row(told)), flush=True)


_HEADER = f"{'B':>9} {'accum':>7} {'a step':>11} {'memory':>11} {'expected':>11} {'step':>10} {'per second':>12}"


def _row(p: Told) -> str:
    size = f"{p['B']:>9,} {p['accum']:>7,} {p['tokens_per_step']:>11,}"
    expected = "–" if p["predicted_bytes"] is None else sizes.written(p["predicted_bytes"])
    if not p["fits"]:
        return f"{size} {'no':>11} {expected:>11}  {_short(p['reason'])}"
    step, speed = _seconds(p["seconds_per_step"]), f"{p['tokens_per_s']:,.0f}"
    return f"{size} {sizes.written(p['memory_bytes']):>11} {expected:>11} {step:>10} {speed:>12}"


def _short(reason: str) -> str:
    return "killed by the system" if "killed" in reason else reason.partition(":")[0]


def _chart(told: Told) -> list[str]:
    """Memory and speed against B: a bar each, and the share of the fastest."""
    fitted = [p for p in told["probes"] if p["fits"]]
    limit, fastest = told["limit_bytes"], max(p["tokens_per_s"] for p in fitted)
    lines = [
        f"{'B':>9}  {f'memory, of {sizes.written(limit)}':<{_BAR + 12}} {'per second':<{_BAR + 10}}  of the fastest"
    ]
    for p in fitted:
        share = p["tokens_per_s"] / fastest
        lines.append(
            f"{p['B']:>9,}  {_bar(p['memory_bytes'] / limit)} {sizes.written(p['memory_bytes']):>11}"
            f" {_bar(share)} {p['tokens_per_s']:>9,.0f}  {share:>5.0%}"
        )
    return lines


def _bar(share: float) -> str:
    eighths = min(8 * _BAR, math.ceil(8 * _BAR * share))
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(_BAR)


def _seconds(seconds: float) -> str:
    return f"{seconds:,.2f} s" if seconds >= 0.995 else f"{1000 * seconds:,.1f} ms"


# ------------------------------------------------------------------------------------------ saving


def _offer(a: argparse.Namespace, preset: Preset, choice: Told, path: Path | None) -> None:
    """Save the fastest B that holds the tokens a step, or say with which options a run has it."""
    edits = {"batch.B": choice["B"], "batch.accum": choice["accum"]}
    if path:
        named = f" with B = {choice['B']}, accum = {choice['accum']}"
        saving.save(path, presets.apply(preset, edits, source="--save"), named=named)
    elif not a.json:
        sets = "".join(f" --set {quote(visible(text))}" for text in a.set)
        print(f"\n  workbench {quote(visible(a.preset))}{sets} --set B={choice['B']} --set accum={choice['accum']}")
    if choice["tokens_per_step"] != tokens_per_step_of(preset):
        narrate("lr is the preset's, for other tokens a step; `workbench plan` scales it")


# ------------------------------------------------------------------------------------------ options


def _steps(text: str) -> int:
    if text.isdecimal() and len(text) <= 6 and int(text) >= 2:
        return int(text)
    raise argparse.ArgumentTypeError(
        f"{text[:40]!r}: expected a whole number from 2, the first step that finds the optimizer's state, to 999,999"
    )


def _memory(text: str) -> int:
    try:
        return sizes.parse(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
