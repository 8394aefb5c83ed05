"""What lr becomes when a step reads more or fewer tokens: by each rule, and which of them holds. Never by itself."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.plan import scaling
from workbench.plan.arithmetic import tokens_per_step_of
from workbench.plan.scaling import RULES, Rule
from workbench.preset import Preset
from workbench.screen.bench.edits import number
from workbench.screen.frame.lined import Run
from workbench.screen.frame.paragraph import told
from workbench.screen.glyphs import fit

if TYPE_CHECKING:
    from workbench.screen.bench.bench import Bench

NAMES: dict[Rule, str] = {"none": "none", "linear": "linear", "sqrt": "square root"}
BESIDE = 100
"""Columns from which the rules stand on one line."""


@dataclass(frozen=True)
class Scaled:
    """A step reads `factor` times the tokens for which `basis` has its lr."""

    basis: Preset
    then: Preset
    factor: float

    @property
    def default(self) -> Rule:
        return scaling.default_rule(self.then.optimizer.kind)

    def lr(self, rule: Rule) -> float:
        return scaling.scaled_lr(self.basis.optimizer.lr, self.factor, rule)

    @property
    def holds(self) -> Rule | None:
        """The rule by which the proposed lr is what it is; None where it is someone's own."""
        return next((rule for rule in RULES if self.lr(rule) == self.then.optimizer.lr), None)

    @property
    def following(self) -> Rule:
        """The rule that the key turns to: the next one, or the optimizer's own where lr was by none of them."""
        holds = self.holds
        return self.default if holds is None else RULES[(RULES.index(holds) + 1) % len(RULES)]

    def changes(self, rule: Rule) -> dict[str, Any]:
        """lr by a rule; min_lr goes with it where the schedule ends there."""
        found: dict[str, Any] = {"optimizer.lr": self.lr(rule)}
        if self.then.schedule.kind in ("cosine", "wsd"):
            found["schedule.min_lr"] = scaling.scaled_lr(self.basis.schedule.min_lr, self.factor, rule)
        return found


def scaled(bench: "Bench") -> Scaled | None:
    """What there is to choose, where B·T·accum is proposed otherwise than it was when lr was chosen; else None."""
    basis, then = bench.basis, bench.proposed
    factor = tokens_per_step_of(then) / tokens_per_step_of(basis)
    same = basis.optimizer.kind == then.optimizer.kind
    return Scaled(basis, then, factor) if factor != 1 and same else None


def lines(it: Scaled, width: int) -> list[list[Run]]:
    """lr by each rule, the one that holds marked, and the optimizer's own."""
    about, key = f"lr at {_times(it.factor)} the tokens, ", " turns"
    title: list[Run] = [(about, "dim"), ("S", "key"), (key, "dim")]
    if len(about) + 1 + len(key) > width:
        title = [(fit(about.rstrip(", "), min(len(about) - 2, width)), "dim")]
    rules: list[list[Run]] = [
        _rule(NAMES[rule], it.lr(rule), holds=rule == it.holds, default=rule == it.default) for rule in RULES
    ]
    if it.holds is None:
        rules.insert(0, _rule("your own", it.then.optimizer.lr, holds=True, default=False))
    if width < BESIDE:
        return [title, *rules]
    line: list[Run] = []
    for rule in rules:
        line += [*rule, ("   ", "")]
    return [title, line]


def why(it: Scaled, width: int) -> list[list[Run]]:
    """Why the default is the default here."""
    return told(f"default: {scaling.why(it.then.optimizer.kind)}", width, "dim")


def _rule(name: str, lr: float, *, holds: bool, default: bool) -> list[Run]:
    mark: list[Run] = [(" default", "good")] if default else []
    value = f"{lr:.3g}" if 0.01 <= lr < 1000 else number(float(f"{lr:.2e}"))
    return [("▸" if holds else " ", "mark"), (f"{name:<12}", "value" if holds else "dim"),
            (f"{value:>7}", "staged" if holds else ""), *mark]  # fmt: skip


def _times(factor: float) -> str:
    """4 times, 1/4 of: as a person says it."""
    if factor >= 1:
        return f"{factor:,.0f} times" if factor >= 1000 else f"{factor:.4g} times"
    inverse = 1 / factor
    return f"1/{inverse:,.0f} of" if abs(inverse - round(inverse)) < 1e-9 else f"{factor:.3g} of"
