"""`workbench check`: questions about batches that an experiment answers, measured here and now."""

import argparse
import textwrap
from typing import Any

from workbench import options
from workbench import preset as presets
from workbench.data.visible import visible
from workbench.headless.lines import Preparing, narrate
from workbench.lab.check import CHECKS, check
from workbench.runs import FORMAT
from workbench.runs.files import dump

_WIDTH = 80


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "check", choices=tuple(CHECKS), help="; ".join(f"{name}: {what}" for name, what in CHECKS.items())
    )
    parser.add_argument("preset", metavar="PRESET", help="a TOML file, a shipped preset's name, or - for stdin")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="over the preset; repeatable")
    parser.add_argument(
        "--after", type=_steps, metavar="N", help="gradient: train N steps first (default: up to 2,000)"
    )
    parser.add_argument("--steps", type=_steps, metavar="N", help="last-position: steps of each run (default: 500)")
    options.json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure what splitting a step, its batch size, or its targets change: tables, and sentences with their figures.

    Exit code 0, or 1 where a tolerance is not kept.
    """
    a = arguments
    loaded = presets.load(a.preset, sets=a.set)
    if a.json:

        def hear(told: dict[str, Any]) -> None:
            print(dump({"format": FORMAT, **told}), flush=True)

        result = check(a.check, loaded.preset, hear, after=a.after, steps=a.steps)
        hear(result)
        return 0 if result["holds"] else 1
    for note in loaded.notes:
        narrate(note)
    with Preparing(silent=False) as preparing:

        def prepare(told: dict[str, Any]) -> None:
            percent = told.get("percent")
            preparing(str(told.get("phase", "")), None if percent is None else percent / 100)

        result = check(a.check, loaded.preset, prepare, after=a.after, steps=a.steps)
    print(text(result))
    return 0 if result["holds"] else 1


def text(result: dict[str, Any]) -> str:
    """A check's object as text of at most 80 columns."""
    blocks = [visible(f"{result['title']}: {result['preset']}")]
    blocks += ["\n".join([table["title"], *_aligned(table)]) for table in result["tables"]]
    blocks += [textwrap.fill(visible(sentence), _WIDTH) for sentence in result["sentences"]]
    return "\n\n".join(blocks)


def _aligned(table: dict[str, Any]) -> list[str]:
    """The rows under their columns: the first to the left, figures to the right."""
    rows = [[str(cell) for cell in row] for row in (table["columns"], *table["rows"])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    words = [
        any(" " in cell and any(map(str.isalpha, cell)) for cell in column[1:]) for column in zip(*rows, strict=True)
    ]
    return [
        "  ".join(
            f"{cell:<{w}}" if i == 0 or words[i] else f"{cell:>{w}}"
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _steps(given: str) -> int:
    if given.isdecimal() and 1 <= int(given) <= 1_000_000:
        return int(given)
    raise argparse.ArgumentTypeError(f"{given!r}: expected a number of steps, a whole number from 1 to 1,000,000")
