"""`workbench pause`: a run waits, until `resume`."""

import argparse

from workbench import options


def declare(parser: argparse.ArgumentParser) -> None:
    options.run_argument(parser)
    options.answer_options(parser)


def run(a: argparse.Namespace) -> int:
    """Pause a run after the step that it is in."""
    from workbench.words import named, steer

    return steer.ask(named.run(a), "pause", timeout=a.timeout, json=a.json)
