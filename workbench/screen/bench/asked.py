"""What the open run's worker was asked and has not answered: what is on its way, and what its answers say."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.screen.bench.edits import Edit
from workbench.screen.bench.follow import Followed
from workbench.screen.bench.notice import Level

SLOW = 0.8
"""Seconds without an answer after which it is told what the worker is doing instead."""


@dataclass
class Asked:
    """A command that has no final answer yet."""

    command: str
    what: str
    sent: float
    arguments: Mapping[str, Any]
    edit: Edit | None = None
    quiet: bool = False
    accepted: bool = False
    waits: bool = False
    """It has been told that the answer takes its time."""


class Commands:
    """By their ids, in the order in which they were sent. `tell` says what there is to say to the user."""

    def __init__(self, tell: Callable[[str, Level], None], clock: Callable[[], float]) -> None:
        self._tell, self._clock = tell, clock
        self._asked: dict[str, Asked] = {}

    def add(self, id: str, asked: Asked) -> None:
        self._asked[id] = asked

    def clear(self) -> None:
        self._asked.clear()

    @property
    def changes(self) -> dict[str, Any]:
        """What the run was asked to change and has not answered yet."""
        edits = [asked.edit for asked in self._asked.values() if asked.edit]
        return {key: value for edit in edits for key, value in edit.after.items() if value is not None}

    @property
    def pace(self) -> float | None:
        """The last pace that was asked for, if it has not been answered."""
        paces: list[float] = [asked.arguments["rate"] for asked in self._asked.values() if asked.command == "pace"]
        return paces[-1] if paces else None

    def tick(self, phase: str) -> None:
        """Tell what takes its time, once; `phase` is what the worker does instead."""
        for asked in self._asked.values():
            if not asked.waits and asked.command != "inspect" and self._clock() - asked.sent >= SLOW:
                asked.waits = True
                self._tell(f"{asked.what}: sent; the worker is {phase or 'busy'}", "said")

    def hear(self, run: Followed) -> list[Edit]:
        """Tell the answers that have come. Returns the edits that were refused."""
        refused = []
        for id, asked in list(self._asked.items()):
            answer = run.answer(id)
            if answer is None:
                continue
            if answer["state"] == "accepted":
                if not asked.accepted and not asked.quiet and asked.edit:
                    self._tell(f"{asked.what}: accepted at step {answer['step']:,}", "said")
                asked.accepted = True
                continue
            del self._asked[id]
            if answer["state"] == "applied":
                if asked.edit:
                    self._tell(f"{asked.what} acts from step {answer['step']:,} on", "said")
                elif not asked.quiet:
                    self._tell(f"{asked.what}: done at step {answer['step']:,}", "said")
                continue
            if asked.edit:
                refused.append(asked.edit)
            if asked.command != "inspect":  # the panes that show its answers say why there is none
                self._tell(f"{asked.what}: {answer['state']}: {answer['reason']}", "error")
        return refused
