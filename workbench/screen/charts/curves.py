"""The curves of one run, at a cost that does not grow with it: at most 16,384 buckets, whatever its steps.

An x is a step, or the tokens, FLOPs or seconds of training before it; record s lies at the x at which its step began.
"""

import math
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from workbench.errors import WorkbenchError
from workbench.lab.flops import Spent
from workbench.runs.records import PIECE, SPIKE, Records, StepReader
from workbench.screen.charts import decimation
from workbench.screen.charts.decimation import SERIES, SMOOTHING, Averages, Buckets, Matrix

Axis = Literal["step", "tokens", "flops", "time"]

_MOST = 16_384  # buckets: 4.3 MB, and five for each dot of a very wide terminal
_RECENT = 10  # records that the present speed is told from
_EXACT = 65_536  # records of a range that are read again for columns of whole eighths, cheap as that is
_COARSE = 1 << 19  # and of one with fewer buckets than columns: 44 MB, and what a person takes for at once

_FEW = 256  # steps that are looked up one by one, each with a look into the file


def smoothed(level: float) -> str:
    """The name of the loss's moving average at one of the levels of SMOOTHING, as a series."""
    return f"loss~{level:g}"


_SMOOTHED = {smoothed(level): decimation.AVERAGE + i for i, level in enumerate(SMOOTHING)}


@dataclass(frozen=True, eq=False)
class Columns:
    """n columns over [begin, end): what lies in each one. A column without a finite value is NaN in all three."""

    begin: float
    end: float
    low: Matrix
    high: Matrix
    mean: Matrix  # for an average: its value at the column's end
    broken: npt.NDArray[np.bool_]  # a value there was NaN or infinite
    spikes: npt.NDArray[np.bool_]  # the worker flagged a spike there

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """Where there is a finite value."""
        return ~np.isnan(self.mean)

    @classmethod
    def of(cls, begin: float, end: float, values: npt.ArrayLike) -> "Columns":
        """One value a column, such as a planned learning rate; what is not finite is absent."""
        given = np.asarray(values, dtype=np.float64)
        exact = np.where(np.isfinite(given), given, np.nan)
        never = np.zeros(len(exact), dtype=np.bool_)
        return cls(begin, end, exact, exact, exact, never, never)


