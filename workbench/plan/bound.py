"""What bounds a step, out of what was measured: where its seconds go, and how they grow with B.

A step's seconds are a + b·B. The part a is paid whatever B is: Python and the launches of kernels, the update, which
is of all weights, and what a kernel needs to begin. Of the rest, so much is arithmetic as the model's floating-point
operations (flops.py) take at the rate of a matrix product of its own. What is left multiplies nothing: memory
traffic, norms, softmax, the loss, and products too small to reach that rate.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Bound(NamedTuple):
    """Seconds of a step, `whole`, and of its parts. `both` is what passed twice: while the device multiplied, the next
    kernels were launched. fixed + arithmetic + rest - both is the whole."""

    whole: float
    fixed: float
    arithmetic: float

    @property
    def rest(self) -> float:
        return max(0.0, self.whole - self.fixed - self.arithmetic)

    @property
    def both(self) -> float:
        return max(0.0, self.fixed + self.arithmetic - self.whole)

    @property
    def by(self) -> str:
        """The largest part: fixed, arithmetic or rest."""
        parts = {"fixed": self.fixed, "arithmetic": self.arithmetic, "rest": self.rest}
        return max(parts, key=lambda name: parts[name])


def fixed(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The a of the line a + b·B that is nearest to the seconds of some sizes; from 0 to those of the smallest.

    The sizes are small ones: there kernels gain least from B, so the line is straight. Two of them at least.
    """
    b, a = np.polyfit(np.array(sizes, dtype=np.float64), np.array(seconds, dtype=np.float64), 1)
    smallest = seconds[int(np.argmin(sizes))]
    return float(min(max(a, 0.0), smallest)) if b > 0 else smallest
