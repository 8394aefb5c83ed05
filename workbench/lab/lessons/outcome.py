"""What came out beside what was expected: an expectation held against the figures, a guess against its answer."""

import contextlib
from dataclasses import dataclass

from workbench.data.visible import visible
from workbench.lab.lessons.expressions import Missing
from workbench.lab.lessons.figures import LACKING, Figures, shown
from workbench.lab.lessons.lesson import Ask, Expect


@dataclass(frozen=True)
class Outcome:
    """One expectation and what was measured for it."""

    what: str
    figure: str
    measured: float | str | None
    theory: float | str | None
    bound: str
    """What it was held to, in words: "within 0.05", "at least 3"."""
    ok: bool
    why: str = ""
    """Why there is no figure, where there is none."""

    @property
    def measured_text(self) -> str:
        return _text(self.measured)

    @property
    def theory_text(self) -> str:
        return _text(self.theory)

    @property
    def sentence(self) -> str:
        """Measured, theory and bound on one line."""
        theory = "" if self.theory is None else f"theory {self.theory_text}; "
        why = f": {self.why}" if self.why else ""
        return f"{self.what}: {self.measured_text} ({theory}{self.bound}){why}"


@dataclass(frozen=True)
class Answer:
    """The answer to what was asked first. `value` is None for a choice, and where it is not measured yet."""

    ask: Ask
    text: str
    value: float | None

    def right(self, guess: str) -> bool | None:
        """Whether a guess is the choice, or close enough to the number; None where nobody can say."""
        if self.ask.choices:
            return guess == self.text
        try:
            guessed = float(guess.replace(",", ""))
        except ValueError:
            return None
        return None if self.value is None else abs(guessed - self.value) <= self.ask.within * abs(self.value)


def outcome(expect: Expect, figures: Figures) -> Outcome:
    """Hold one expectation against the figures. A figure that is missing fails it, and says why."""
    if expect.bound == "equals":
        return _equal(expect, figures)
    measured, theory, limit, why = None, None, None, ""
    with contextlib.suppress(Missing):
        theory = figures.value(expect.theory) if expect.theory else None
    try:
        limit = figures.value(expect.limit)
        measured = figures.value(expect.figure)
        if expect.theory:
            theory = figures.value(expect.theory)
    except Missing as missing:
        why = str(missing)
    ok = False
    if not why and measured is not None and limit is not None:
        ok = _holds(expect.bound, measured, limit, 0.0 if theory is None else theory)
    written = expect.limit if limit is None else shown(limit)
    words = {"ratio_within": f"ratio within {written}"}.get(expect.bound, f"{expect.bound.replace('_', ' ')} {written}")
    return Outcome(expect.what, expect.figure, measured, theory, words, ok, why)


def answer(ask: Ask, figures: Figures) -> Answer:
    """The answer as far as it is known."""
    if ask.choices:
        return Answer(ask, ask.answer, None)
    try:
        value = figures.value(ask.answer)
    except Missing:
        return Answer(ask, LACKING, None)
    return Answer(ask, f"{shown(value)} {ask.unit}".strip(), value)


def _holds(bound: str, measured: float, limit: float, theory: float) -> bool:
    if bound == "within":
        return abs(measured - theory) <= limit
    if bound == "ratio_within":
        return measured * theory > 0 and 1 / limit <= measured / theory <= limit
    return measured >= limit if bound == "at_least" else measured <= limit


def _equal(expect: Expect, figures: Figures) -> Outcome:
    try:
        measured = figures.text(expect.figure)
    except Missing as missing:
        return Outcome(expect.what, expect.figure, None, expect.limit, "equal", False, str(missing))
    return Outcome(expect.what, expect.figure, measured, expect.limit, "equal", measured == expect.limit)


def _text(value: float | str | None) -> str:
    if value is None:
        return LACKING
    return visible(repr(value), keep="") if isinstance(value, str) else shown(value)
