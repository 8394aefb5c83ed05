"""A run directory, read again and again by a thread of its own, so that a slow disk never holds up a key."""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from workbench import preset as presets
from workbench.errors import WorkbenchError
from workbench.lab.flops import spent
from workbench.preset import Preset
from workbench.runs import status
from workbench.runs.events import Event, EventReader
from workbench.runs.status import ENDED, LIVE, Status
from workbench.screen.bench.sound import Sound, is_sound
from workbench.screen.charts.curves import Curves

LIVELY, QUIET = 0.2, 2.0
"""Seconds between two looks at a run that is alive, and at one that is over (another screen may resume it)."""
SLICE = 0.25
"""Seconds that a look reads records for: a long run is drawn as far as it has been read."""

Changed = frozenset[str]
"""Which of "status", "events" and "records" a look found changed."""


class Followed:
    """One run as it was at the last look. Attributes are replaced, never changed in place: any thread may read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.preset: Preset = presets.load(str(path / "preset.toml")).preset
        """As it started."""
        self.live: Preset = presets.pin_context(self.preset)
        """With every edit that counts."""
        self.status: Status | None = None
        self.state = "starting"
        self.events: tuple[Event, ...] = ()
        self.curves = Curves(path)
        self.error = ""
        """Why the last look failed; empty when it did not."""
        self.reading = True
        """Not all that was there at first has been read yet."""
        self._events = EventReader(path, strict=False)
        self._watch = status.Watch(path)
        self._seen_attempt = 0
        self._seen_events: tuple[int, list[Event]] = (0, [])
        self._sound = Sound(presets.pin_context(self.preset))
        self._of: tuple[tuple[Event, ...], dict[tuple[str, ...], list[Event]]] = ((), {})
        self._unpriced = False

    # ------------------------------------------------------------------------------- what panes ask

    @property
    def alive(self) -> bool:
        """A worker has it: running, paused, starting, or silent for the moment."""
        return self.state in (*LIVE, "unresponsive")

    @property
    def over(self) -> bool:
        return self.state in (*ENDED, "lost")

    @property
    def phase(self) -> str:
        return self.status.phase if self.status else ""

    @property
    def step(self) -> int:
        """Updates done, as far as anyone can tell: the records are ahead of the heartbeat."""
        return max(len(self.curves), self.status.step if self.status and self.over else 0)

    @property
    def steps(self) -> int:
        return self.live.schedule.steps

    def of(self, *types: str) -> list[Event]:
        """The events of some types that count, in order; looked for once."""
        events = self.events
        if self._of[0] is not events:
            self._of = events, {}
        found = self._of[1]
        if types not in found:
            found[types] = [e for e in events if e.get("type") in types]
        return found[types]

    def last(self, type: str) -> Event | None:
        return next((e for e in reversed(self.events) if e.get("type") == type), None)

    def answer(self, id: str) -> Event | None:
        """The latest answer to a command."""
        return next((e for e in reversed(self.events) if e.get("type") == "answer" and e.get("id") == id), None)

    # ------------------------------------------------------------------------------- the reading end

    def look(self) -> Changed:
        """Read what is new. Never raises for what a run directory may hold: `error` says it."""
        changed = set()
        try:
            if not self.path.is_dir():
                raise WorkbenchError(f"{self.path} is not there: removed, moved, or its disk is away")
            state = self._watch.state()
            found = self._watch.status
            if (state, _told(found)) != (self.state, _told(self.status)):
                changed.add("status")
            self.status, self.state = found, state
            if found and found.attempt != self._seen_attempt:
                # A resume has cut the records; they may be as many again by now.
                if self._seen_attempt:
                    resumes = (e for e in self._events.poll() if e.get("type") == "resume" and is_sound(e))
                    resumed = max((e["records"] for e in resumes), default=0)
                    self.curves.reset_to(resumed)
                self._seen_attempt = found.attempt
            events = self._events.poll()
            if (len(events), events[-1:]) != self._seen_events:
                changed.add("events")
                kept, self.live = self._sound.of(events)
                self.events = kept  # last: whoever sees an answer sees what it changed
                self._seen_events = len(events), events[-1:]
            left_out = self._events.left_out + len(events) - len(self.events)
            if self.curves.poll(SLICE):
                changed.add("records")
            self._unpriced |= "events" in changed
            if self._unpriced and not self.curves.behind:  # after the records that they speak of
                self._unpriced = False
                pinned = presets.pin_context(self.preset)
                self.curves.price(spent(pinned, self.events, lambda step: self.curves.x_of(step, "tokens")))
            error = _told_of(left_out)
        except (WorkbenchError, OSError, ValueError) as caught:
            error = str(caught)
        if error != self.error:
            changed.add("status")
            self.error = error
        if self.reading and not (self.curves.behind and not error):
            self.reading = False
            changed |= {"status", "events", "records"}
        return frozenset(changed)


def _told_of(left_out: int) -> str:
    if not left_out:
        return ""
    many = f"{left_out:,} events are" if left_out > 1 else "1 event is"
    return f"events.jsonl: {many} damaged and left out: no worker writes such"


def _told(found: Status | None) -> tuple[object, ...]:
    """What of a status a screen shows: not its heartbeat."""
    return (
        (found.state, found.phase, found.steps, found.attempt, found.reason, found.pace, found.inside) if found else ()
    )


class Follower:
    """The thread. `tell` is called from it after every look that found something, with the run and what changed."""

    def __init__(self, tell: Callable[[Followed, Changed], None]) -> None:
        self._tell = tell
        self._runs: dict[Path, tuple[Followed, float]] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def keep(self, runs: Iterable[Followed]) -> None:
        """Follow these, and no others: a run that is new is looked at at once."""
        with self._changed:
            wanted = {run.path: run for run in runs}
            same = {path: (run, at) for path, (run, at) in self._runs.items() if wanted.get(path) is run}
            if len(same) == len(wanted) == len(self._runs):
                return
            self._runs = {path: same.get(path, (run, 0.0)) for path, run in wanted.items()}
            self._changed.notify()
            if self._thread is None and self._runs:
                self._thread = threading.Thread(target=self._go, name="follower", daemon=True)
                self._thread.start()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _go(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                now = time.monotonic()
                due = [run for run, at in self._runs.values() if at <= now]
                if not due:
                    soonest = min((at for _, at in self._runs.values()), default=now + QUIET)
                    self._changed.wait(max(0.01, soonest - now))
                    continue
            for run in due:
                changed = run.look()
                with self._changed:
                    if self._runs.get(run.path, (None,))[0] is run:
                        every = LIVELY if run.alive else QUIET
                        rest = 0.0 if run.curves.behind and not run.error else every
                        self._runs[run.path] = (run, time.monotonic() + rest)
                if changed:
                    self._tell(run, changed)
