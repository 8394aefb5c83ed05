"""`workbench stop`: a run ends, on request."""

import argparse

from workbench import options


def declare(parser: argparse.ArgumentParser) -> None:
    options.run_argument(parser)
    options.answer_options(parser)


def run(a: argparse.Namespace) -> int:
    """End a run: it finishes its step and saves first."""
    from workbench.words import named, steer

    return steer.ask(named.run(a), "stop", timeout=a.timeout, json=a.json)
