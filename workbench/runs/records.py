"""steps.bin: one packed little-endian record per update. Record i is step i, always.

The number of records is the file's size divided by the record's, and no other file limits it, so a reader
never needs a lock and a torn last record is simply not there yet.
"""

import os
import re
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.errors import WorkbenchError
from workbench.runs import FORMAT
from workbench.runs.files import Appended, opened, read_json, replace_json

DTYPE = np.dtype(
    [
        ("step", "<u8"),  # s, from 0: update s+1 is made from it
        ("tokens", "<u8"),  # predictions made so far, this record's included
        ("rows_before", "<u8"),  # rows that all earlier steps have used
        ("loss", "<f8"),  # nats per target, measured before the update
        ("lr", "<f8"),
        ("grad_norm", "<f8"),  # before clipping
        ("seconds", "<f8"),  # of this step alone: no eval, sample, save or pause
        ("time", "<f8"),  # the sum of `seconds` over all attempts
        ("B", "<u4"),
        ("T", "<u4"),
        ("accum", "<u4"),
        ("world", "<u4"),
        ("flags", "<u4"),
    ]
)
CLIPPED, NOT_FINITE, SPIKE = 1, 2, 4
_PACKED = struct.Struct("<3Q5d5I")  # DTYPE, for one record at a time: five times as fast as NumPy
assert _PACKED.size == DTYPE.itemsize
_PLAIN, _FIELDS = re.compile(r"[<>|=]?(u[1248]|i[1248]|f[248]|b1|\?)"), 256
"""What a record's field may be, in any version, and how many there may be: a record is a few hundred bytes."""
PIECE = 8_192
"""Records read at once: with what is made of them they fit in a core's cache, and the heap does not grow."""

Records = npt.NDArray[np.void]


class StepLog:
    """The worker's end: appends records, hands them to the file system when told to. Any thread may flush."""

    def __init__(self, directory: Path) -> None:
        described = {"format": FORMAT, "dtype": [[name, kind] for name, kind, *_ in DTYPE.descr]}
        replace_json(directory / "steps.json", described, durable=True)  # no reader gets anywhere without it
        self._file = Appended(directory / "steps.bin")

    def append(self, *values: float) -> None:
        """One record, its values in the order of DTYPE."""
        self._file.add(_PACKED.pack(*values))

    def flush(self) -> None:
        """OSError: what could not be written is kept for the next flush."""
        self._file.flush()

    def sync(self) -> int:
        """Everything appended so far is on the disk when this returns. Returns the number of records."""
        return self._file.sync() // DTYPE.itemsize

    def cut(self, records: int) -> None:
        """Forget what was appended past `records`; a torn tail goes with it."""
        there = os.fstat(self._file.fd).st_size // DTYPE.itemsize
        if there < records:
            raise WorkbenchError(
                f"{self._file.path}: {there} records, but its checkpoint was made after {records}; "
                "the file was cut by something else"
            )
        self._file.cut(records * DTYPE.itemsize)

    def close(self) -> None:
        self._file.close()


class StepReader:
    """A reader's end: as many records as the file holds now, by position, without a lock."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "steps.bin"
        self.dtype = _described(directory / "steps.json")

    def __len__(self) -> int:
        try:
            return self._path.stat().st_size // self.dtype.itemsize
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise WorkbenchError(f"{self._path}: cannot be read ({error.strerror})") from None

    def read(self, begin: int = 0, end: int | None = None) -> Records:
        """Records begin … end−1 (all that are there by default), as a structured array."""
        end = len(self) if end is None else min(end, len(self))
        with self.open() as window:
            return window.read(begin, end)

    @contextmanager
    def open(self) -> Iterator["Window"]:
        """The file held open, for many reads one after the other. Without a file there are no records."""
        with ExitStack() as stack:
            file = -1
            try:
                file = stack.enter_context(opened(self._path)).fileno()  # without the buffer: what is there now
            except FileNotFoundError:
                pass
            except OSError as error:
                raise WorkbenchError(f"{self._path}: cannot be read ({error.strerror})") from None
            yield Window(self._path, file, self.dtype)

    def pieces(self, begin: int = 0, end: int | None = None, size: int = PIECE) -> Iterator[Records]:
        """Records begin … end−1 (all that are there by default), `size` at a time, each piece gone with the next:
        a run of any length is read in one piece's memory."""
        end = len(self) if end is None else end
        with self.open() as window:
            while begin < end and len(records := window.read(begin, min(begin + size, end))):
                yield records
                begin += len(records)


class Window:
    """steps.bin, open: what is read lies in one piece of memory, which the next read uses again."""

    def __init__(self, path: Path, file: int, dtype: "np.dtype[np.void]") -> None:
        self._path, self._file, self._dtype = path, file, dtype
        self._memory = np.empty(0, dtype)
        self._count = np.empty(0, np.uint64)

    def read(self, begin: int, end: int) -> Records:
        """Records begin … end−1, or as many as are there. WorkbenchError where they are not those."""
        n = end - begin
        if n <= 0 or self._file < 0:
            return self._memory[:0]
        if n > len(self._memory):
            self._memory, self._count = np.empty(n, self._dtype), np.arange(n, dtype=np.uint64)
        try:
            os.lseek(self._file, begin * self._dtype.itemsize, os.SEEK_SET)
            read = os.readv(self._file, [self._memory[:n].view(np.uint8).data])
        except OSError as error:
            raise WorkbenchError(f"{self._path}: cannot be read ({error.strerror})") from None
        records = self._memory[: read // self._dtype.itemsize]
        strange = np.flatnonzero(records["step"] - np.uint64(begin) != self._count[: len(records)])
        if len(strange):
            at = int(strange[0])
            raise WorkbenchError(
                f"{self._path}: record {begin + at:,} says that it is step {records['step'][at]:,}: the file is "
                "damaged there; `workbench resume` goes back to the last checkpoint"
            )
        return records


def _described(path: Path) -> "np.dtype[np.void]":
    """The record as steps.json describes it: a reader of a later version finds its fields by name."""
    if not os.path.lexists(path):
        return DTYPE  # a run that has not begun: no records either
    document = read_json(path)
    try:
        fields = [(str(name), str(kind)) for name, kind in document["dtype"]]
        foreign = [kind for _, kind in fields if not _PLAIN.fullmatch(kind)]
        if foreign or len(fields) > _FIELDS:
            raise ValueError(f"{foreign[0]!r:.40} is no plain number" if foreign else f"{len(fields):,} fields")
        dtype = np.dtype(fields)
    except (KeyError, TypeError, ValueError) as error:
        raise WorkbenchError(f"{path}: not a record's description ({error})") from None
    missing = [name for name in DTYPE.names or () if name not in (dtype.names or ())]
    if missing:
        raise WorkbenchError(f"{path}: the record lacks {', '.join(missing)}")
    other = [name for name in DTYPE.names or () if dtype[name].kind != DTYPE[name].kind]
    if other:
        raise WorkbenchError(f"{path}: {other[0]} is {dtype[other[0]]}, expected {DTYPE[other[0]]}")
    return dtype


def as_object(values: dict[str, Any], *, windows: bool) -> dict[str, Any]:
    """A record's fields as `--json` and `export` tell them, with this step's tokens per second.

    With the `windows` layout a row is one prediction, otherwise T of them.
    """
    rows = values["B"] * values["accum"] * values["world"]
    predictions = rows if windows else rows * values["T"]
    seconds = values["seconds"]
    return {**values, "tokens_per_s": predictions / seconds if seconds > 0 else None}
