"""Writing files so that a reader or a crash never sees half of one, and the lock that keeps a second writer out."""

import errno
import fcntl
import json
import os
import secrets
from pathlib import Path
from typing import Any

import psutil

from workbench.errors import WorkbenchError
from workbench.runs import FORMAT

_SERVED = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs", "sshfs", "9p")
)

FILE_MODE, DIRECTORY_MODE = 0o600, 0o700


def dump(document: dict[str, Any]) -> str:
    """One line of strict JSON in ASCII: no escape sequence of a corpus survives in it, no NaN gets in."""
    return json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def replace(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Write beside `path` and rename over it; `durable` makes both survive a power cut."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(3)}")
    try:
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.rename(aside, path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


def replace_json(path: Path, document: dict[str, Any], *, durable: bool = False) -> None:
    replace(path, (dump(document) + "\n").encode("ascii"), durable=durable)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; a missing, torn or foreign file is a WorkbenchError that names it."""
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise WorkbenchError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise WorkbenchError(f"{path}: not JSON ({error})") from None
    if not isinstance(document, dict):
        raise WorkbenchError(f"{path}: expected a JSON object")
    check_format(document, str(path))
    return document


def check_format(document: dict[str, Any], where: str) -> None:
    found = document.get("format")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise WorkbenchError(f"{where}: no `format`, so this is not a file of workbench's")
    if found > FORMAT:
        raise WorkbenchError(
            f"{where}: format {found} was written by a newer workbench than this one, which knows {FORMAT}; upgrade it"
        )


def on_a_network(path: Path) -> bool:
    """Whether a path lies on a file system that another machine serves."""
    try:
        mounts = psutil.disk_partitions(all=True)
    except (OSError, psutil.Error):
        return False
    path = path.resolve()
    under = [m for m in mounts if path.is_relative_to(m.mountpoint)]
    kind = max(under, key=lambda m: len(m.mountpoint)).fstype.lower() if under else ""
    return kind.removeprefix("fuse.") in _SERVED


def sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Lock:
    """An exclusive `flock` on a file, held until the process ends however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None
        self.supported = True
        """False where the file system has no locks: then only status.json tells of another writer."""

    def acquire(self) -> bool:
        """False if another process holds it."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                os.close(fd)
                return False
            self.supported = False
        self._fd = fd
        return True

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
