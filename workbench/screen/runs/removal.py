"""Deleting a run: only a run, only one that nobody writes, and never through a link."""

import os
import secrets
import shutil
from pathlib import Path

from workbench.errors import WorkbenchError
from workbench.runs import directory, status
from workbench.runs.files import Lock
from workbench.runs.status import LIVE

_SILENT = 120.0
"""Seconds after which a run on another host is believed to be over."""


def size_of(path: Path) -> int:
    """Bytes of all files below `path`; links are counted and not followed. What vanishes meanwhile counts nothing."""
    total = 0
    folders = [path]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
    return total


def refusal(path: Path) -> str:
    """Why a run may not be deleted, as far as its files tell; "" where nothing speaks against it."""
    if path.is_symlink():
        return f"{path.name} is a link to a directory elsewhere: remove the link itself"
    if not directory.is_run(path):
        return f"{path.name} is not a run: expected a directory with a preset.toml and a commands folder"
    try:
        found = status.read(path)
    except WorkbenchError:  # a damaged status.json: the lock will tell whether anyone is there
        found = None
    state = status.observed(found)
    if found and (state in LIVE or state == "unresponsive"):
        where = f" on {found.host}" if found.alive() is None else ""
        return f"{path.name} is {state}{where}: stop it first"
    if found and found.state in LIVE and found.alive() is None and _written_of_late(path):
        return f"{path.name} was written a moment ago on {found.host}: stop it first"
    return ""


def _written_of_late(path: Path) -> bool:
    """Whether a heart beat in the last minutes, by the clock of the file system: two hosts' own may differ."""
    probe = path.parent / f".now-{secrets.token_hex(4)}"
    try:
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
        return now - (path / "status.json").stat().st_mtime < _SILENT
    except OSError:
        return False


def remove(path: Path) -> None:
    """Delete a run for good. WorkbenchError, which names what is left, where it cannot or may not be done."""
    if why := refusal(path):
        raise WorkbenchError(why)
    lock_file = path / "lock"
    if lock_file.is_symlink():
        raise WorkbenchError(f"{lock_file} is a link, which no worker makes: look at it first")
    aside = path.with_name(f".deleted-{path.name}-{secrets.token_hex(3)}")
    lock = Lock(lock_file)
    try:
        if not lock.acquire():
            raise WorkbenchError(f"{path.name}: a worker holds its lock; stop it first")
        try:
            path.rename(aside)  # whole or not at all: from here on nobody finds half a run
        finally:
            lock.release()
        (aside / "preset.toml").unlink()  # now it is not a run, whatever becomes of the rest
        shutil.rmtree(aside)
    except OSError as error:
        left = f"; what is left of it is {aside}" if aside.exists() else ""
        raise WorkbenchError(f"{path.name}: cannot be deleted ({error.strerror or error}){left}") from None
