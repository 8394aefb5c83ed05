"""When is a gap between two groups of seeds more than noise? By Student's t, with the pooled standard deviation."""

import math
import statistics
from collections.abc import Sequence

_T = {
    1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228,
    12: 2.179, 14: 2.145, 16: 2.120, 18: 2.101, 20: 2.086, 30: 2.042, 60: 2.000,
}  # fmt: skip
"""Two-sided 95% of Student's t by degrees of freedom; between two rows the one with fewer, which is wider."""

MEANING = (
    "spread: the gap that two groups with equal means exceed in one of 20 draws of seeds "
    "(Student's t, standard deviation pooled over the seeds of both)"
)


def student(degrees: int) -> float:
    """The factor for so many degrees of freedom, at least 1: 4.303 for two, 2.776 for four."""
    return _T[max(row for row in _T if row <= degrees)]


def spread(a: Sequence[float], b: Sequence[float]) -> float | None:
    """How large a gap between the means of two groups may be and still be noise; None with one seed in either.

    Each value is one seed's. What varies is the seed: initial weights and the order of the rows.
    """
    if min(len(a), len(b)) < 2:
        return None
    degrees = len(a) + len(b) - 2
    squares = sum((v - statistics.fmean(group)) ** 2 for group in (a, b) for v in group)
    return student(degrees) * math.sqrt(squares / degrees * (1 / len(a) + 1 / len(b)))
