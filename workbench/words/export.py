"""`workbench export`: a run's records and events, for other tools."""

import argparse

from workbench import options


def declare(parser: argparse.ArgumentParser) -> None:
    options.run_argument(parser)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--csv", action="store_true", help="one line a step")
    kind.add_argument("--jsonl", action="store_true", help="the objects of --json: steps and events")


def run(a: argparse.Namespace) -> int:
    """Everything in steps.bin and events.jsonl, on stdout."""
    from workbench.words import named
    from workbench.words.telling import export

    return export.csv(named.run(a)) if a.csv else export.jsonl(named.run(a))
