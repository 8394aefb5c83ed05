"""`workbench replay`: a run once more."""

import argparse

from workbench import options


def declare(parser: argparse.ArgumentParser) -> None:
    options.run_argument(parser)
    parser.add_argument("--name", metavar="NAME", help="the new run's name")
    options.attempt_options(parser)


def run(a: argparse.Namespace) -> int:
    """Train the same run again, edits included, as a new run."""
    if a.detach:
        from workbench.headless import detach

        return detach.start(a)
    from workbench import headless
    from workbench.words import named

    telling = headless.Telling(a.json, a.quiet)
    return headless.replay(named.run(a), runs=a.runs_dir, name=a.name, telling=telling, re_resolve=a.re_resolve)
