"""Where corpora and downloads are kept, and how a file gets there whole or not at all."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import platformdirs

from workbench.errors import DataError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")

_ABANDONED_AFTER = 24 * 3600.0  # seconds: no build takes a day, so an older leftover is nobody's


def root() -> Path:
    """The cache folder: WORKBENCH_CACHE, else the platform's own."""
    chosen = os.environ.get("WORKBENCH_CACHE")
    return Path(os.path.expanduser(chosen)) if chosen else Path(platformdirs.user_cache_dir("workbench"))


def folder(name: str) -> Path:
    """The folder `name` of the cache, made if need be. DataError if it cannot be written."""
    path = root() / name
    try:
        for private in (path.parent, path):  # `parents` alone would leave it to the umask who may swap what is in it
            private.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise unwritable(path, error) from None
    return path


def unwritable(path: Path, error: OSError) -> DataError:
    """The error for a cache that cannot be written (permission, read-only, full)."""
    return DataError(
        f"the cache folder {path} cannot be written ({error.strerror or error}). "
        "Make room or mend its permissions, or set WORKBENCH_CACHE to a folder that can be written."
    )


def check_room(name: str, size: int) -> None:
    """Raise DataError where `size` bytes of tokens cannot be kept: told before hours of reading, not after."""
    at = root()
    while not at.exists() and at != at.parent:
        at = at.parent
    try:
        free = shutil.disk_usage(at).free
    except OSError:
        return
    if size > free:
        raise DataError(
            f"{name}: its tokens take {size / 1e9:,.1f} GB or more, and the cache folder {root()} has room for "
            f"{free / 1e9:,.1f} GB. Make room, set WORKBENCH_CACHE to a larger disk, or name a smaller text."
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
    """Put a JSON object at `path`, whole or not at all, with a checksum by which damage is told."""
    with written_aside(path) as file:
        file.write(json.dumps({"format": 1, "checksum": _checksum(document), **document}).encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object that `write_json` put at `path`; None if there is none, or it is damaged."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.pop("format", None) != 1:
        return None
    return document if document.pop("checksum", None) == _checksum(document) else None


def _checksum(document: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(document).encode())


def typed(kind: type[Row], document: object) -> Row:
    """The dataclass of whole numbers and texts that a JSON object holds. ValueError if it holds anything else."""
    wanted = {field.name: field.type for field in fields(kind)}
    if not isinstance(document, dict) or document.keys() != wanted.keys():
        raise ValueError(f"expected {', '.join(wanted)}")
    for name, type_ in wanted.items():
        value = document[name]
        if type(value) is not type_ or (type_ is int and value < 0):
            raise ValueError(f"{name} = {value!r}")
    return kind(**document)


def sweep(path: Path) -> None:
    """Remove what builds that were killed left in a cache folder more than a day ago."""
    for leftover in path.glob("*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _ABANDONED_AFTER:
                leftover.unlink()
