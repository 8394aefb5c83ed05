"""What the worker hears: commands, in order, each answered exactly once per state.

They are read between micro-steps and act between steps. What is not due yet is acknowledged as accepted and kept;
what was written before this attempt began is answered `expired`, or `applied` where it is an edit that counts.
How fast a run may go is a Gait.
"""

import time
from collections.abc import Callable, Collection, Iterable

from workbench.runs.commands import Bad, Command, Inbox

EVERY, EVERY_ON_A_NETWORK = 0.1, 1.0
"""Seconds between two looks into commands/ while training: ten a second cost nothing and feel immediate; a listing
on a network file system is a round trip to its server."""

Say = Callable[..., object]


class Steering:
    def __init__(
        self,
        inbox: Inbox,
        answer: Say,
        *,
        stale: Iterable[Command | Bad],
        answered: Iterable[str],
        made: Collection[str] = (),
    ) -> None:
        """`answer(id=, state=, reason=)` writes the answer. `stale` is what lay in the inbox before this attempt said
        that it has begun; `answered` are ids that have had their final answer, `made` those whose edit an earlier
        attempt has made, and this one keeps or makes again."""
        self._inbox, self._answer = inbox, answer
        self._finished = set(answered)
        self._waiting: list[Command] = []
        self._acting: set[str] = set()
        """Ids whose command acts right now: their files are still there, and must not be read again."""
        self._accepted: set[str] = set()
        self._next_look = 0.0
        self._every = EVERY_ON_A_NETWORK if inbox.on_a_network else EVERY
        for found in stale:
            if found.id in self._finished:
                pass
            elif found.id in made:  # it ended between the edit and the answer
                answer(id=found.id, state="applied", reason="by an earlier attempt, which ended before it could say so")
            else:
                answer(id=found.id, state="expired", reason="written before this attempt of the worker began")
            self._inbox.remove(found.id)
            self._finished.add(found.id)

    def look(self, *, now: bool = False) -> None:
        """Read what has arrived, unless the last look was a moment ago."""
        clock = time.monotonic()
        if not now and clock < self._next_look:
            return
        self._next_look = clock + self._every
        held = {c.id for c in self._waiting} | self._acting
        for found in self._inbox.poll():
            if found.id in held:
                continue
            if found.id in self._finished:  # an id acts once
                self._inbox.remove(found.id)
            elif isinstance(found, Bad):
                self.finish(found.id, "refused", found.reason)
            else:
                self._waiting.append(found)

    def due(self, step: int) -> list[Command]:
        """What is to act now, before record `step`; the rest is acknowledged, or refused if its step is past."""
        if not self._waiting:
            return []
        now = [c for c in self._waiting if c.at is None or c.at == step]
        for command in [c for c in self._waiting if c.at is not None and c.at < step]:
            self.finish(command.id, "refused", f"step {command.at} is past: {step} updates are done")
        self._waiting = [c for c in self._waiting if c.at is not None and c.at > step]
        self.acknowledge(self._waiting)
        self._acting |= {c.id for c in now}
        return now

    def next_at(self, step: int) -> int | None:
        """The first boundary from `step` on at which one of those that wait acts; None where none waits."""
        return min((step if c.at is None else max(step, c.at) for c in self._waiting), default=None)

    def inside(self) -> list[Command]:
        """What waits while a step is under way: acknowledged, and still waiting."""
        self.acknowledge(self._waiting)
        return list(self._waiting)

    def take(self, command: Command) -> None:
        """It acts after all inside the step: it no longer waits."""
        self._waiting.remove(command)
        self._acting.add(command.id)

    def acknowledge(self, commands: Iterable[Command]) -> None:
        for command in commands:
            if command.id not in self._accepted:
                self._accepted.add(command.id)
                self._answer(id=command.id, state="accepted", reason="")

    def finish(self, id: str, state: str, reason: str = "", **more: object) -> None:
        """The final answer, and then the file goes: a crash in between leaves an id that is known."""
        self._answer(id=id, state=state, reason=reason, **more)
        self._finished.add(id)
        self._acting.discard(id)
        self._inbox.remove(id)

    def close(self, step: int) -> None:
        """The attempt ends: what waits for a later step, or for one to inspect, is answered; nobody waits for it."""
        for id in [command.id for command in self._waiting] + sorted(self._acting):
            self.finish(id, "expired", f"the run ended at step {step}, before it could act")
        self._waiting = []


class Gait:
    """Whether the next step, or the next micro-batch, may run: at full speed, at a pace, or one by one."""

    def __init__(self) -> None:
        self.paused = False
        self.pace = 0.0
        """Steps a second; 0 is full speed."""
        self._steps = 0
        """How many more while paused."""
        self._micro: int | None = None
        """How many more micro-batches; None: a step is not stopped inside."""
        self._next_step_at = 0.0

    @property
    def micro_steps(self) -> bool:
        """The step is to stop after its micro-batches."""
        return self._micro is not None

    @property
    def waits_inside(self) -> bool:
        return self._micro == 0

    def pause(self) -> None:
        self.paused, self._steps = True, 0

    def unpause(self) -> None:
        self.paused, self._micro = False, None

    def step(self, *, micro: bool, inside: bool) -> None:
        """One more step, or one more micro-batch; inside a step, `micro: false` finishes that one and no other."""
        if not inside and not (micro and self.micro_steps):
            self._steps += 1
        self.paused, self._micro = True, (self._micro or 0) + 1 if micro else None

    def hold_to(self, pace: float) -> None:
        self.pace, self._next_step_at = float(pace), 0.0

    def may_step(self) -> bool:
        """Asked before each step; a yes is used up."""
        if not self.paused:
            return not self.pace or time.monotonic() >= self._next_step_at
        self._steps, may = max(0, self._steps - 1), self._steps > 0
        return may

    def begin_step(self) -> None:
        if self.pace:
            self._next_step_at = time.monotonic() + 1 / self.pace

    def end_micro_batch(self) -> None:
        if self._micro:
            self._micro -= 1

    def again(self) -> "Gait":
        """That of a new attempt of the run: as paused and as slow, with no step left to make."""
        gait = Gait()
        gait.paused, gait.pace = self.paused, self.pace
        return gait

    def finish_step(self) -> None:
        """Do not stop inside this step again."""
        self._micro = None
