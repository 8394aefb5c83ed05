"""Where a run stands, and the ways out of its loop."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from workbench.data.rows import Base
from workbench.runs.commands import Command

_FAR = 1e150
"""Nats; the square of more is no number that a checkpoint could keep."""


class Leave(Exception):
    """The loop ends, in this state."""

    def __init__(
        self, state: str, exit_code: int, reason: str = "", *, command: Command | None = None,
        fields: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """`fields` are more of the `end` event: an offer, a culprit."""
        super().__init__(reason)
        self.state, self.exit_code, self.reason, self.command = state, exit_code, reason, command
        self.fields = fields or {}


class Rewind(Exception):
    """Back to the last checkpoint, as a new attempt in this process."""

    def __init__(self, command: Command) -> None:
        super().__init__(command.id)
        self.command = command


class Edit(NamedTuple):
    """Changes of live keys that act before record `step`."""

    step: int
    changes: dict[str, Any]
    id: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"step": self.step, "changes": self.changes, "id": self.id}


@dataclass
class Position:
    """Where a run stands, beside its tensors: everything that the next record depends on."""

    step: int = 0
    tokens: int = 0
    rows_before: int = 0
    time: float = 0.0
    base: Base = field(default_factory=Base)
    done_here: list[str] = field(default_factory=list)
    """Which of eval and sample this boundary has had."""
    spread: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    """Of the recent losses: how many, their running mean, their running variance."""
    best: float | None = None
    val_loss: float | None = None
    val_step: int | None = None

    def spikes(self, loss: float) -> bool:
        """Take note of a record's loss: does it stand six deviations above the mean of the last fifty or so?

        A pure function of the losses so far, so that a resumed run flags the same records.
        """
        if not math.isfinite(loss):
            return False
        seen, mean, variance = self.spread
        away = max(-_FAR, min(_FAR, loss - mean))
        weight = max(1 / (seen + 1), 0.02)
        self.spread = [seen + 1, mean + weight * away, (1 - weight) * (variance + weight * away * away)]
        return seen >= 50 and away > 6 * math.sqrt(variance) and away > 1e-3

    def to_json(self, base: Base) -> dict[str, Any]:
        """What a checkpoint keeps of it; `base` is the row function's at this step."""
        kept = asdict(self)
        del kept["step"]
        return kept | {"base": base.to_json()}

    @classmethod
    def from_json(cls, kept: dict[str, Any], *, step: int) -> "Position":
        base = Base(**kept["base"])
        return cls(**(kept | {"base": base}), step=step)
