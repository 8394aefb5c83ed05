"""tokens a step = B·T·accum·world, solved for whichever is left open; never rounded in silence.

With the windows layout a row has one target, so T does not count: targets a step = B·accum·world.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

from workbench.plan import arithmetic
from workbench.preset import Preset

QUANTITIES = ("tokens", "B", "T", "accum", "world")
LARGEST = 2**20
"""Of B, T and accum, as the preset bounds them."""
USUAL_ACCUM = 64
"""Above this accumulation is called slow."""


@dataclass(frozen=True)
class Plan:
    """One true product. `tokens` are targets a step on all ranks: examples, where the layout is windows."""

    B: int
    T: int
    accum: int
    world: int = 1
    layout: str = "stream"

    @property
    def tokens(self) -> int:
        return arithmetic.tokens_per_step(B=self.B, T=self.T, accum=self.accum, world=self.world, layout=self.layout)

    @property
    def rows(self) -> int:
        """Rows a step, on all ranks."""
        return self.B * self.accum * self.world

    def numbers(self) -> dict[str, int]:
        """All of QUANTITIES, by name."""
        return {"tokens": self.tokens, "B": self.B, "T": self.T, "accum": self.accum, "world": self.world}

    def factors(self) -> dict[str, int]:
        """What is multiplied, by name: T is not among them for windows."""
        return {name: getattr(self, name) for name in _factors(self.layout)}

    def product(self) -> str:
        """ "32,768 = B 16 · T 256 · accum 8 · world 1"."""
        return f"{self.tokens:,} = {_spelt(self.factors())}"

    @classmethod
    def of(cls, preset: Preset, *, world: int = 1) -> "Plan":
        """The product that a preset's settings make."""
        b = preset.batch
        return cls(b.B, b.T, b.accum, world, preset.data.layout)


class Neighbour(NamedTuple):
    """A whole value of the open quantity, and the tokens a step that it really gives."""

    value: int
    tokens: int


class Mend(NamedTuple):
    """Another value of a given quantity with which the open one is whole, and what it then is."""

    name: str
    value: int
    open: int


class NotWhole(ValueError):
    """The open quantity would not be a whole number. Its message tells everything that its fields hold.

    `quotient` is exact. `below` and `above` are the possible values next to it (`below` is None where the
    quotient is under 1). `mends` change one of the given quantities instead, and keep the tokens.
    """

    def __init__(self, open: str, tokens: int, given: Mapping[str, int], *, noun: str = "tokens") -> None:
        super().__init__()
        self.open, self.tokens, self.given, self._noun = open, tokens, dict(given), noun
        each = math.prod(given.values())
        self.quotient = Fraction(tokens, each)
        low = math.floor(self.quotient)
        self.below = Neighbour(low, low * each) if low else None
        self.above = Neighbour(low + 1, (low + 1) * each)

    @cached_property
    def mends(self) -> list[Mend]:
        """Searched for when asked for: with a large B that takes milliseconds."""
        return list(_mends(self.tokens, self.given))

    def __str__(self) -> str:
        nearest = [n for n in (self.below, self.above) if n]
        lines = [
            f"{self.open} = {self.tokens:,} / ({_spelt(self.given)}) = {mixed(self.quotient)}: not whole",
            "; ".join(f"{self.open} = {n.value:,} gives {n.tokens:,} {self._noun} a step" for n in nearest),
        ]
        if self.mends:
            lines.append(
                "; ".join(f"{m.name} = {m.value:,} gives {self.open} = {m.open:,} exactly" for m in self.mends)
            )
        return "\n  ".join(lines)


def solve(given: Mapping[str, int], *, layout: str = "stream") -> Plan:
    """The plan in which `given` holds: all of QUANTITIES but the one that is left open, each at least 1.

    T is always given for windows, where it multiplies nothing. Raises NotWhole where the open quantity would not be a
    whole number, and ValueError for anything but exactly one open quantity.
    """
    names = _factors(layout)
    left = [name for name in ("tokens", *names) if name not in given]
    if len(left) != 1 or "T" not in (*given, *names):
        raise ValueError(f"given {', '.join(given)}: expected all of {', '.join(QUANTITIES)} but one")
    for name, value in given.items():
        if value < 1:
            raise ValueError(f"{name} = {value}: expected a whole number of at least 1")
    values = dict(given)
    (open,) = left
    if open != "tokens":
        others = {name: given[name] for name in names if name != open}
        values[open], rest = divmod(given["tokens"], math.prod(others.values()))
        if rest or not values[open]:
            noun = "examples" if layout == "windows" else "tokens"
            raise NotWhole(open, given["tokens"], others, noun=noun)
    return Plan(values["B"], values["T"], values["accum"], values["world"], layout)


