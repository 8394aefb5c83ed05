"""The run that RUN and --runs-dir name."""

import argparse
from pathlib import Path

from workbench.runs import directory


def run(a: argparse.Namespace) -> Path:
    """Raises UsageError where there is no such run, or more than one."""
    return directory.find(directory.runs_folder(a.runs_dir), a.run)
