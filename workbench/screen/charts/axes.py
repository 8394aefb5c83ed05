"""Axes: which range a chart shows, where its ticks are, and how a number is said in six cells."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from workbench.screen.charts.curves import Columns
from workbench.screen.charts.decimation import Matrix

Range = tuple[float, float]
Scale = Literal["number", "time"]

_LARGEST = 1e300  # beyond it a range's width could overflow
_FAR = 1e6  # rows of dots: outside of any chart
_BODY = 98  # per cent of the columns that a range must hold
_OUTLIER = 1.5  # body heights above the body: what is higher is cut and marked
_HEADROOM = 0.25  # body heights left above the body where something was cut: it has to stand out
_SHRINK = 0.6  # of the height: a range that needs less is chosen anew
_EQUAL = 1e-6  # relative: values no further apart are drawn as a flat line, not as their rounding
_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
_DAY = 86400
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Axes:
    """x over [begin, end), y from low to high, all finite; with `log`, low > 0."""

    begin: float
    end: float
    low: float
    high: float
    log: bool = False

    def columns(self, x: Matrix, count: int) -> Matrix:
        """x as columns of dots, of `count` in all; the end, where the last eval is, belongs to the last one."""
        if not self.end > self.begin:
            return np.zeros_like(x)
        return np.where(x == self.end, count - 0.5, (x - self.begin) * (count / (self.end - self.begin)))

    def rows(self, y: Matrix, levels: int) -> Matrix:
        """y as rows of dots from the top, of `levels` in all, NaN where it has none."""
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        with np.errstate(all="ignore"):
            given = np.log10(np.where(y > 0, y, np.nan)) if self.log else np.clip(y, -_LARGEST, _LARGEST)
            # Values that differ by rounding alone share a row, hence the last term.
            rows = (high - given) / (high - low) * (levels - 1) + 0.5 + 1e-6
        return np.clip(rows, -_FAR, _FAR)


def y_range(columns: Iterable[Columns], *, log: bool = False, previous: Range | None = None) -> Range:
    """A range for the body of these columns: a few far above it are left outside, for the chart to mark.

    `previous` is kept while it still fits, so that the axis does not tremble as data come in.
    """
    columns = tuple(columns)
    lows = np.concatenate([np.empty(0), *(c.low for c in columns)])
    highs = np.concatenate([np.empty(0), *(c.high for c in columns)])
    with np.errstate(invalid="ignore"):
        usable = (lows > 0) if log else ~np.isnan(lows)
    lows, highs = (np.clip(v[usable], -_LARGEST, _LARGEST) for v in (lows, highs))
    if not len(lows):
        return previous or ((0.1, 1.0) if log else (0.0, 1.0))
    if log:
        lows, highs = np.log10(lows), np.log10(highs)
    low, high, body = float(lows.min()), float(highs.max()), float(np.percentile(highs, _BODY))
    if low < body and high > body + _OUTLIER * (body - low):
        high = body + _HEADROOM * (body - low)
    if previous is not None and (not log or previous[0] > 0):
        old = (math.log10(previous[0]), math.log10(previous[1])) if log else previous
        if old[0] <= low and high <= old[1] and high - low >= _SHRINK * (old[1] - old[0]):
            return previous
    margin = 0.04 * (high - low)
    if high - low <= _EQUAL * max(abs(low), abs(high)):
        margin = 0.1 if log else abs(low) * 0.05 or 0.5
    bottom, top = low - margin, high + margin
    if log:
        return 10.0 ** max(bottom, -300), 10.0 ** min(top, 300)
    return (max(bottom, 0.0) if low >= 0 else bottom), top


def ticks(low: float, high: float, count: int, *, log: bool = False, scale: Scale = "number") -> list[float]:
    """At most about `count` round values in [low, high], at 1, 2 or 5 times a power of ten; times at round times."""
    if not (math.isfinite(low) and math.isfinite(high) and high - low > 1 / _LARGEST):
        return [low] if math.isfinite(low) else []
    if log and high / low > 5:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for digits in ((1, 2, 5), (1,)):
            found = [d * 10.0**e for e in decades for d in digits if low <= d * 10.0**e <= high]
            if len(found) <= count:
                return found
        return found[:: -(-len(found) // max(count, 1))]
    least = (high - low) / max(count, 1)
    if scale == "time" and least > _DAY:
        return [_DAY * day for day in ticks(low / _DAY, high / _DAY, count)]
    if scale == "time" and least >= 1:
        step = float(next(s for s in _SECONDS if s >= least))
    else:
        power = 10.0 ** math.floor(math.log10(least))
        step = next((d * power for d in (1, 2, 5) if d * power >= least * (1 - 1e-9)), 10 * power)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def labels(values: Sequence[float], *, scale: Scale = "number") -> list[str]:
    """Ticks as they are written, with as many digits as it takes to tell them apart."""
    gaps = [b - a for a, b in itertools.pairwise(values)]
    step = min(gaps, default=0.0)
    if not step > 0:
        return [duration(v) if scale == "time" else number(v) for v in values]
    power = math.floor(math.log10(step) + 1e-9)
    if scale == "time":
        return [duration(v, max(0, -power)) for v in values]
    largest = max(abs(v) for v in values)
    even = max(gaps) < 1.001 * step
    if even and 0.01 <= largest < 1000 and power >= -4:
        return [f"{v:.{max(0, -power)}f}" if abs(v) > step / 2 else "0" for v in values]
    digits = math.floor(math.log10(largest)) - power + 1 if even else 1
    if digits > 3 and 1000 <= largest < 1e9:
        return [f"{v:,.0f}" for v in values]
    return [number(v if abs(v) > step / 2 or not even else 0, max(digits, 2)) for v in values]


def number(value: float, digits: int = 3) -> str:
    """So many digits, and no zeros after them: 1.83, 1.24k, 2.5M, 3e-4; what is not finite by its name."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    size = float(f"{abs(value):.{digits - 1}e}")
    if size == 0:
        return "0"
    if not 0.01 <= size < 1e15:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"
    unit, name = next(((u, n) for u, n in _UNITS if size >= u), (1.0, ""))
    told = f"{value / unit:.{max(digits - 1 - math.floor(math.log10(size / unit)), 0)}f}"
    return (told.rstrip("0").rstrip(".") if "." in told else told) + name


