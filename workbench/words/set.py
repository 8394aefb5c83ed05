"""`workbench set`: an edit of a run that trains."""

import argparse

from workbench import options


def declare(parser: argparse.ArgumentParser) -> None:
    options.run_argument(parser)
    parser.add_argument("assignments", nargs="+", metavar="KEY=VALUE", help="as in lr=3e-4 accum=2")
    parser.add_argument("--at", type=int, metavar="STEP", help="act after this many updates, not at once")
    options.answer_options(parser)


def run(a: argparse.Namespace) -> int:
    """Edit a running run; prints the step at which it acts."""
    from workbench.words import named, steer

    return steer.edit(named.run(a), a.assignments, at=a.at, timeout=a.timeout, json=a.json)
