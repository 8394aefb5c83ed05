"""Which size to run next, so that few runs find the largest that fits, and a ladder of sizes is timed on the way.

Pure arithmetic: nothing is run here, and no size is called fitting that was not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isqrt

_GUIDED = 5
"""Sizes above the ladder that the line may choose; what still is not settled then is halved."""
_EXACT_TO = 256
"""Up to this B the very next size is run; above it, one that is larger by one part in so many."""


@dataclass(frozen=True)
class Tried:
    """One size that was run."""

    B: int
    fits: bool
    memory_bytes: int | None = None
    close: bool = False
    """It ran, but so near to the limit that it might not the next time: it neither fits nor does not."""


@dataclass(frozen=True)
class Line:
    """peak = intercept + per_B · B, in bytes."""

    intercept: float
    per_B: float

    def at(self, B: int) -> float:
        return self.intercept + self.per_B * B


def line(tried: Sequence[Tried]) -> Line | None:
    """Through the two largest sizes that ran; None where they are too few, or the larger held no more.

    Small sizes say little: with few rows it is the evaluation, whose batches have a fixed size, that holds most.
    """
    fitted = sorted({t.B: t.memory_bytes for t in tried if t.memory_bytes is not None}.items())
    if len(fitted) < 2:
        return None
    (B_1, bytes_1), (B_2, bytes_2) = fitted[-2:]
    if bytes_2 <= bytes_1:
        return None
    per_B = (bytes_2 - bytes_1) / (B_2 - B_1)
    return Line(bytes_1 - per_B * B_1, per_B)


def low(tried: Sequence[Tried]) -> int:
    """The largest size that fitted; 0 if none did."""
    return max((t.B for t in tried if t.fits), default=0)


def high(tried: Sequence[Tried]) -> int | None:
    """The smallest size over `low` that did not fit; None if none was too large."""
    return _least_over(low(tried), [t.B for t in tried if not t.fits and not t.close])


def _least_over(floor: int, sizes: Sequence[int]) -> int | None:
    return min((B for B in sizes if floor < B), default=None)


def next_size(tried: Sequence[Tried], *, ladder: Sequence[int], cap: int, limit: int) -> int | None:
    """The size to run next; None when the largest of all sizes from the ladder's first to `cap` is known.

    The ladder is climbed as far as the line says that it fits; then the line says where the largest is, and its
    neighbour is run; where the line errs, halving ends it. Up to B = 256 the answer is exact; above, the size that
    did not fit is at most one part in 256 larger.
    """
    fitted, by_line = low(tried), line(tried)
    failed = _least_over(fitted, [t.B for t in tried if not t.fits])
    done = {t.B for t in tried}
    top = cap + 1 if failed is None else failed
    for rung in ladder:
        if rung not in done and fitted < rung < top:
            if by_line is None or by_line.at(rung) <= limit:
                return rung
            break
    step = max(1, fitted // _EXACT_TO)
    if top - fitted <= (step if failed is not None else 1) or top <= ladder[0]:
        return _beyond_close(tried, cap)
    first, last = fitted + step, top - (step if failed is not None else 1)
    if first > last:
        return first if first < top else _beyond_close(tried, cap)
    beyond = len(done - set(ladder))
    halfway = min(max(ladder[0], (fitted + top) // 2), last)
    if by_line is None or beyond >= _GUIDED:
        return halfway
    best = int((limit - by_line.intercept) // by_line.per_B)
    broken = sum(not t.fits and best >= t.B for t in tried)  # promises that the line did not keep
    if broken > 2:
        return halfway
    if broken:
        best = top - step * (1, 8)[broken - 1]
    return min(max(best, first), last)


def _beyond_close(tried: Sequence[Tried], cap: int) -> int | None:
    """The size after those too close to the limit, until one is found that does not fit; None if there is one."""
    close, failed = max((t.B for t in tried if t.close), default=0), high(tried)
    after = close + max(1, close // _EXACT_TO)
    if close <= low(tried) or close >= cap or (failed is not None and failed <= after):
        return None
    return min(after, cap)


def ladder(rows: int, cap: int, least: int = 1) -> list[int]:
    """Sizes to time: about powers of two, those that divide `rows` (a step's) where there are such; `cap` is the last.

    From 256 on powers of four: more would take long and show little.
    """
    divisors = [d for d in _divisors(rows) if d >= least]
    rungs = {least, cap}
    power = 1
    while power < cap:
        near = [d for d in divisors if power / 2**0.5 < d <= power * 2**0.5]
        rungs.add(min(near, key=lambda d: abs(d - power)) if near else power)
        power *= 2 if power < 256 else 4
    rungs.add(rows)
    found = sorted(rung for rung in rungs if least <= rung <= cap)
    # A rung close under the next one shows nothing: the total and the cap stay.
    return [a for a, b in pairwise(found) if b > 1.3 * a or a in (least, rows)] + found[-1:]


def _divisors(n: int) -> list[int]:
    small = [d for d in range(1, isqrt(n) + 1) if n % d == 0]
    return sorted({*small, *(n // d for d in small)})


def accum_for(rows: int, B: int) -> int:
    """The whole number of micro-batches that comes nearest to `rows` a step; 1 at least."""
    return max(1, (2 * rows + B) // (2 * B))
