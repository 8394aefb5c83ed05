"""From nothing to B, T, accum and world in five steps, in the order in which each depends on those before."""

from dataclasses import dataclass

from workbench.plan import totals
from workbench.plan.planner import Plan, verdict


@dataclass(frozen=True)
class Measured:
    """What `workbench fit` found for a T: the largest B that ran, and the one with the most tokens/s."""

    largest: int
    fastest: int


@dataclass(frozen=True)
class Step:
    """One step: what it decides, how in a sentence, and the figure. `holds` is None where nothing is measured yet."""

    title: str
    sentence: str
    figure: str
    holds: bool | None = True


def derivation(
    plan: Plan,
    *,
    fit: str = "workbench fit PRESET",
    measured: Measured | None = None,
    updates_per_hour: float | None = None,
) -> list[Step]:
    """The five steps that lead to `plan`: T, the total, B, accum, and the product multiplied out again.

    `fit` is the command that measures B; `measured` what it found for this T.
    """
    windows = plan.layout == "windows"
    noun = "examples" if windows else "tokens"
    known = totals.nearest(plan.tokens)
    divided = [f"{name} {value:,}" for name, value in plan.factors().items() if name != "accum"]
    return [
        Step(
            "T, by the task",
            "how far back a prediction looks; before B, because what fits depends on it"
            + ("; it multiplies nothing here: a row has one target" if windows else ""),
            f"T = {plan.T:,}",
        ),
        Step(
            "total, from the literature",
            f"{noun} a step; the nearest known: {known.model}, {known.how} ({known.source})",
            f"{plan.tokens:,} {noun}",
        ),
        _measure(plan, fit, measured),
        Step(
            "accum, computed",
            verdict(plan.accum, updates_per_hour),
            f"{plan.tokens:,} / ({' · '.join(divided)}) = {plan.accum:,}",
        ),
        Step("verify", "multiplied out again, to the last token", plan.product()),
    ]


def _measure(plan: Plan, fit: str, measured: Measured | None) -> Step:
    title, figure = "B, measured for that T", f"B = {plan.B:,}"
    if measured is None:
        return Step(title, f"the largest that fits and the fastest are not measured yet: `{fit}`", figure, None)
    found = f"largest that fits {measured.largest:,}, fastest {measured.fastest:,}"
    if measured.largest < plan.B:
        return Step(title, f"{found}: B = {plan.B:,} was not seen to fit", figure, False)
    return Step(title, found, figure)
