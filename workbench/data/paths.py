"""Completion of a path that is being typed."""

import heapq
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

_ENOUGH = 0.05  # seconds of looking through one folder; a key must not wait longer


def complete(text: str, cwd: Path, limit: int = 50) -> list[str]:
    """What `text` may become: at most `limit` whole texts, sorted; folders end with `/`.

    Relative paths are taken from `cwd`; a leading `~` stays as typed. Hidden names are offered only where
    their dot has been typed. Names that could not be typed (controls, no UTF-8) are left out, as are those of
    a huge folder that were not seen in time. Never raises: what cannot be looked into has no candidates.
    """
    if text == "~":
        return ["~/"]
    head, slash, prefix = text.rpartition("/")
    head += slash
    try:
        folder = os.path.join(cwd, os.path.expanduser(head))
        with os.scandir(folder) as entries:
            found = heapq.nsmallest(limit, _matching(entries, prefix), key=lambda entry: entry.name)
        candidates = [head + entry.name + ("/" if os.path.isdir(entry) else "") for entry in found]
    except (OSError, ValueError):
        return []
    return [f"{head}../", *candidates][:limit] if prefix == ".." else candidates


def _matching(entries: "Iterator[os.DirEntry[str]]", prefix: str) -> "Iterator[os.DirEntry[str]]":
    deadline = time.monotonic() + _ENOUGH
    for entry in entries:
        hidden = entry.name.startswith(".") and not prefix.startswith(".")
        if entry.name.startswith(prefix) and not hidden and entry.name.isprintable():
            yield entry
        if time.monotonic() > deadline:
            return


def common(candidates: Sequence[str]) -> str:
    """The longest text that all candidates begin with; empty for none."""
    return os.path.commonprefix(list(candidates))  # noqa: RUF071 (half a name is what is wanted)