def verdict(accum: int, updates_per_hour: float | None = None) -> str:
    """What to think of so much accumulation: none needed, usual or slow, in one sentence."""
    if accum == 1:
        return "accum 1: none needed, one micro-batch is the whole step"
    if accum <= USUAL_ACCUM:
        return f"accum {accum}: usual (2 to {USUAL_ACCUM})"
    hourly = "" if updates_per_hour is None else f", {arithmetic.rounded(updates_per_hour)} updates an hour"
    return f"accum {accum:,}: slow, each update waits for {accum:,} micro-batches{hourly}"


# ------------------------------------------------------------------------------------ locked and free


class Moved(NamedTuple):
    """A change that could be made: the plan after it, which quantity gave way ("" if none had to), and how."""

    plan: Plan
    moved: str
    sentence: str


class Locked(ValueError):
    """A change that nothing free can take. Its message says why, quantity by quantity."""


def change(plan: Plan, name: str, value: int, *, locked: Iterable[str] = ()) -> Moved:
    """`plan` with one of QUANTITIES set to `value`, its product kept true by moving another that is free.

    What gives way is accum if it can, else tokens, else B; T and world are never moved for another's sake.
    Raises Locked where `name` is locked or out of bounds, or nothing free can take it.
    """
    locked = frozenset(locked)
    if name in locked:
        raise Locked(f"{name} is locked: free it first")
    if value < 1 or (name in ("B", "T", "accum") and value > LARGEST):
        bound = "" if name in ("tokens", "world") else f" to {LARGEST:,}"
        raise Locked(f"{name} = {value:,}: expected a whole number from 1{bound}")
    now = plan.numbers()
    if name == "T" and "T" not in plan.factors():
        return Moved(replace(plan, T=value), "", "")
    if value == now[name]:
        return Moved(plan, "", "")
    reasons = []
    for other in ("accum", "tokens", "B"):
        if other == name:
            continue
        if other in locked:
            reasons.append(f"{other} is locked")
            continue
        given = {**now, name: value}
        del given[other]
        try:
            after = solve(given, layout=plan.layout)
        except NotWhole as error:
            reasons.append(f"{other} would be {mixed(error.quotient)}")
            continue
        found = after.tokens if other == "tokens" else getattr(after, other)
        if other != "tokens" and found > LARGEST:
            reasons.append(f"{other} would be {found:,}, over {LARGEST:,}")
            continue
        because = f" ({'; '.join(reasons)})" if reasons else ""
        return Moved(after, other, f"{other} {now[other]:,} → {found:,}{because}")
    raise Locked(f"{name} = {value:,} cannot be: {'; '.join(reasons)}")


# ------------------------------------------------------------------------------------ words


def mixed(value: Fraction) -> str:
    """An exact fraction as one reads it: 8, 5 1/3 (5.333), 3/4 (0.75)."""
    whole, rest = divmod(value.numerator, value.denominator)
    if not rest:
        return f"{whole:,}"
    parts = [f"{whole:,}"] if whole else []
    decimal = f"{float(value):,.4g}" if whole < 1000 else f"{float(value):,.3f}"  # never as if it were whole
    return f"{' '.join([*parts, f'{rest:,}/{value.denominator:,}'])} ({decimal})"


def _factors(layout: str) -> tuple[str, ...]:
    return ("B", "accum", "world") if layout == "windows" else ("B", "T", "accum", "world")


def _spelt(factors: Mapping[str, int]) -> str:
    return " · ".join(f"{name} {value:,}" for name, value in factors.items())


def _mends(tokens: int, given: Mapping[str, int]) -> Iterable[Mend]:
    """The values nearest to each given one, below and above and at most eightfold, that divide what is left."""
    for name, value in given.items():
        if name == "world":
            continue  # how many devices there are is no matter of choice
        others = math.prod(v for other, v in given.items() if other != name)
        share, rest = divmod(tokens, others)
        if rest:
            continue
        below = (v for v in range(min(value - 1, share), max(1, value // 8) - 1, -1) if not share % v)
        above = (v for v in range(value + 1, min(8 * value, share, LARGEST) + 1) if not share % v)
        for found in (next(below, None), next(above, None)):
            if found:
                yield Mend(name, found, share // found)
