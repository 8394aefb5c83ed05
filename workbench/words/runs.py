"""`workbench runs`: the runs of a folder."""

import argparse

from workbench import options


def declare(parser: argparse.ArgumentParser) -> None:
    options.runs_dir(parser)
    options.json(parser)


def run(a: argparse.Namespace) -> int:
    """What ran and what runs, the newest last."""
    from workbench.words.telling import runs

    return runs.tell(a.runs_dir, json=a.json)
