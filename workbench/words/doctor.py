"""`workbench doctor`: what training in a terminal needs, on this machine."""

import argparse

from workbench import options


def declare(parser: argparse.ArgumentParser) -> None:
    options.runs_dir(parser)
    options.json(parser)


def run(a: argparse.Namespace) -> int:
    """What is missing on this machine, and how to mend it."""
    from workbench.words.telling import doctor

    return doctor.tell(a.runs_dir, json=a.json)
