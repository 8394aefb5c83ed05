"""Where raw bytes come from: a sentence, a file, a folder, an embedded dataset.

A source can be read twice with the same result, in pieces, in constant memory. Its `identity` changes
whenever its bytes may have changed, so that what was learnt from reading it once can be remembered.
"""

import os
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from workbench.data import embedded
from workbench.errors import DataError, UsageError

CHUNK = 1 << 20  # bytes: large enough that Python's share is small, small enough to keep several
_SUFFIXES = """
.txt .text .md .markdown .rst .adoc .org .tex .csv .tsv .json .jsonl .toml .yaml .yml .ini .cfg .html .htm
.xml .css .py .pyi .ipynb .c .h .cc .cpp .hpp .cs .go .hs .java .js .jsx .jl .kt .lisp .lua .ml .pas .php .pl .r
.rb .rs .scala .sh .sql .swift .ts .tsx .zig .srt .log
"""
TEXT_SUFFIXES = frozenset(_SUFFIXES.split())

_SNIFF = 8192  # bytes at a file's start in which a NUL says that it is no text
_TICK = 0.02  # seconds: two writes within one tick of a file system's clock leave the same mtime


class Chunk(NamedTuple):
    """A piece of a source; `origin` and `offset` say where its first byte stands, for messages."""

    data: bytes
    origin: str
    offset: int


class Source(Protocol):
    """Raw bytes that can be read again and again."""

    name: str  # for messages and for the corpus
    size: int | None  # bytes, or about as many, where known beforehand
    skipped: int  # files of a folder that were left out, known once it has been read

    def identity(self) -> str | None:
        """What to remember this content by; None: not worth remembering."""

    def chunks(self) -> Iterator[Chunk]:
        """All bytes in order. DataError if they cannot be read, or changed since the source was named."""


class TextSource:
    """A sentence typed into the preset or the screen."""

    skipped = 0

    def __init__(self, text: str) -> None:
        self.name = "text"
        try:
            self._data = text.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"data.text: character {error.start} is a lone surrogate, which is not text.") from None
        self.size: int | None = len(self._data)

    def identity(self) -> str | None:
        return None

    def chunks(self) -> Iterator[Chunk]:
        yield Chunk(self._data, "data.text", 0)


class EmbeddedSource:
    """A dataset that this Python holds or computes."""

    skipped = 0

    def __init__(self, name: str, size: int | None) -> None:
        self.name = name
        self.size = size

    def identity(self) -> str | None:
        return embedded.identity(self.name)

    def chunks(self) -> Iterator[Chunk]:
        offset = 0
        for piece in embedded.text(self.name):
            data = piece.encode()
            yield Chunk(data, self.name, offset)
            offset += len(data)


class _Seen(NamedTuple):
    """What a file was when it was named: a later difference means that it changed."""

    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "_Seen":
        return cls(status.st_ino, status.st_size, status.st_mtime_ns)


def _wait_out_the_tick(mtimes_ns: Iterable[int]) -> None:
    # A write in the same clock tick as our look would go unnoticed; look from the next tick.
    age = time.time() - max(mtimes_ns, default=0) / 1e9
    if 0 <= age < _TICK:
        time.sleep(_TICK - age)


def unreadable(path: Path | str, error: OSError) -> DataError:
    """The error for a file that is there and cannot be read."""
    return DataError(f"{path}: cannot be read ({error.strerror or error}). Mend its permissions, or name another.")


def _read(path: Path, origin: str, seen: _Seen) -> Iterator[Chunk]:
    changed = DataError(f"{origin}: the file changed while it was being read. Start again when it is at rest.")
    try:
        with path.open("rb", buffering=0) as file:
            if _Seen.of(os.fstat(file.fileno())) != seen:
                raise changed
            offset = 0
            while data := file.read(CHUNK):
                yield Chunk(data, origin, offset)
                offset += len(data)
            if offset != seen.size or _Seen.of(os.fstat(file.fileno())) != seen:
                raise changed
    except OSError as error:
        raise unreadable(origin, error) from None


class FileSource:
    """One text file."""

    skipped = 0

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path = Path(os.path.realpath(path))
        self.name = name or path.name
        try:
            status = self.path.stat()
        except OSError as error:
            raise unreadable(path, error) from None
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(
                f"{path}: a {_kind(status.st_mode)}, not a file or a folder of text. "
                "A corpus is read twice; copy it into a file first."
            )
        self._seen = _Seen.of(status)
        self.size: int | None = status.st_size
        _wait_out_the_tick([status.st_mtime_ns])

    def identity(self) -> str | None:
        return f"file {self.path} {tuple(self._seen)}"

    def chunks(self) -> Iterator[Chunk]:
        return _read(self.path, str(self.path), self._seen)


class FolderSource:
    """Every text file under a folder, by relative path; a newline between files that do not end with one.

    Hidden files and folders are left out, as is what has no suffix of text. Symbolic links to files are
    read, links to folders are not followed. Files that hold a NUL near their start, or are not regular
    files, are counted in `skipped`.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.realpath(path))
        self.name = path.name or str(self.path)
        self.skipped = 0
        self._irregular = 0
        self._files: dict[str, _Seen] = {}
        for top, folders, files in os.walk(self.path, onerror=self._refuse):
            folders[:] = [folder for folder in folders if not folder.startswith(".")]
            for file in files:
                if not file.startswith(".") and os.path.splitext(file)[1].lower() in TEXT_SUFFIXES:
                    self._add(Path(top, file))
        if not self._files:
            raise DataError(
                f"{path}: the folder holds no text file (suffixes .txt, .md, .py and the like). "
                "Name a file, or a folder that holds some."
            )
        self._files = dict(sorted(self._files.items()))
        self.size: int | None = sum(seen.size for seen in self._files.values())
        _wait_out_the_tick(seen.mtime_ns for seen in self._files.values())

    def _refuse(self, error: OSError) -> None:
        raise unreadable(error.filename or self.path, error)

    def _add(self, path: Path) -> None:
        try:
            status = path.stat()
        except OSError:  # a link that leads nowhere, or to itself
            self._irregular += 1
            return
        if stat.S_ISREG(status.st_mode):
            self._files[path.relative_to(self.path).as_posix()] = _Seen.of(status)
        else:
            self._irregular += 1

    def identity(self) -> str | None:
        files = " ".join(f"{name!r} {tuple(seen)}" for name, seen in self._files.items())
        return f"folder {self.path} {self._irregular} {files}"

    def chunks(self) -> Iterator[Chunk]:
        self.skipped = self._irregular
        last: Chunk | None = None
        for name, seen in self._files.items():
            path = self.path / name
            reading = _read(path, str(path), seen)
            first = next(reading, None)
            if first is None:
                continue
            if b"\0" in first.data[:_SNIFF]:
                self.skipped += 1
                continue
            if last is not None and not last.data.endswith(b"\n"):
                yield Chunk(b"\n", last.origin, last.offset + len(last.data))
            yield (last := first)
            for last in reading:
                yield last


def _kind(mode: int) -> str:
    for test, word in (
        (stat.S_ISDIR, "folder"),
        (stat.S_ISFIFO, "pipe"),
        (stat.S_ISSOCK, "socket"),
        (stat.S_ISCHR, "device"),
        (stat.S_ISBLK, "device"),
    ):
        if test(mode):
            return word
    return "special file"


def open_path(path: Path) -> FileSource | FolderSource:
    """The source behind a path that exists. UsageError for a pipe or a device."""
    return FolderSource(path) if path.is_dir() else FileSource(path)
