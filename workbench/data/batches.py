"""Rows into (x, y): what the model is given and what it is asked for.

stream   x[b] = tokens[s : s+T],  y[b] = tokens[s+1 : s+T+1]            both (B, T)
windows  y[b] = tokens[s],        x[b] = the T tokens before it in its line, newlines before its start
                                                                       (B, T) and (B,)
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


class Tokens(Protocol):
    """A split of a corpus: n tokens, read by position."""

    @property
    def n(self) -> int: ...

    def read(self, begin: int, count: int) -> npt.NDArray[Any]: ...

    def gather(self, starts: npt.NDArray[np.int64], length: int) -> npt.NDArray[Any]: ...


def batch(split: Tokens, offsets: npt.NDArray[np.int64], T: int, newline: int | None) -> tuple[Ids, Ids]:
    """The (x, y) of the rows that start at `offsets`; `newline` is the newline's id for windows, else None."""
    if newline is not None:
        return _windows(split, offsets, T, newline)
    rows = split.gather(offsets, T + 1)
    return rows[:, :-1].astype(np.int64, order="C"), rows[:, 1:].astype(np.int64, order="C")


def _windows(split: Tokens, targets: npt.NDArray[np.int64], T: int, newline: int) -> tuple[Ids, Ids]:
    if bool((targets >= T).all()):
        rows = split.gather(targets - T, T + 1).astype(np.int64)
    else:  # the split's first targets have less than T tokens before them
        rows = np.full((len(targets), T + 1), newline, dtype=np.int64)
        for row, target in zip(rows, targets.tolist(), strict=True):
            begin = max(0, target - T)
            row[T - (target - begin) :] = split.read(begin, target - begin + 1)
    x, y = rows[:, :-1], rows[:, -1]
    # A newline in x ends an earlier line: it and everything before it is that line's, not this one's.
    earlier = np.logical_or.accumulate((x == newline)[:, ::-1], axis=1)[:, ::-1]
    return np.where(earlier, newline, x), np.ascontiguousarray(y)


def fingerprint(xs: Sequence[npt.NDArray[Any]], ys: Sequence[npt.NDArray[Any]]) -> str:
    """SHA-256 over x, then y, as little-endian int32 in C order and in row order: the hash of a step's rows.

    A step's micro-batches are given in their order; x comes first for all of them, then y.
    """
    digest = hashlib.sha256()
    for part in (*xs, *ys):
        digest.update(np.ascontiguousarray(part).astype("<i4").tobytes())
    return digest.hexdigest()
