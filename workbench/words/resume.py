"""`workbench resume`: a run goes on."""

import argparse

from workbench import options


def declare(parser: argparse.ArgumentParser) -> None:
    options.run_argument(parser)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="an edit at its first step")
    parser.add_argument("--steps", type=int, metavar="N", help="train to N updates in all")
    options.attempt_options(parser)


def run(a: argparse.Namespace) -> int:
    """Unpause a paused run, or continue an ended one from its last checkpoint."""
    if a.detach:
        from workbench.headless import detach

        return detach.start(a)
    from workbench import headless, preset
    from workbench.words import named

    changes = dict(preset.parse_assignment(text) for text in a.set)
    if a.steps is not None:
        changes["schedule.steps"] = a.steps
    telling = headless.Telling(a.json, a.quiet)
    return headless.resume(named.run(a), changes, telling=telling, re_resolve=a.re_resolve)
