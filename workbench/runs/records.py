"""steps.bin: one packed little-endian record per update. Record i is step i, always.

The number of records is the file's size divided by the record's, and no other file limits it, so a reader
never needs a lock and a torn last record is simply not there yet.
"""

import json
import os
import struct
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.errors import WorkbenchError
from workbench.runs import FORMAT
from workbench.runs.files import FILE_MODE, check_format, replace_json

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

Records = npt.NDArray[np.void]


class StepLog:
    """The worker's end: appends records, hands them to the file system when told to. Any thread may flush."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "steps.bin"
        replace_json(
            directory / "steps.json", {"format": FORMAT, "dtype": [[name, kind] for name, kind, *_ in DTYPE.descr]}
        )
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, FILE_MODE)
        self._pending = bytearray()
        self._lock = threading.Lock()

    def append(self, *values: float) -> None:
        """One record, its values in the order of DTYPE."""
        data = _PACKED.pack(*values)
        with self._lock:
            self._pending += data

    def flush(self) -> None:
        with self._lock:
            while self._pending:
                written = os.write(self._fd, self._pending)
                del self._pending[:written]

    def sync(self) -> int:
        """Everything appended so far is on the disk when this returns. Returns the number of records."""
        self.flush()
        os.fsync(self._fd)
        return os.fstat(self._fd).st_size // DTYPE.itemsize

    def cut(self, records: int) -> None:
        """Forget what was appended past `records`; a torn tail goes with it."""
        with self._lock:
            self._pending.clear()
            size = os.fstat(self._fd).st_size
            if size < records * DTYPE.itemsize:
                raise WorkbenchError(
                    f"{self._path}: {size // DTYPE.itemsize} records, but its checkpoint was made after {records}; "
                    "the file was cut by something else"
                )
            os.ftruncate(self._fd, records * DTYPE.itemsize)
            os.fsync(self._fd)

    def close(self) -> None:
        self.flush()
        os.close(self._fd)


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

    def read(self, begin: int = 0, end: int | None = None) -> Records:
        """Records begin … end−1 (all that are there by default), as a structured array."""
        end = len(self) if end is None else min(end, len(self))
        if end <= begin:
            return np.empty(0, self.dtype)
        size = self.dtype.itemsize
        with self._path.open("rb") as file:
            data = os.pread(file.fileno(), (end - begin) * size, begin * size)
        return np.frombuffer(data[: len(data) // size * size], dtype=self.dtype)


def _described(path: Path) -> "np.dtype[np.void]":
    """The record as steps.json describes it: a reader of a later version finds its fields by name."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return DTYPE  # a run that has not begun: no records either
    except (OSError, ValueError) as error:
        raise WorkbenchError(f"{path}: cannot be read ({error})") from None
    check_format(document, str(path))
    try:
        dtype = np.dtype([(str(name), str(kind)) for name, kind in document["dtype"]])
    except (KeyError, TypeError, ValueError) as error:
        raise WorkbenchError(f"{path}: not a record's description ({error})") from None
    missing = [name for name in DTYPE.names or () if name not in (dtype.names or ())]
    if missing or dtype.hasobject or dtype.itemsize < 1:
        raise WorkbenchError(f"{path}: the record lacks {', '.join(missing) or 'a plain layout'}")
    return dtype


def as_object(values: dict[str, Any], *, windows: bool) -> dict[str, Any]:
    """A record's fields as `--json` and `export` tell them, with this step's tokens per second.

    With the `windows` layout a row is one prediction, otherwise T of them.
    """
    rows = values["B"] * values["accum"] * values["world"]
    predictions = rows if windows else rows * values["T"]
    seconds = values["seconds"]
    return {**values, "tokens_per_s": predictions / seconds if seconds > 0 else None}
