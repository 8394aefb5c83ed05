"""`workbench rows`: the rows of one record."""

import argparse

from workbench import options


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="PRESET|RUN")
    parser.add_argument("--step", type=int, default=0, metavar="N", help="the record (default: 0)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="over the preset")
    options.runs_dir(parser)
    options.json(parser)


def run(a: argparse.Namespace) -> int:
    """The exact x/y rows of record N of a preset or a run."""
    from workbench.words.telling import rows

    return rows.tell(a.source, sets=a.set, step=a.step, runs=a.runs_dir, json=a.json)
