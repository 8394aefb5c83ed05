"""`--save PATH` and `--force`: the file that they mean, and what replacing one loses."""

import argparse
from pathlib import Path

from workbench.errors import UsageError
from workbench.headless.lines import narrate
from workbench.preset import Preset, saving


def declare(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--save", metavar="PATH", help=f"write the preset with {what}")
    parser.add_argument("--force", action="store_true", help="let --save replace a file")


def target(a: argparse.Namespace) -> Path | None:
    """Where --save writes; None without it. Raises UsageError where a file is there and may not be replaced."""
    if a.save is None:
        if a.force:
            raise UsageError("--force goes with --save")
        return None
    try:
        path = saving.target(a.save)
    except saving.NotSaved as error:
        raise UsageError(f"--save {a.save!r}: {error}") from None
    if path.exists() and not a.force:
        lost = _comments(path)
        losing = f", and its {lost} would be lost" if lost else ""
        raise UsageError(f"{path} is there already{losing}; --force replaces it, or name another")
    return path


def save(path: Path, preset: Preset, *, named: str = "") -> None:
    """Write the preset, and say so: where, `named` how, and which comments are gone."""
    lost = _comments(path) if path.exists() else ""
    saving.save(path, preset)
    narrate(f"saved {path}{named}" + (f"; {lost} lost: values only are written" if lost else ""))


def _comments(path: Path) -> str:
    """How many a file has, in words; "" for none."""
    count = saving.lost_comments(path)
    return f"{count} comment{'' if count == 1 else 's'}" if count else ""
