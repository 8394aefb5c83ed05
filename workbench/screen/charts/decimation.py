"""Records folded into buckets of K, in memory that does not grow with the run.

A bucket is one column of a float64 matrix of (ROWS, buckets). A single record is a bucket of one, and a bucket of
2K is the merger of two of K, however many are folded at once: whatever the pieces in which a file was read, the
same records make the same bits.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.runs.records import CLIPPED, DTYPE, SPIKE, Records

Matrix = npt.NDArray[np.float64]

SERIES = ("loss", "lr", "grad_norm", "seconds", "tokens_per_s")
SMOOTHING = (0.9, 0.99, 0.999)

# Rows of a bucket, grouped by how two buckets merge.
_S = len(SERIES)
LEAST = slice(0, _S)
MOST = slice(_S, 2 * _S)
TOTAL = slice(2 * _S, 5 * _S + 2)  # sums, weights and how many are not finite, for each series; clipped; spikes
END = slice(5 * _S + 2, 5 * _S + 5 + len(SMOOTHING))  # the averages of the loss, then those below
SUM, WEIGHT, BROKEN, CLIPS, SPIKES = 2 * _S, 3 * _S, 4 * _S, 5 * _S, 5 * _S + 1
AVERAGE = END.start
TOKENS, TIME, FINITE = (AVERAGE + len(SMOOTHING) + i for i in range(3))  # FINITE: losses that count in the averages
ROWS = END.stop

_BLOCK = 64
_LEVELS = np.array(SMOOTHING)[:, None]


class Averages:
    """Exponential moving averages of a sequence, one per level of SMOOTHING, free of the bias towards zero.

    The sequence is cut into blocks of 64. Inside a block two neighbours are joined to one, and those again, down to
    what is asked for: from it a prefix scan, and from block to block one multiplication.
    """

    def __init__(self, count: int = 0, averages: Matrix | None = None) -> None:
        """Begins after `count` finite values whose averages are known, else at the beginning."""
        self.count = count
        self._carry = [0.0] * len(SMOOTHING)
        if count and averages is not None:
            self._carry = (-np.expm1(count * np.log(SMOOTHING)) * averages).tolist()

    def copy(self) -> "Averages":
        """One that moves on without this one."""
        other = Averages(self.count)
        other._carry = [*self._carry]
        return other

    def after(self, values: Matrix, finite: npt.NDArray[np.bool_] | None, K: int) -> tuple[Matrix, Matrix]:
        """The averages after each K values, (levels, len(values)/K), and of how many finite values they are.

        K is a power of two, and the values fill whole blocks and whole K's. Those that are not `finite` are skipped;
        None says that all are. NaN before the first.
        """
        # A stretch of values turns the average m before it into d·m + v.
        if finite is None:
            v, d = (1 - _LEVELS) * values, _LEVELS
        else:
            v = (1 - _LEVELS) * np.where(finite, values, 0)
            d = np.where(finite, _LEVELS, 1)
        size = 1
        while size < min(K, _BLOCK):
            if d.shape[1] == 1:
                v, d = v[:, 1::2] + d * v[:, 0::2], d * d
            else:
                v, d = v[:, 1::2] + d[:, 1::2] * v[:, 0::2], d[:, 1::2] * d[:, 0::2]
            size *= 2
        inside = _BLOCK // size
        v = v.reshape(len(SMOOTHING), -1, inside)
        d = np.repeat(d, inside, axis=1)[:, None] if d.shape[1] == 1 else d.reshape(v.shape)
        shift = 1
        while shift < inside:
            v[..., shift:] += d[..., shift:] * v[..., :-shift]
            d[..., shift:] = d[..., shift:] * d[..., :-shift]
            shift *= 2
        before = self._carried(v[..., -1], np.broadcast_to(d, v.shape)[..., -1])
        v += d * before[..., None]
        found = v.reshape(len(SMOOTHING), -1)[:, K // size - 1 :: K // size]
        if finite is None:
            counts = np.arange(1, found.shape[1] + 1, dtype=np.float64) * K
        else:
            counts = np.cumsum(joined(np.add, finite.astype(np.float64), K))
        counts += self.count
        self.count = int(counts[-1])
        with np.errstate(invalid="ignore"):
            return found / -np.expm1(counts * np.log(_LEVELS)), counts

    def _carried(self, v: Matrix, d: Matrix) -> Matrix:
        """What each block begins with: (levels, blocks)."""
        before = []
        for i, (values, decays) in enumerate(zip(v.tolist(), d.tolist(), strict=True)):
            carry, row = self._carry[i], []
            for value, decay in zip(values, decays, strict=True):
                row.append(carry)
                carry = decay * carry + value
            self._carry[i] = carry
            before.append(row)
        return np.array(before)


def joined(join: np.ufunc, values: npt.NDArray[Any], K: int) -> Matrix:
    """Each K neighbours along the last axis made one, two by two: K is a power of two."""
    while K > 1:
        values, K = join(values[..., 0::2], values[..., 1::2]), K // 2
    return values


def folded(records: Records, K: int, tokens_before: float, averages: Averages) -> Matrix:
    """Buckets of K records, (ROWS, ceil(len(records) / K)); the last may lack some. There is at least one record.

    `tokens_before` are those of the record before the first. `averages` moves on to the end, which is of use only
    where the records fill whole blocks.
    """
    m, unit = len(records), max(K, _BLOCK)
    n, space = -(-m // K), -(-m // unit) * unit
    values = np.empty((_S + 1, space))  # `made` first: it, and all but the speed, are summed
    values[:, m:] = np.nan
    for i, name in enumerate(SERIES[:-1], start=1):
        values[i, :m] = records[name]
    made, loss, seconds, speed = values[0], values[1], values[_S - 1], values[_S]
    tokens = records["tokens"].astype(np.float64)
    made[0] = tokens[0] - tokens_before
    np.subtract(tokens[1:], tokens[:-1], out=made[1:m])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        np.divide(made, seconds, out=speed)
    speed[~(seconds > 0)] = np.nan

    out = np.empty((ROWS, space // K))
    here = np.full(space // K, K, np.float64)
    here[n - 1] = m - (n - 1) * K
    finite = np.isfinite(values[1:])
    all_finite = bool(finite.all())
    with np.errstate(over="ignore"):
        if all_finite:
            out[LEAST] = joined(np.minimum, values[1:], K)
            out[MOST] = joined(np.maximum, values[1:], K)
            sums = joined(np.add, values[:_S], K)
            out[SUM : SUM + _S - 1], out[WEIGHT - 1] = sums[1:], sums[0]
            out[WEIGHT : BROKEN - 1], out[BROKEN - 1] = here, sums[-1]
            out[BROKEN:CLIPS] = 0
        else:
            out[LEAST] = joined(np.minimum, np.where(finite, values[1:], np.inf), K)
            out[MOST] = joined(np.maximum, np.where(finite, values[1:], -np.inf), K)
            out[SUM : WEIGHT - 1] = joined(np.add, np.where(finite[:-1], values[1:-1], 0), K)
            counted = joined(np.add, finite[:-1].astype(np.float64), K)
            out[WEIGHT : BROKEN - 1], out[BROKEN : CLIPS - 1] = counted, here - counted
            # Tokens a second are a ratio of sums; a step that took no time has none, which is no fault.
            ratio = joined(np.add, np.where(finite[-1], np.stack([made, seconds]), 0), K)
            out[WEIGHT - 1], out[BROKEN - 1], out[CLIPS - 1] = *ratio, 0
    flags = records["flags"] & (CLIPPED | SPIKE)
    out[CLIPS : SPIKES + 1] = 0
    if flags.any():
        each = np.zeros((2, space), np.uint32)
        each[:, :m] = flags & CLIPPED != 0, flags & SPIKE != 0
        out[CLIPS : SPIKES + 1] = joined(np.add, each, K)
    out[AVERAGE:TOKENS], out[FINITE] = averages.after(loss, None if all_finite else finite[0], K)
    ends = np.minimum(np.arange(1, n + 1) * K, m) - 1
    out[TOKENS, :n], out[TIME, :n] = tokens[ends], records["time"][ends]
    return out[:, :n]


def pairs(buckets: Matrix) -> Matrix:
    """Each two neighbours made one; their number is even."""
    a, b = buckets[:, 0::2], buckets[:, 1::2]
    merged = np.empty(a.shape)
    np.minimum(a[LEAST], b[LEAST], out=merged[LEAST])
    np.maximum(a[MOST], b[MOST], out=merged[MOST])
    with np.errstate(over="ignore"):
        np.add(a[TOTAL], b[TOTAL], out=merged[TOTAL])
    merged[END] = b[END]
    return merged


class Buckets:
    """Consecutive records from `first` on, in buckets of K; K doubles when more than `most` of them would be full.

    `most` is even, K a power of two. `averages` and `tokens_before` are those of the record before the first.
    """

    def __init__(
        self, most: int, *, K: int = 1, first: int = 0, tokens_before: float = 0, averages: Averages | None = None
    ) -> None:
        self.first, self.K, self.records = first, K, 0
        self.most = most
        self._tokens = tokens_before
        self._averages = averages or Averages()
        self._matrix = np.zeros((ROWS, most + 1))  # the last may be the one that is not full
        self._rest: Records = np.empty(0, DTYPE)  # the last ones, which do not fill a block or a bucket

    def __len__(self) -> int:
        return -(-self.records // self.K)

    @property
    def matrix(self) -> Matrix:
        """(ROWS, len(self)): a view that the next `add` changes."""
        return self._matrix[:, : len(self)]

    @property
    def room(self) -> int:
        """How many records the next `add` may bring: it never has to merge in the middle."""
        left = self.most * self.K - self.records
        return left or self.most * self.K

    def add(self, records: Records) -> None:
        """The next records, `room` of them at most."""
        if self.records == self.most * self.K:
            self._matrix[:, : self.most // 2] = pairs(self._matrix[:, : self.most])
            self.K *= 2
        begin = self.records - len(self._rest)
        self.records += len(records)
        fresh = np.concatenate([self._rest, records]) if len(self._rest) else records
        unit = max(self.K, _BLOCK)
        whole = len(fresh) // unit * unit
        if whole:
            self._put(begin, folded(fresh[:whole], self.K, self._tokens, self._averages))
            self._tokens = float(fresh["tokens"][whole - 1])
        self._rest = fresh[whole:].copy()
        if len(self._rest):
            self._put(begin + whole, folded(self._rest, self.K, self._tokens, self._averages.copy()))

    def _put(self, begin: int, buckets: Matrix) -> None:
        at = begin // self.K
        self._matrix[:, at : at + buckets.shape[1]] = buckets
