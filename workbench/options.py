"""Options that several words of the command line share, and how a wrong one is told."""

import argparse
import contextlib
from typing import Any, NoReturn

from workbench.errors import UsageError


class Parser(argparse.ArgumentParser):
    """argparse, with our way of telling an error: one line, and what to do. Options are written out in full."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")

    def _print_message(self, message: str, file: Any = None) -> None:
        """Of --help and --version. argparse's own passes over what a write meets, and never flushes."""
        print(message, end="", file=file, flush=True)


def run_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a name, a unique prefix, a path, or `last`")
    runs_dir(parser)


def runs_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs-dir", metavar="DIR", help="where runs lie (default: WORKBENCH_RUNS, else ./runs)")


def json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON on stdout and nothing else")


def launch_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="over the preset; repeatable")
    parser.add_argument("--steps", type=int, metavar="N", help="train for N updates; a longer warmup is cut")
    parser.add_argument("--name", metavar="NAME", help="the run's name (default: the preset's)")
    runs_dir(parser)


def screen_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--theme", choices=("dark", "light", "terminal"), help="what the screen looks like")
    parser.add_argument("--big", action="store_true", help="for projectors: fewer panes, large figures, thick lines")


def telling_options(parser: argparse.ArgumentParser) -> None:
    json(parser)
    parser.add_argument("--quiet", action="store_true", help="nothing but errors")


def attempt_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--detach", action="store_true", help="train in a process of its own; return when it runs")
    parser.add_argument("--re-resolve", action="store_true", help="accept other bits on another machine; recorded")
    telling_options(parser)


def answer_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout", type=seconds, default=30.0, metavar="SECONDS", help="how long to wait (default: 30)"
    )
    json(parser)


def world(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: expected how many ranks, a whole number from 1 to 65,536")


LARGEST = 10**15
"""What a count may be: beyond what anybody trains with, and small enough for a float to hold it exactly."""


def whole(text: str) -> int:
    with contextlib.suppress(ValueError):
        if 1 <= (value := int(text.replace(",", ""))) <= LARGEST:
            return value
    raise argparse.ArgumentTypeError(f"{text[:40]!r}: expected a whole number of at least 1, and at most {LARGEST:,}")


def seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (value := float(text)) < float("inf"):
            return value
    raise argparse.ArgumentTypeError(f"{text!r}: expected a number of seconds, at least 0")
