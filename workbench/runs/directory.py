"""Where runs are, how one is made, named and found.

A run lies in `<runs>/<name>-<YYYYmmdd-HHMMSS UTC>`; `<runs>` is `--runs-dir`, else WORKBENCH_RUNS, else ./runs.
"""

import contextlib
import os
import re
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from workbench.errors import UsageError, WorkbenchError
from workbench.runs import status
from workbench.runs.files import DIRECTORY_MODE, replace

_DATED = re.compile(r"-\d{8}-\d{6}(-\d+)?$")
"""What a run's directory has behind its name: when it began."""


class Listed(NamedTuple):
    """A run as `workbench runs` tells it."""

    path: Path
    state: str
    status: status.Status | None


def runs_folder(given: str | None = None) -> Path:
    return Path(given or os.environ.get("WORKBENCH_RUNS") or "runs").expanduser().absolute()


def create(folder: Path, name: str, preset_toml: str) -> Path:
    """A new run's directory, with its preset in it. A name that is taken gets -2, -3, …"""
    started = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for n in range(1, 10_000):
            path = folder / (f"{name}-{started}" if n == 1 else f"{name}-{started}-{n}")
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=DIRECTORY_MODE)
                break
        else:
            raise UsageError(f"{folder}: ten thousand runs named {name} in one second")
    except OSError as error:
        raise UsageError(
            f"{folder}: a run cannot be made there ({error.strerror}); "
            "choose another place with --runs-dir or WORKBENCH_RUNS"
        ) from None
    for part in ("commands", "checkpoints", "inspect"):
        (path / part).mkdir(mode=DIRECTORY_MODE)
    replace(path / "preset.toml", preset_toml.encode("utf-8"))
    return path


def is_run(path: Path) -> bool:
    try:
        return (path / "preset.toml").is_file() and (path / "commands").is_dir()
    except OSError:  # a name too long to be one, a folder that may not be looked into
        return False


def listed(folder: Path) -> list[Listed]:
    """Every run in `folder`, the newest start last."""
    out = []
    for path in sorted(_runs_in(folder), key=lambda p: (_started(p), p.name)):
        try:
            found = status.read(path)
        except WorkbenchError:  # one damaged run must not hide the others
            out.append(Listed(path, "unreadable", None))
        else:
            out.append(Listed(path, status.observed(found), found))
    return out


def find(folder: Path, run: str) -> Path:
    """The run that was meant: `last`, a path, a name, or a prefix that only one has."""
    if not run:
        raise UsageError("which run? give its name, a unique prefix, a path, or `last`")
    there = _runs_in(folder)
    if run == "last":
        if not there:
            raise UsageError(f"{folder}: there are no runs yet")
        return max(there, key=lambda p: (_started(p), p.name))
    path = Path(run).expanduser()
    if os.sep in run or run.startswith("."):
        if is_run(path):
            return path.absolute()
        raise UsageError(f"{run!r} is not a run: expected a directory with a preset.toml and a commands folder")
    exact = [p for p in there if p.name == run]
    named = [p for p in there if _DATED.sub("", p.name) == run]  # `names` is no prefix of names-b1's kind
    matches = exact or named or [p for p in there if p.name.startswith(run)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        names = "\n  ".join(sorted(p.name for p in matches)[-10:])
        raise UsageError(f"{run!r} could be any of {len(matches)} runs; give more of the name, or `last`:\n  {names}")
    if is_run(path):
        return path.absolute()
    near = get_close_matches(run, [p.name for p in there], n=1, cutoff=0.5)
    hint = (
        f"; did you mean {near[0]}?" if near else "; `workbench runs` lists them" if there else "; there are none yet"
    )
    raise UsageError(f"no run named {run!r} in {folder}{hint}")


def _runs_in(folder: Path) -> list[Path]:
    """In no order; none where there is no such folder."""
    try:
        return [p for p in folder.iterdir() if is_run(p)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UsageError(
            f"{folder}: cannot be read ({error.strerror}); name another place with --runs-dir or WORKBENCH_RUNS"
        ) from None


def _started(path: Path) -> float:
    """When a run was made: its preset is written once."""
    try:
        return (path / "preset.toml").stat().st_mtime_ns / 1e9
    except OSError:
        return 0.0
