"""`workbench attach`: the screen, on a run that is there."""

import argparse

from workbench import options


def declare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run", nargs="?", default="last", metavar="RUN", help="a name, a unique prefix, a path, or `last`"
    )
    parser.add_argument("--read-only", action="store_true", help="look and do not steer")
    options.runs_dir(parser)
    options.screen_options(parser)


def run(a: argparse.Namespace) -> int:
    """The screen on a run that is running or over; the newest, if none is named."""
    from workbench import screen
    from workbench.words import named

    return screen.attach(named.run(a), runs=a.runs_dir, read_only=a.read_only, look=a.theme, big=a.big)
