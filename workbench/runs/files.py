"""Writing files so that a reader, a crash or a full disk never leaves half of one; and the lock that keeps a second
writer out."""

import errno
import fcntl
import json
import os
import secrets
import stat
import threading
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from workbench.errors import WorkbenchError
from workbench.runs import FORMAT

_SERVED = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "gpfs", "beegfs", "glusterfs", "sshfs", "9p")
)

FILE_MODE, DIRECTORY_MODE = 0o600, 0o700


class NewerFormat(WorkbenchError):
    """A later version wrote it: it is not damaged, and nothing may be taken for lost or done again without it."""


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


def overwrite_json(path: Path, document: dict[str, Any]) -> None:
    """Write over a small file in the blocks that it has: what is left where there is no room for a second one.

    A reader may see it half-way. OSError where it does not fit.
    """
    data = (dump(document) + "\n").encode("ascii")
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        about = os.fstat(fd)
        if len(data) > about.st_blocks * 512:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.pwrite(fd, data[:-1].ljust(about.st_size - 1) + b"\n", 0)
    finally:
        os.close(fd)


class Appended:
    """A file that only grows at its end. What could not be written yet stays in memory, so that a full disk tears no
    record and no line; any thread may flush."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        self._pending = bytearray()
        self._lock = threading.Lock()

    def add(self, data: bytes) -> None:
        """Take it; `flush` writes it."""
        with self._lock:
            self._pending += data

    def flush(self) -> None:
        """Hand everything taken so far to the file system. OSError: the rest is kept for the next flush."""
        with self._lock:
            try:
                while self._pending:
                    written = os.write(self.fd, self._pending)
                    del self._pending[:written]
            except OSError as error:
                error.filename = str(self.path)
                raise
            if not os.fstat(self.fd).st_nlink:  # what is written now is lost with the last who has it open
                raise OSError(errno.EIDRM, "removed while the run was writing it", str(self.path))

    def sync(self) -> int:
        """Everything taken so far is on the disk when this returns. Returns the file's length in bytes."""
        self.flush()
        os.fsync(self.fd)
        return os.fstat(self.fd).st_size

    def cut(self, length: int) -> None:
        """Forget what lies past `length` bytes, and what waits; on the disk when this returns."""
        with self._lock:
            self._pending.clear()
            os.ftruncate(self.fd, length)
            os.fsync(self.fd)

    def close(self) -> None:
        """OSError where the rest could not be written; it is closed all the same."""
        try:
            self.flush()
        finally:
            os.close(self.fd)


def opened(path: Path) -> BinaryIO:
    """A regular file, to read. OSError for anything else: a FIFO in its place would hold its reader for ever."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return os.fdopen(fd, "rb")
    except OSError:
        os.close(fd)
        raise


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; a missing, torn or foreign file is a WorkbenchError that names it."""
    try:
        with opened(path) as file:
            return json_object(file.read(), path)
    except OSError as error:
        raise WorkbenchError(f"{path}: cannot be read ({error.strerror})") from None


def json_object(data: bytes, path: Path) -> dict[str, Any]:
    """What `path` holds as a JSON object. WorkbenchError, which names it, for what is torn or foreign."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
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
        which = f"format {found}" if found < 10**9 else "its format"
        raise NewerFormat(
            f"{where}: {which} was written by a newer workbench than this one, which knows {FORMAT}; upgrade it"
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
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
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
