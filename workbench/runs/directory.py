"""Where runs are, how one is made, named and found.

A run lies in `<runs>/<name>-<YYYYmmdd-HHMMSS UTC>`; `<runs>` is `--runs-dir`, else WORKBENCH_RUNS, else ./runs.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from workbench.errors import UsageError, WorkbenchError
from workbench.runs import status
from workbench.runs.files import DIRECTORY_MODE, replace, replace_json, sync_directory

_DATED = re.compile(r"-\d{8}-\d{6}(-\d+)?$")
"""What a run's directory has behind its name: when it began."""
_WRITTEN = (
    "commands", "checkpoints", "inspect", "steps.bin", "steps.json", "events.jsonl", "status.json", "resolved.json",
    "worker.log", "lock",
)  # fmt: skip
_ASIDE = ".new-"
"""How a run's directory is called until it is whole."""


class Listed(NamedTuple):
    """A run as `workbench runs` tells it."""

    path: Path
    state: str
    status: status.Status | None


def runs_folder(given: str | None = None) -> Path:
    named = Path(os.path.expanduser(given or os.environ.get("WORKBENCH_RUNS") or "runs"))
    try:
        return named.absolute()
    except FileNotFoundError:
        raise UsageError(
            f"the working directory is gone, so {str(named)!r} is nowhere: go to one that is there, or name the runs "
            "with a whole path"
        ) from None


def create(folder: Path, name: str, preset_toml: str, documents: Mapping[str, dict[str, Any]] | None = None) -> Path:
    """A new run's directory, with its preset in it: made aside and renamed, so that it is there whole or not at all.

    A name that is taken gets -2, -3, … `documents` are JSON files that it begins with, by their names.
    """
    try:
        _make(folder)
        _sweep(folder)
        aside = folder / f"{_ASIDE}{secrets.token_hex(6)}"
        aside.mkdir(mode=DIRECTORY_MODE)
        try:
            for part in ("commands", "checkpoints", "inspect"):
                (aside / part).mkdir(mode=DIRECTORY_MODE)
            replace(aside / "preset.toml", preset_toml.encode("utf-8"), durable=True)
            for file, document in (documents or {}).items():
                replace_json(aside / file, document, durable=True)
            path = _named(aside, folder, name)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        sync_directory(folder)
    except OSError as error:
        raise UsageError(
            f"{folder}: a run cannot be made there ({error.strerror}); "
            "choose another place with --runs-dir or WORKBENCH_RUNS"
        ) from None
    return path


def _make(folder: Path) -> None:
    """The runs folder, and that its name survives a power cut."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    for path in missing:
        sync_directory(path.parent)


def _named(aside: Path, folder: Path, name: str) -> Path:
    """Give it its name: a rename onto a run that is there fails, whoever made that one a moment ago."""
    started = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    for n in range(1, 10_000):
        path = folder / (f"{name}-{started}" if n == 1 else f"{name}-{started}-{n}")
        try:
            return aside.rename(path)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
    raise UsageError(f"{folder}: ten thousand runs named {name} in one second")


def _sweep(folder: Path) -> None:
    """What was killed while it made a run leaves a folder without a name."""
    for old in folder.glob(f"{_ASIDE}*"):
        with contextlib.suppress(OSError):
            if time.time() - old.stat().st_mtime > 3600:
                shutil.rmtree(old, ignore_errors=True)


def is_run(path: Path) -> bool:
    try:
        return (path / "preset.toml").is_file() and (path / "commands").is_dir()
    except OSError:  # a name too long to be one, a folder that may not be looked into
        return False


def check_own(run: Path) -> None:
    """Raise WorkbenchError where a name that a worker writes, cuts or removes under is a symbolic link.

    A run directory may come from anywhere, and its links lead anywhere: `commands` into a folder whose JSON files would
    be answered and removed, `checkpoints` into another run's, `steps.bin` to a file that would be cut.
    """
    for name in _WRITTEN:
        if (path := run / name).is_symlink():
            raise WorkbenchError(
                f"{path}: a symbolic link, and a worker would write or remove what it leads to; "
                "put the thing itself in its place, or keep all of the runs elsewhere with --runs-dir"
            )


def sweep(run: Path) -> None:
    """Remove what a worker that was killed in mid-write left beside its files. The caller holds the lock."""
    for name in _WRITTEN:
        for left in run.glob(f".{name}.*"):
            with contextlib.suppress(OSError):
                left.unlink()


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
    path = Path(os.path.expanduser(run))
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
        return [p for p in folder.iterdir() if not p.name.startswith(_ASIDE) and is_run(p)]
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
