"""Where corpora and downloads are kept, and how a file gets there whole or not at all."""

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import platformdirs

from workbench.errors import DataError

_ABANDONED_AFTER = 24 * 3600.0  # seconds: no build takes a day, so an older leftover is nobody's


def root() -> Path:
    """The cache folder: WORKBENCH_CACHE, else the platform's own."""
    chosen = os.environ.get("WORKBENCH_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("workbench"))


def folder(name: str) -> Path:
    """The folder `name` of the cache, made if need be. DataError if it cannot be written."""
    path = root() / name
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise unwritable(path, error) from None
    return path


def unwritable(path: Path, error: OSError) -> DataError:
    """The error for a cache that cannot be written (permission, read-only, full)."""
    return DataError(
        f"the cache folder {path} cannot be written ({error.strerror or error}). "
        "Make room or mend its permissions, or set WORKBENCH_CACHE to a folder that can be written."
    )


def digest(*parts: object) -> str:
    """A name for a cache file: 40 hex digits of the SHA-256 of the parts as JSON."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:40]


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the place of `path` when the block ends, and vanishes if it raises.

    Two processes that write the same path each have a file of their own; the last rename wins.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise unwritable(path.parent, error) from None
    try:
        with os.fdopen(handle, "w+b") as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
            except OSError as error:
                raise unwritable(path.parent, error) from None
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Put a JSON object at `path`, whole or not at all."""
    with written_aside(path) as file:
        file.write(json.dumps({"format": 1, **document}).encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object at `path`; None if there is none that can be used."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) and document.get("format") == 1 else None


def sweep(path: Path) -> None:
    """Remove what builds that were killed left in a cache folder more than a day ago."""
    for leftover in path.glob("*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _ABANDONED_AFTER:
                leftover.unlink()