def short(value: float, width: int) -> str:
    """A number with as many digits as fit into `width` cells, at least one."""
    return next((told for digits in (4, 3, 2) if len(told := number(value, digits)) <= width), number(value, 1))


def duration(seconds: float, decimals: int = 0) -> str:
    """0:45, 1:05, 2:03:09; 0:00.25 with two decimals."""
    if not math.isfinite(seconds):
        return number(seconds)
    left = round(abs(seconds), decimals)
    minutes, rest = divmod(left, 60)
    hours, minutes = divmod(int(minutes), 60)
    sign = "-" if seconds < 0 < left else ""
    told = f"{rest:0{3 + decimals if decimals else 2}.{decimals}f}"
    return f"{sign}{hours}:{minutes:02}:{told}" if hours else f"{sign}{minutes}:{told}"


def follow_range(step: float, steps: float) -> Range:
    """The x-range of a run at `step` of `steps` (0: unknown): 64, 128, 256 … and at last the whole run.

    It only grows by doubling, so that most redraws change the last columns alone. Tokens and seconds will do too.
    """
    end = 64.0
    while end <= step:
        end *= 2
    return 0.0, (min(end, float(steps)) if steps >= step else end)


def zoom(shown: Range, factor: float, centre: float, limit: float, *, least: float = 8) -> Range:
    """The range made `factor` times as wide around `centre`, at least `least` wide, within [0, limit]."""
    width = shown[1] - shown[0]
    wanted = min(max(width * factor, least), max(limit, least))
    share = (centre - shown[0]) / width if width > 0 else 0.5
    return _within(centre - wanted * share, wanted, limit)


def pan(shown: Range, share: float, limit: float) -> Range:
    """The range moved by `share` of its width (negative: to the left), within [0, limit]."""
    width = shown[1] - shown[0]
    return _within(shown[0] + width * share, width, limit)


def _within(begin: float, width: float, limit: float) -> Range:
    begin = max(min(begin, limit - width), 0.0)
    return begin, begin + width