class Curves:
    """Follows one run's steps.bin. One thread polls, any thread reads.

    A file that was cut or written anew (a resume, a rewind) is noticed by its last record read, whose `time` no
    second attempt repeats, and is read again from the start: ten million records take about a second.
    """

    def __init__(self, directory: Path) -> None:
        self._reader = StepReader(directory)
        self._polling = threading.Lock()
        self._lock = threading.Lock()  # guards all below
        self._buckets = Buckets(_MOST)
        self._there = 0
        self._detail: tuple[tuple[int, int, int], Buckets] | None = None
        self._recent: Records = np.empty(0, self._reader.dtype)
        self._stale = False
        self._positions: dict[tuple[int, Axis], float] = {}  # of marks: few, and asked for at every redraw
        self.spent: Spent | None = None
        """FLOPs by tokens, where they are known; without it nothing lies on that axis."""

    def __len__(self) -> int:
        return self._buckets.records

    @property
    def last(self) -> dict[str, Any] | None:
        """The newest record's fields; None before the first."""
        return _fields(self._recent)

    def recent_speed(self) -> float | None:
        """Tokens a second over the last ten records; None before the first. Does not touch the file."""
        recent = self._recent
        if not len(recent):
            return None
        first = recent[:1] if len(recent) > _RECENT else recent[:0]  # else record 0 is among them
        seconds = float(recent["seconds"][len(first) :].sum())
        made = int(recent["tokens"][-1]) - sum(first["tokens"].tolist())
        return made / seconds if seconds > 0 else None

    def price(self, spent: Spent | None) -> None:
        """What tokens cost, from the run's events. For the polling thread."""
        with self._lock:
            self.spent = spent
            self._positions.clear()

    def reset_to(self, records: int) -> None:
        """The file was cut to so many records: what was read past them is another attempt's. For the polling thread."""
        self._stale |= records < len(self)

    @property
    def behind(self) -> int:
        """How many records of the file, as the last poll found it, have not been taken in yet."""
        return max(self._there - len(self), 0)

    def poll(self, seconds: float = math.inf) -> bool:
        """Takes in what is new, piece by piece, for about so many seconds. True if anything changed."""
        with self._polling, self._reader.open() as window:
            until = time.monotonic() + seconds
            self._there = len(self._reader)
            changed, buckets, recent = False, self._buckets, self._recent
            if not buckets.records:
                with self._lock:
                    buckets = self._buckets = _fitting(self._there)
            while True:
                held = len(recent[-1:])  # the last record is read once more, to see that it is still the same
                begin, size = buckets.records, max(PIECE, buckets.K)
                records = window.read(begin - held, begin + min(size - begin % size, buckets.room))
                if self._stale or records[:held].tobytes() != recent[-1:].tobytes():
                    changed, buckets, recent, self._stale = True, _fitting(len(self._reader)), recent[:0], False
                    continue
                fresh = records[held:]
                if len(fresh):
                    changed, recent = True, np.concatenate([recent, fresh[-_RECENT - 1 :]])[-_RECENT - 1 :]
                    if buckets is not self._buckets:  # read anew: shown when it is whole, so that no chart flashes
                        buckets.add(fresh)
                        continue
                    with self._lock:
                        buckets.add(fresh)
                        self._recent = recent
                    if time.monotonic() > until:
                        return True
                    continue
                if buckets.K > 1 and 2 * buckets.records <= _MOST * buckets.K:  # the file was longer a moment ago
                    changed, buckets, recent = True, Buckets(_MOST), recent[:0]
                    continue
                if buckets is not self._buckets:
                    with self._lock:
                        self._buckets, self._recent, self._detail = buckets, recent, None
                        self._positions.clear()
                self._there = buckets.records
                return changed

    def columns(self, series: str, x: Axis, begin: float, end: float, n: int) -> Columns:
        """n columns of one of SERIES, or of `smoothed(level)`, over x in [begin, end).

        Over steps the columns' edges depend on begin, end and n alone, so that only the last columns change while
        a run grows: exact for up to 16,384 steps, else to an eighth of a column. Where buckets are too coarse for
        that, the range is read from the file, up to 524,288 records.
        """
        low, high, mean = (np.full(n, np.nan) for _ in range(3))
        broken, spikes = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
        result = Columns(begin, end, low, high, mean, broken, spikes)
        if not end > begin:
            return result
        with self._lock:
            buckets, grain = self._source(x, begin, end, n)
            starts, stops = self._edges(buckets, x)
            i, j = int(np.searchsorted(stops, begin, "right")), int(np.searchsorted(starts, end, "left"))
            if j <= i:
                return result
            # Whole grains go to one column: a bucket that doubles later moves nothing.
            places = np.floor(starts[i:j] / grain) * grain if x == "step" else starts[i:j]
            columns = np.clip((places - begin) * (n / (end - begin)), 0, n - 1).astype(np.intp)
            groups = np.flatnonzero(np.diff(columns, prepend=-1))
            where, matrix = columns[groups], buckets.matrix[:, i:j]
            spikes[where] = np.add.reduceat(matrix[decimation.SPIKES], groups) > 0
            if series in _SMOOTHED:
                ends = np.append(groups[1:], j - i) - 1
                low[where] = high[where] = mean[where] = matrix[_SMOOTHED[series], ends]
                return result
            s = SERIES.index(series)
            weight = np.add.reduceat(matrix[decimation.WEIGHT + s], groups)
            with np.errstate(over="ignore"):
                total = np.add.reduceat(matrix[decimation.SUM + s], groups)
            least = np.minimum.reduceat(matrix[decimation.LEAST][s], groups)
            most = np.maximum.reduceat(matrix[decimation.MOST][s], groups)
            broken[where] = np.add.reduceat(matrix[decimation.BROKEN + s], groups) > 0
        there = weight > 0
        where, least, most = where[there], least[there], most[there]
        low[where], high[where] = least, most
        mean[where] = np.clip(total[there] / weight[there], least, most)  # a sum of huge values may overflow
        return result

    def at(self, step: int) -> dict[str, Any] | None:
        """The exact fields of record `step`, with its tokens per second; None where there is none."""
        if step < 0:
            return None
        first = max(step - 1, 0)
        records = self._read(first, step + 1)
        if len(records) <= step - first:
            return None
        fields = _fields(records)
        assert fields is not None
        made = fields["tokens"] - (int(records["tokens"][0]) if step else 0)
        return fields | {"tokens_per_s": made / fields["seconds"] if fields["seconds"] > 0 else None}

    def landmark(self, begin: int, end: int) -> int | None:
        """The first step in [begin, end) whose loss is not finite, else the first with a spike; None of neither."""
        with self._lock:
            K, matrix = self._buckets.K, self._buckets.matrix
            i, j = max(begin, 0) // K, -(-min(end, len(self)) // K)
            flagged = [np.flatnonzero(matrix[row, i:j]) + i for row in (decimation.BROKEN, decimation.SPIKES)]
        for buckets, is_one in zip(flagged, (_broken, _spike), strict=True):
            for bucket in buckets.tolist():  # the first or the last may have what it has outside the range
                first = max(bucket * K, begin)
                found = is_one(self._read(first, min((bucket + 1) * K, end)))
                if found.any():
                    return first + int(np.argmax(found))
        return None

    def clipped_share(self, begin: int, end: int) -> float:
        """The part of the steps in [begin, end) whose gradient was clipped, to the nearest buckets; 0 of none."""
        with self._lock:
            K, matrix = self._buckets.K, self._buckets.matrix
            i, j = max(begin, 0) // K, -(-min(end, len(self)) // K)
            if j <= i:
                return 0.0
            return float(matrix[decimation.CLIPS, i:j].sum() / (min(j * K, len(self)) - i * K))

    def x_of(self, step: int, x: Axis) -> float:
        """Where record `step` lies: the tokens, or the seconds, of all steps before it. Past the end: the end."""
        with self._lock:
            step = min(max(step, 0), len(self))
            if x == "step" or not step:
                return float(step)
            if (step, x) in self._positions:
                return self._positions[step, x]
            K, matrix = self._buckets.K, self._buckets.matrix
            if step % K == 0 or step == len(self):
                return float(self._along(matrix[_row(x), -(-step // K) - 1], x))
            record = self._read(step - 1, step)
            self._positions[step, x] = float(self._along(record[_FIELD[x]][0], x)) if len(record) else 0.0
            return self._positions[step, x]

    def places(self, steps: npt.NDArray[np.int64], x: Axis, begin: float, end: float) -> Matrix:
        """Where these steps lie, of which those in [begin, end] are seen: as `x_of`, where few of them are; else to
        a part of a bucket, without the file. Those past the records lie at their end."""
        if x == "step" or not len(self):
            return np.minimum(steps, len(self)).astype(np.float64)
        with self._lock:
            K, matrix = self._buckets.K, self._buckets.matrix
            stops = np.concatenate([[0.0], self._along(matrix[_row(x)], x)])
            ends = np.minimum(np.arange(len(stops)) * K, len(self))
        found: Matrix = np.interp(steps, ends, stops)
        first, last = np.searchsorted(stops, [begin, end])
        seen = np.flatnonzero((steps >= (first - 1) * K) & (steps <= (last + 1) * K))
        if len(seen) <= _FEW:
            found[seen] = [self.x_of(step, x) for step in steps[seen].tolist()]
        return found

    def step_of(self, x: Axis, value: float) -> int:
        """The record whose step is under way at `value`: the last one with x_of(step) <= value. 0 of none."""
        with self._lock:
            newest = max(len(self) - 1, 0)
            if x == "step":
                return int(min(max(value, 0), newest))
            K, row = self._buckets.K, self._along(self._buckets.matrix[_row(x)], x)
            bucket = int(np.searchsorted(row, value, "right"))
            if K == 1 or bucket >= len(row):
                return min(bucket * K, newest)
            records = self._read(bucket * K, (bucket + 1) * K)
        inside = self._along(records[_FIELD[x]], x)
        return min(bucket * K + int(np.searchsorted(inside, value, "right")), newest)

    def _read(self, begin: int, end: int) -> Records:
        try:
            return self._reader.read(begin, end)
        except WorkbenchError:  # damaged or removed since it was taken in: the next poll tells of it
            return np.empty(0, self._reader.dtype)

    def _edges(self, buckets: Buckets, x: Axis) -> tuple[Matrix, Matrix]:
        """Where each bucket begins and where it ends."""
        if x == "step":
            starts = buckets.first + np.arange(len(buckets), dtype=np.float64) * buckets.K
            return starts, starts + buckets.K
        stops = buckets.matrix[_row(x)]
        before = self._before(buckets.first)
        starts = np.concatenate([[before[_row(x)] if before is not None else 0.0], stops[:-1]])
        return self._along(starts, x), self._along(stops, x)

    def _along(self, values: npt.ArrayLike, x: Axis) -> Matrix:
        """Tokens as FLOPs, where x is those; else as they are."""
        if x != "flops":
            return np.asarray(values)
        return self.spent.of(values) if self.spent else np.zeros(np.shape(values))

    def _before(self, first: int) -> Matrix | None:
        """The bucket that ends where record `first`, which begins one, does begin."""
        return self._buckets.matrix[:, first // self._buckets.K - 1] if first else None

    def _source(self, x: Axis, begin: float, end: float, n: int) -> tuple[Buckets, int]:
        """The buckets to draw a range from, and the records that a column takes as one."""
        main = self._buckets
        starts, stops = self._edges(main, x)
        i, j = int(np.searchsorted(stops, begin, "right")), int(np.searchsorted(starts, end, "left"))
        there = (j - i) * main.K
        steps = int(end - begin) if x == "step" else there
        grain = 1 << max((steps // (8 * n)).bit_length() - 1, 0) if steps > _MOST else 1
        most = _EXACT if j - i > n else _COARSE
        if grain >= main.K or not 0 < there <= most + main.K:
            return main, max(grain, main.K)
        first, last = i * main.K, min(j * main.K, main.records)
        key = (first, grain, main.K)
        if self._detail is None or self._detail[0] != key or last - first > self._detail[1].most * grain:
            self._detail = key, self._begun(first, grain, 2 * (there + main.K))
        detail = self._detail[1]
        with suppress(WorkbenchError), self._reader.open() as window:  # as in _read
            while (begun := first + detail.records) < last:
                records = window.read(begun, min(begun + PIECE - detail.records % PIECE, last))
                if not len(records):
                    break  # cut: the next poll will see it
                detail.add(records)
        return detail, grain

    def _begun(self, first: int, grain: int, room: int) -> Buckets:
        """Empty buckets of `grain` records for what follows record `first`, which begins one of the main buckets."""
        most = -(-room // (2 * grain)) * 2
        before = self._before(first)
        if before is None:
            return Buckets(most, K=grain)
        averages = Averages(int(before[decimation.FINITE]), before[decimation.AVERAGE : decimation.TOKENS])
        return Buckets(most, K=grain, first=first, tokens_before=float(before[decimation.TOKENS]), averages=averages)


def _fitting(records: int) -> Buckets:
    """Buckets as those that so many records would have made of single ones."""
    K = 1
    while records > _MOST * K:
        K *= 2
    return Buckets(_MOST, K=K)


_FIELD = {"tokens": "tokens", "flops": "tokens", "time": "time"}


def _broken(records: Records) -> npt.NDArray[np.bool_]:
    return np.asarray(~np.isfinite(records["loss"]))


def _spike(records: Records) -> npt.NDArray[np.bool_]:
    return np.asarray(records["flags"] & SPIKE != 0)


def _row(x: Axis) -> int:
    return decimation.TIME if x == "time" else decimation.TOKENS


def _fields(records: Records) -> dict[str, Any] | None:
    """The last record's fields as plain numbers."""
    if not len(records):
        return None
    names = records.dtype.names or ()
    return dict(zip(names, records[-1].item(), strict=True))
