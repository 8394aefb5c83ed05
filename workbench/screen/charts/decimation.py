"""Records folded into buckets of K, in memory that does not grow with the run.

A bucket is one column of a float64 matrix of (ROWS, buckets). A single record is a bucket of one, and a bucket of
2K is the merger of two of K: whatever the pieces in which a file was read, the same records make the same bits.
"""

import numpy as np
import numpy.typing as npt

from workbench.runs.records import CLIPPED, SPIKE, Records

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


class Averages:
    """Exponential moving averages of a sequence, one per level of SMOOTHING, free of the bias towards zero.

    The sequence is cut into blocks of 64: in a block a prefix scan, from block to block one multiplication.
    """

    def __init__(self, count: int = 0, averages: Matrix | None = None) -> None:
        """Begins after `count` values whose averages are known, else at the beginning."""
        self.count = count
        self.latest = np.full(len(SMOOTHING), np.nan) if averages is None else averages.copy()
        self._carry = [
            0.0 if count == 0 else float(-np.expm1(count * np.log(level)) * average)
            for level, average in zip(SMOOTHING, self.latest, strict=True)
        ]
        self._block = np.empty(0)

    def add(self, values: Matrix) -> Matrix:
        """The averages after each of these finite values: (levels, len(values))."""
        held, m = len(self._block), len(values)
        if not m:
            return np.empty((len(SMOOTHING), 0))
        full, rest = divmod(held + m, _BLOCK)
        padded = np.zeros((full + (rest > 0)) * _BLOCK)
        padded[:held] = self._block
        padded[held : held + m] = values
        counts = np.arange(self.count + 1, self.count + m + 1, dtype=np.float64)
        out = np.empty((len(SMOOTHING), m))
        for i, level in enumerate(SMOOTHING):
            y = (1 - level) * padded.reshape(-1, _BLOCK)
            shift = 1
            while shift < _BLOCK:
                y[:, shift:] += level**shift * y[:, :-shift]
                shift *= 2
            carries = [self._carry[i]]
            decay = level**_BLOCK
            for inner in y[:full, -1].tolist():
                carries.append(decay * carries[-1] + inner)
            y += np.outer(carries[: len(y)], level ** np.arange(1.0, _BLOCK + 1))
            self._carry[i] = carries[full]
            out[i] = y.reshape(-1)[held : held + m] / -np.expm1(counts * np.log(level))
        self._block = padded[full * _BLOCK : held + m].copy()
        self.count += m
        self.latest = out[:, -1]
        return out


def singles(records: Records, tokens_before: float, averages: Averages) -> Matrix:
    """A bucket for each record: (ROWS, len(records)). `averages` moves on over the finite losses."""
    m = len(records)
    tokens = records["tokens"].astype(np.float64)
    made = np.diff(tokens, prepend=tokens_before)
    values = np.empty((_S, m))
    for i, name in enumerate(SERIES[:-1]):
        values[i] = records[name]
    with np.errstate(divide="ignore", invalid="ignore"):
        values[-1] = np.where(values[-2] > 0, made / values[-2], np.nan)
    finite = np.isfinite(values)
    buckets = np.empty((ROWS, m))
    buckets[LEAST] = np.where(finite, values, np.inf)
    buckets[MOST] = np.where(finite, values, -np.inf)
    buckets[SUM:WEIGHT] = np.where(finite, values, 0)
    buckets[WEIGHT:BROKEN] = finite
    buckets[BROKEN:CLIPS] = ~finite
    # Tokens a second are a ratio of sums; a step that took no time has none, which is no fault.
    buckets[WEIGHT - 1] = np.where(finite[-1], made, 0)
    buckets[BROKEN - 1] = np.where(finite[-1], values[-2], 0)
    buckets[CLIPS - 1] = 0
    buckets[CLIPS] = records["flags"] & CLIPPED != 0
    buckets[SPIKES] = records["flags"] & SPIKE != 0
    buckets[TOKENS], buckets[TIME] = tokens, records["time"]
    counted = np.cumsum(finite[0])
    buckets[FINITE] = averages.count + counted
    before = averages.latest[:, None]
    buckets[AVERAGE:TOKENS] = np.hstack([before, averages.add(values[0][finite[0]])])[:, counted]
    return buckets


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


def one(buckets: Matrix) -> Matrix:
    """All of them made one: (ROWS, 1). There is at least one."""
    merged = np.empty((ROWS, 1))
    merged[LEAST, 0] = buckets[LEAST].min(axis=1)
    merged[MOST, 0] = buckets[MOST].max(axis=1)
    with np.errstate(over="ignore"):
        merged[TOTAL, 0] = buckets[TOTAL].sum(axis=1)
    merged[END, 0] = buckets[END, -1]
    return merged


class Buckets:
    """Consecutive records from `first` on, in buckets of K; K doubles when more than `most` of them would be full.

    `averages` and `tokens_before` are those of the record before the first.
    """

    def __init__(
        self, most: int, *, K: int = 1, first: int = 0, tokens_before: float = 0, averages: Averages | None = None
    ) -> None:
        self.first, self.K, self.records = first, K, 0
        self._most = most
        self._tokens = tokens_before
        self._averages = averages or Averages()
        self._matrix = np.zeros((ROWS, most + 1))  # the last may be the one that is not full
        self._tail = np.empty((ROWS, 0))  # its records, one by one

    def __len__(self) -> int:
        return -(-self.records // self.K)

    @property
    def matrix(self) -> Matrix:
        """(ROWS, len(self)): a view that the next `add` changes."""
        return self._matrix[:, : len(self)]

    @property
    def room(self) -> int:
        """How many records the next `add` may bring: it never has to merge in the middle."""
        left = self._most * self.K - self.records
        return left or self._most * self.K

    def add(self, records: Records) -> None:
        """The next records, `room` of them at most."""
        fresh = singles(records, self._tokens, self._averages)
        if self.records == self._most * self.K:
            self._matrix[:, : self._most // 2] = pairs(self._matrix[:, : self._most])
            self.K *= 2
        full = self.records // self.K
        fresh = np.hstack([self._tail, fresh])
        whole = fresh.shape[1] // self.K * self.K
        folded, self._tail = fresh[:, :whole], fresh[:, whole:].copy()
        size = 1
        while size < self.K and whole:
            folded, size = pairs(folded), 2 * size
        self.records += len(records)
        self._tokens = float(records["tokens"][-1])
        self._matrix[:, full : full + whole // self.K] = folded if whole else 0
        if self._tail.shape[1]:
            self._matrix[:, len(self) - 1 : len(self)] = one(self._tail)
