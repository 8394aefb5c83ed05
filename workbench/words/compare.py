"""`workbench compare`: runs side by side, in a table, in sentences, and as curves in characters."""

import argparse
import shutil
import sys
from typing import Any

from workbench import options
from workbench.data.visible import visible
from workbench.lab import overlay
from workbench.lab.compare import XS, Comparison, Verdict, compare, nats, place
from workbench.runs import directory
from workbench.runs.files import dump

_PAIRS = 6
"""Verdicts that are all told; of more, those against the lowest."""


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="names, unique prefixes, paths, or `last`")
    parser.add_argument("--x", choices=XS, default="steps", help="what they are compared by (default: steps)")
    options.runs_dir(parser)
    options.json(parser)


def run(a: argparse.Namespace) -> int:
    """What differs between runs, what each came to, and whether by more than the spread of seeds.

    Runs whose settings differ by their seed alone are one group: it shows the median over its seeds. With one seed
    a group there is no spread, and no gap is told from noise. The test split is not looked at.
    """
    folder = directory.runs_folder(a.runs_dir)
    comparison = compare([directory.find(folder, run) for run in a.runs], a.x)
    if a.json:
        print(dump(comparison.to_json()))
    else:
        show(comparison)
    return 0


def show(c: Comparison) -> None:
    """The chart (on a terminal), the table, the verdicts and the sentences, on stdout."""
    if sys.stdout.isatty():
        width = max(60, min(shutil.get_terminal_size().columns - 1, 110))
        for line in overlay.chart(c, width=width):
            print(line)
        print()
    for line in table(c, shutil.get_terminal_size().columns if sys.stdout.isatty() else None):
        print(line)
    told = verdicts(c)
    if told:
        print()
    for line in told:
        print(line)
    print()
    for sentence in c.sentences:
        print(visible(sentence))


def table(c: Comparison, width: int | None = None) -> list[str]:
    """A line a group, medians over its seeds; the letter is its curve's in the chart. Columns that `width` cells do
    not hold are left out, those first that the others imply."""
    windows = all(run.preset.data.layout == "windows" for run in c.runs)
    unit = "examples" if windows else "tokens"
    head = ["", "", "seeds", "steps", unit, "epochs", "seconds", "loss", "noise", "val", "spread", "val-train",
            f"{unit}/s", "FLOPs"]  # fmt: skip
    rows = [head]
    for letter, g in zip(overlay.letters(c), c.groups, strict=True):
        told = [
            ("steps", ",.0f"), ("tokens", ",.0f"), ("epochs", ",.3g"), ("seconds", ",.1f"), ("loss", ".4f"),
            ("noise", ".4f"), ("val_loss", ".4f"),
        ]  # fmt: skip
        broken = {run.state for run in g.runs if run.broken}
        label = f"{g.label} ({', '.join(sorted(broken))})" if broken else g.label
        rows.append(
            [letter, visible(label), str(len(g.sound))]
            + [_number(g.median(name), how) for name, how in told]
            + [_number(g.range("val_loss"), ".4f"), _number(g.median("gap"), "+.4f")]
            + [_number(g.median("tokens_per_s"), ",.0f"), _number(g.median("flops"), ".2e")]
        )
    kept = list(range(len(head)))
    for name in (f"{unit}/s", "FLOPs", "epochs", "seeds", "spread", "seconds", unit, "val-train"):
        if width is None or sum(max(len(row[i]) for row in rows) + 2 for i in kept) - 2 <= width:
            break
        kept.remove(head.index(name))
    widths = {i: max(len(row[i]) for row in rows) for i in kept}
    return ["  ".join(row[i].ljust(w) if i < 2 else row[i].rjust(w) for i, w in widths.items()) for row in rows]


def verdicts(c: Comparison) -> list[str]:
    """One line a pair of groups; of many pairs those with the lowest."""
    out = []
    for at in dict.fromkeys(v.at for v in c.verdicts):
        there = [v for v in c.verdicts if v.at == at]
        if len(there) > _PAIRS:
            lowest = next(g.label for g in c.groups if all(v.a == g.label for v in there if g.label in (v.a, v.b)))
            there = [v for v in there if v.a == lowest]
        where = "at their ends" if at is None else f"at {place(at)} {c.unit}"
        out += [f"{where}, {_metric(v)}: {_sentence(v)}" for v in there]
    return out


def _metric(v: Verdict) -> str:
    return {"val_loss": "validation loss", "loss": "training loss"}[v.metric]


def _sentence(v: Verdict) -> str:
    gap = f"{v.a} is {nats(v.gap)} under {v.b}" if v.gap else f"{v.a} equals {v.b}"
    if v.spread is None:
        return visible(f"{gap}; {v.verdict}")
    noise = "within noise" if v.verdict == "within noise" else "more than noise"
    return visible(f"{gap}: {noise} (spread {nats(v.spread)})" if v.gap else gap)


def _number(value: Any, how: str) -> str:
    return "–" if value is None else format(value, how)
