"""Token ids of a corpus, held in memory or read from their file by pread.

No mmap: a file that is cut under a mapping kills the process, while a short pread is an error to tell.
"""

import os
import weakref
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import DataError

Array = NDArray[Any]  # of one of the unsigned types

# Bytes of tokens up to which a corpus is held in memory: what can be read and checked in some milliseconds. More
# would not be drawn faster: rows at random places of a gigabyte wait for memory, held or not.
IN_MEMORY = 16 << 20
_READ = 8 << 20


class TokenStore:
    """A file of token ids: dtype little-endian unsigned, nothing else in it.

    checksum is the file's CRC-32, checked when the file is read into memory. Ids read by pread are
    checked against the vocabulary. DataError for a file that is cut, or holds what it should not.
    """

    def __init__(
        self,
        path: Path,
        dtype: np.dtype[Any],
        n: int,
        vocab_size: int,
        *,
        checksum: int | None = None,
        in_memory: int = IN_MEMORY,
    ) -> None:
        self.path = path
        self.dtype = dtype
        self.n = n
        self._vocab_size = vocab_size
        self._largest = int(np.iinfo(dtype).max)
        try:
            self._fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise DataError(f"{path}: the tokens cannot be read ({error.strerror}).") from None
        close = weakref.finalize(self, os.close, self._fd)
        if os.fstat(self._fd).st_size != n * dtype.itemsize:
            raise self._damaged()
        self._held: Array | None = None
        if n * dtype.itemsize <= in_memory:
            held = np.empty(n, dtype=dtype)
            self._fill(held.data.cast("B"), 0)
            if checksum is not None and zlib.crc32(held.data) != checksum:
                raise self._damaged()
            self._held = held
            close()

    @property
    def in_memory(self) -> bool:
        """Whether rows come from memory; else each is read from the file."""
        return self._held is not None

    def _damaged(self) -> DataError:
        return DataError(
            f"{self.path}: the file of tokens is cut short or changed. Remove it and start again; it is then "
            "made anew from the text."
        )

    def _fill(self, target: memoryview, offset: int) -> None:
        """Fill `target`, bytes, with what stands at byte `offset` of the file."""
        done = 0
        while done < len(target):
            try:
                got = os.preadv(self._fd, [target[done : done + _READ]], offset + done)
            except OSError as error:
                raise DataError(f"{self.path}: the tokens cannot be read ({error.strerror}).") from None
            if got == 0:
                raise self._damaged()
            done += got

    def read(self, begin: int, count: int) -> Array:
        """Tokens begin … begin + count − 1, (count,)."""
        if self._held is not None:
            return self._held[begin : begin + count].copy()
        tokens = np.empty(count, dtype=self.dtype)
        if count:
            self._fill(tokens.data.cast("B"), begin * self.dtype.itemsize)
            self._check(tokens)
        return tokens

    def gather(self, starts: NDArray[np.int64], length: int) -> Array:
        """Rows of `length` tokens that begin at `starts`, (len(starts), length)."""
        if self._held is not None:
            if not len(starts):
                return np.empty((0, length), dtype=self.dtype)
            shape, steps = (self.n - length + 1, length), (self.dtype.itemsize,) * 2
            windows: Array = np.ndarray(shape, self.dtype, self._held, strides=steps)  # every row there is, uncopied
            chosen: Array = windows[starts]
            return chosen
        rows = np.empty((len(starts), length), dtype=self.dtype)
        if rows.size:
            self._fill_rows(rows, starts)
            self._check(rows)
        return rows

    def _fill_rows(self, rows: Array, starts: NDArray[np.int64]) -> None:
        target = rows.data.cast("B")
        width = len(target) // len(rows)
        begin = 0
        for offset in (starts * self.dtype.itemsize).tolist():
            row = target[begin : begin + width]
            try:
                whole = os.preadv(self._fd, (row,), offset) == width
            except OSError:
                whole = False
            if not whole:  # a signal, a long row, or a reason to be told
                self._fill(row, offset)
            begin += width

    def _check(self, tokens: Array) -> None:
        # An id past the vocabulary would be an index error on a GPU, which poisons its process.
        if self._vocab_size <= self._largest and int(tokens.max()) >= self._vocab_size:
            raise self._damaged()


class Split:
    """One contiguous part of a corpus: n tokens from `base` on."""

    def __init__(self, store: TokenStore, base: int, n: int) -> None:
        self._store = store
        self._base = base
        self.n = n

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._store.dtype

    @property
    def in_memory(self) -> bool:
        return self._store.in_memory

    def read(self, begin: int, count: int) -> Array:
        """Tokens begin … begin + count − 1 of this split, (count,). IndexError if it has not as many."""
        if begin < 0 or count < 0 or begin + count > self.n:
            raise IndexError(f"tokens {begin} to {begin + count} of a split of {self.n}")
        return self._store.read(self._base + begin, count)

    def gather(self, starts: NDArray[np.int64], length: int) -> Array:
        """Rows of `length` tokens that begin at `starts`, (len(starts), length). IndexError for one outside."""
        if len(starts) and (int(starts.min()) < 0 or int(starts.max()) + length > self.n):
            raise IndexError(f"rows of {length} at {starts.min()} to {starts.max()} of a split of {self.n}")
        return self._store.gather(starts + self._base, length)
