"""Which rows a step reads: row g of a run is a pure function of (seed, T, order, stride, base, g).

Rows are numbered through the whole run. A step takes the next B·accum·world of them, and its micro-steps and
ranks take consecutive slices, so 64×1, 8×8 and two ranks of 32×1 train on the same rows. The base is the row,
the token and the epoch at which this T and order began: an edit of T or of the order records a new one, an edit
of B or accum changes none. Whoever has the base can compute any row, past or to come, without asking the worker.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import numpy.typing as npt

from workbench.data.counter import draw, key_of, permute
from workbench.errors import UsageError

if TYPE_CHECKING:
    from workbench.preset import Preset

Order = Literal["random", "sequential", "shuffled"]
Int64Array = npt.NDArray[np.int64]

_RANDOM, _SHUFFLE = 1, 2  # purposes, so that no two uses of a seed share their draws

MOST = 2**62
"""The last row there is."""


@dataclass(frozen=True)
class Base:
    """The row, token and epoch at which the present T and order began."""

    row: int = 0
    token: int = 0
    epoch: int = 0

    def to_json(self) -> dict[str, int]:
        return {"row": self.row, "token": self.token, "epoch": self.epoch}


@dataclass(frozen=True)
class Rows:
    """The row function of one run between two edits of T or of the order.

    `tokens` is the length of the training split. With `windows` every token is a target and a row is one of
    them; otherwise a row is T+1 tokens, the last of which is only a target.
    """

    tokens: int
    T: int
    seed: int
    order: Order = "random"
    stride: int = 0
    windows: bool = False
    base: Base = Base()

    def __post_init__(self) -> None:
        if self.order not in get_args(Order):
            raise UsageError(f"data.order is {self.order!r}: expected one of {', '.join(get_args(Order))}")
        if self.starts < 1:
            has = f"the training split has {self.tokens:,} token{'' if self.tokens == 1 else 's'}"
            if self.windows or self.tokens < 2:
                raise UsageError(f"{has}, too few for any row; a longer text, or a smaller val_fraction, has more")
            raise UsageError(
                f"batch.T = {self.T} is too large: {has} and a row needs {self.T + 1:,} (T and one more, the last "
                f"target); choose T of at most {self.tokens - 1:,} or a longer text"
            )

    @classmethod
    def of(cls, preset: "Preset", *, tokens: int, base: Base | tuple[int, int, int] = Base()) -> "Rows":
        """The row function of these settings, on a training split of so many tokens. UsageError if T is too large."""
        return cls(
            tokens=tokens,
            T=preset.batch.T,
            seed=preset.seed,
            order=preset.data.order,
            stride=preset.data.stride,
            windows=preset.data.layout == "windows",
            base=base if isinstance(base, Base) else Base(*base),
        )

    @property
    def starts(self) -> int:
        """How many legal starts there are: n − T, so that the last token can be drawn as a target."""
        return self.tokens if self.windows else self.tokens - self.T

    @property
    def step(self) -> int:
        """Tokens between neighbouring blocks."""
        return self.stride or (1 if self.windows else self.T)

    @property
    def blocks(self) -> int:
        """Blocks in an epoch of `sequential` or `shuffled`; a tail shorter than a block is left out."""
        return (self.starts - 1) // self.step + 1

    def offsets(self, first: int, count: int) -> Int64Array:
        """The start, in tokens of the training split, of rows first … first+count−1."""
        return self._locate(_numbers(first, count))[0]

    def epochs(self, first: int, count: int) -> Int64Array:
        """The epoch of each of those rows; `random` has none and stays at its base's."""
        return self._locate(_numbers(first, count))[1]

    def edited(self, row: int, *, T: int, order: Order) -> "Rows":
        """The row function from row `row` on, after an edit of T or of the order (or of neither: itself)."""
        if (T, order) == (self.T, self.order):
            return self
        begun = row > self.base.row
        if not begun:
            token, epoch = self.base.token, self.base.epoch
        else:
            (last,), (epoch,) = (values.tolist() for values in self._locate(_numbers(row - 1, 1)))
            token = last + self.step
        if order != self.order or order != "sequential":
            token, epoch = 0, epoch + begun
        if self.windows and order == self.order and order != "sequential":
            return replace(self, T=T)  # a window's T is how much context it sees, not which target it has
        return replace(self, T=T, order=order, base=Base(row, token, epoch))

    def _locate(self, g: Int64Array) -> tuple[Int64Array, Int64Array]:
        k = g - self.base.row
        if self.order == "random":
            return draw(key_of(self.seed, _RANDOM), g) % self.starts, np.full_like(g, self.base.epoch)
        if self.order == "shuffled":
            epoch = self.base.epoch + k // self.blocks
            block = k % self.blocks
            for e in np.unique(epoch).tolist():
                here = epoch == e
                block[here] = permute(block[here], self.blocks, key_of(self.seed, _SHUFFLE, e))
            return block * self.step, epoch
        # sequential: what is left of the base's epoch from its token on, and then whole epochs from token 0
        left = max(0, (self.starts - 1 - self.base.token) // self.step + 1)
        turn, block = (k - left) // self.blocks, (k - left) % self.blocks
        in_first = k < left
        start = np.where(in_first, self.base.token + k * self.step, block * self.step)
        return start, np.where(in_first, self.base.epoch, self.base.epoch + 1 + turn)


def _numbers(first: int, count: int) -> Int64Array:
    """The rows' numbers. UsageError for what no run comes to, such as those of a damaged record."""
    if not 0 <= first <= MOST:
        raise UsageError(f"row {first:,}: expected a row from 0 to {MOST:,}")
    return np.arange(first, first + count, dtype=np.int64)
