"""`workbench eval`: the losses of a checkpoint. This word and `sample` load torch."""

import argparse

from workbench import options


def declare(parser: argparse.ArgumentParser) -> None:
    options.run_argument(parser)
    parser.add_argument("--split", choices=("val", "test"), default="val", help="test: looked at once, and recorded")
    options.json(parser)


def run(a: argparse.Namespace) -> int:
    """Losses of a run's last checkpoint."""
    from workbench.training import offline
    from workbench.words import named

    return offline.evaluate(named.run(a), split=a.split, json=a.json)
