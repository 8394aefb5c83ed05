"""`workbench sweep`: runs for every value of a setting, by real workers, and what they come to side by side."""

import argparse
import contextlib
import sys
import time
from typing import Any

from workbench import options, preset
from workbench.data.visible import visible
from workbench.headless.lines import Preparing, narrate
from workbench.lab import grid, sweep
from workbench.lab.grid import EQUALS, Grid
from workbench.plan.arithmetic import rounded
from workbench.plan.scaling import RULES
from workbench.preset import Preset
from workbench.runs import FORMAT, directory
from workbench.runs.files import dump
from workbench.runs.signals import Signals
from workbench.streams import drop
from workbench.words import compare

_OFTEN = 5.0
"""Seconds between two lines about a run that trains, where stderr is no terminal."""


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("preset", metavar="PRESET", help="a TOML file, a shipped preset's name, or - for stdin")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE[,VALUE…]",
        help="several values make a grid, one holds for every run; [0.9, 0.99] is one value; free text (dataset, "
             "data.text, sample.prompt) is one, unless each is quoted; repeatable",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, metavar="N", help="the preset's steps; a longer warmup is cut")
    parser.add_argument("--equal", choices=EQUALS, default="steps", help="what every run gets (default: steps)")
    parser.add_argument(
        "--scale",
        choices=RULES,
        help="how lr goes with the tokens a step (default: none at equal steps, else by optimizer)",
    )
    parser.add_argument("--seeds", type=_seeds, default=1, metavar="N", help="runs of each setting (default: 1)")
    parser.add_argument("--name", metavar="NAME", help="what the runs are called (default: the preset's name)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be trained; make nothing")
    options.runs_dir(parser)
    options.json(parser)


def run(a: argparse.Namespace) -> int:
    """Train a preset once for every value of a setting, one run after another, and compare them.

    --equal steps: every run has the preset's steps, and its lr: the setting is the one thing that differs.
    --equal tokens, --equal seconds: every run reads as many tokens, or takes as long, as the preset; its steps,
    warmup, milestones and intervals are rescaled before it starts, and lr goes with the tokens a step. No run is cut.
    Seconds are those of steps, measured before; evals and checkpoints come on top.
    Ctrl-C stops the run that trains, which saves first. A run that diverges or does not fit is a result.
    """
    Signals()  # the first ctrl-C or SIGTERM is an exception: the worker is told to stop
    axes = grid.parse(a.set)
    loaded = preset.load(a.preset, sets=axes.fixed, steps=a.steps, name=a.name)
    for note in loaded.notes:
        narrate(note)
    objects = _Objects() if a.json else None
    with Preparing(silent=a.json) as preparing:
        seconds = _Probes(preparing, objects)
        planned = grid.plan(
            loaded.preset, axes.swept, equal=a.equal, rule=a.scale, seeds=a.seeds, seconds=seconds,
            progress=preparing,
        )  # fmt: skip
    if a.dry_run:
        _tell_grid(planned, json=a.json)
        return 0
    narrate(_budget(planned))
    narrate(f"lr: {planned.why}")
    for cell in planned.cells:
        for note in cell.notes if cell.seed == planned.cells[0].seed else ():
            narrate(f"{cell.label}: {note}")
    comparison, told = sweep.sweep(planned, directory.runs_folder(a.runs_dir), _Teller(objects))
    if objects:
        objects.tell(told)
    elif comparison is not None:
        compare.show(comparison)
    return 0


def _budget(g: Grid) -> str:
    """How many runs of how much, and what whole steps make of equal tokens."""
    runs = f"{len(g.cells)} run{'' if len(g.cells) == 1 else 's'}"
    if g.equal == "seconds":
        return f"{runs} of {g.budget:,.3g} seconds as measured now each"
    told = f"{runs} of {g.budget:,.0f} {g.unit} each"
    read = [run["tokens"] for run in g.to_json()["runs"]]
    if g.equal == "steps" or {*read} == {g.budget}:
        return told
    return f"{told}, by whole steps {min(read):,} to {max(read):,}"


def _tell_grid(g: Grid, *, json: bool) -> None:
    told = g.to_json()
    if json:
        print(dump({"format": FORMAT, "type": "sweep", **told}))
        return
    print(_budget(g))
    print(f"lr: {g.why}\n")
    head = ["", "seed", "steps", "warmup", "tokens", "epochs", "lr"]
    rows = [head] + [
        [str(r["label"]), str(r["seed"]), f"{r['steps']:,}", f"{r['warmup']:,}", f"{r['tokens']:,}",
         rounded(r["epochs"]), f"{r['lr']:.6g}"]
        for r in told["runs"]
    ]  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    for row in rows:
        cells = (cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
        print("  ".join(cells))
    for cell in g.cells:
        for note in cell.notes if cell.seed == g.cells[0].seed else ():
            print(f"{cell.label}: {note}")


class _Probes:
    """Measures the seconds of a step, and says so."""

    def __init__(self, preparing: Preparing, objects: "_Objects | None") -> None:
        self._preparing, self._objects = preparing, objects

    def __call__(self, preset: Preset) -> float:
        b = preset.batch
        what = f"measuring a step of B = {b.B}, T = {b.T}, accum = {b.accum}"
        self._preparing(what, None)
        if self._objects:
            self._objects.tell({"format": FORMAT, "type": "phase", "phase": what, "percent": None})
        return sweep.seconds_a_step(preset)


class _Objects:
    """JSON lines on stdout. Whoever takes them no more, a reader that has gone or a full disk, ends the telling and not
    the training, as with `--headless`."""

    def __init__(self) -> None:
        self._gone = False

    def tell(self, told: dict[str, Any]) -> None:
        if self._gone:
            return
        try:
            print(dump(told), flush=True)
        except (OSError, ValueError):
            self._gone = True
            drop(sys.stdout)


class _Teller:
    """Hears of every run: JSON lines on stdout, or one line on stderr that is written over on a terminal."""

    def __init__(self, objects: _Objects | None) -> None:
        self._objects, self._live = objects, sys.stderr.isatty()
        self._last, self._next = "", 0.0

    def __call__(self, told: dict[str, Any]) -> None:
        if self._objects:
            self._objects.tell(told)
            return
        over = told["state"] not in ("starting", "running", "paused", "unresponsive")
        now = time.monotonic()
        if over or self._live or now >= self._next:
            self._next = now + _OFTEN
            self._say(told, over)

    def _say(self, told: dict[str, Any], over: bool) -> None:
        loss = "" if told["loss"] is None else f"  loss {told['loss']:.4f}"
        doing = told.get("phase") or told["state"]
        line = (
            f"{told['number']}/{told['of']}  {told['label']}  seed {told['seed']}  "
            f"step {told['step']:,}/{told['steps']:,}{loss}  {told['state'] if over else doing}"
        )
        if over and told["reason"]:
            line += f": {told['reason']}"
        if line == self._last:
            return
        self._last = line
        if self._live and not over:
            with contextlib.suppress(OSError):
                sys.stderr.write(f"\r\x1b[K{visible(line)}")
                sys.stderr.flush()
            return
        if self._live:
            with contextlib.suppress(OSError):
                sys.stderr.write("\r\x1b[K")
        narrate(line)


def _seeds(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 100:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: expected how many seeds, a whole number from 1 to 100")
