"""What the worker says: records, events and status, all through one object, in the order in which they happen."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from workbench.errors import passing_over_refusals
from workbench.runs.events import Event, EventLog, event
from workbench.runs.files import sync_directory
from workbench.runs.records import StepLog
from workbench.runs.status import Heart

Record = tuple[int, int, int, float, float, float, float, float, int, int, int, int, int]
"""The fields of workbench.runs.records.DTYPE, in its order."""


class Narrator(Protocol):
    """Whoever tells the run to a person or a pipe, in the worker's own process."""

    def record(self, record: Record) -> None: ...

    def event(self, event: Event) -> None: ...

    def phase(self, phase: str) -> None: ...

    def flush(self) -> None:
        """Called ten times a second, from another thread, and after every event. It must not wait for a reader."""

    def close(self) -> None:
        """Nothing follows: return when everything has been told, or nobody listens."""


T = TypeVar("T")


class Patience(Protocol):
    """Does what writes; where that fails it may wait and do it again, or raise."""

    def __call__(self, write: Callable[[], T], /) -> T: ...


def at_once(write: Callable[[], T], /) -> T:
    """The Patience that has none."""
    return write()


class Journal:
    """The run directory's logs for one attempt; events take their `time` from the last record.

    What cannot be written waits in memory, in order, and is tried again ten times a second: `trouble` says why, and
    training waits with it between two steps (patience.py).
    """

    def __init__(self, run: Path, *, attempt: int, steps: int, narrators: list[Narrator]) -> None:
        self.run, self.attempt = run, attempt
        self.time = 0.0
        self.patience: Patience = at_once
        self._narrators = narrators
        self._unwritten: OSError | None = None
        self._order = threading.Lock()
        """An event is written when all records before it are."""
        self._steps = StepLog(run)
        self._events = EventLog(run)
        sync_directory(run)  # the files' names, too, survive a power cut
        self._heart = Heart(run, flush=self._flush, attempt=attempt, steps=steps)

    @property
    def trouble(self) -> OSError | None:
        """Why the run directory cannot be written; None where it can."""
        return self._unwritten or self._heart.trouble

    def record(self, record: Record) -> None:
        self._steps.append(*record)
        self.time = record[7]
        self._heart.step = record[0] + 1
        for narrator in self._narrators:
            narrator.record(record)

    def event(self, type: str, *, durable: bool = False, **fields: Any) -> Event:
        """Append an event; what was recorded before it is in the files before it is. A durable one is on the disk
        when this returns: where that cannot be, `patience` waits or raises."""
        document = event(type, self.time, **fields)
        with self._order, contextlib.suppress(OSError):  # it is kept
            self._events.add(document)
            self._write()
        for narrator in self._narrators:
            narrator.event(document)
            narrator.flush()
        if durable:
            self.patience(self._events.sync)
        return document

    def tell(self, **changes: Any) -> None:
        """Change the status: state, phase, step, steps."""
        before = self._heart.status.phase
        self._heart.step = changes.pop("step", self._heart.step)
        self._heart.tell(**changes)
        if changes.get("phase", before) != before:
            for narrator in self._narrators:
                narrator.phase(changes["phase"])

    @property
    def state(self) -> str:
        return self._heart.status.state

    @property
    def phase(self) -> str:
        return self._heart.status.phase

    def sync(self) -> tuple[int, int]:
        """Everything said so far is on the disk: the number of records, the events' length in bytes."""
        return self.patience(lambda: (self._steps.sync(), self._events.sync()))

    def cut(self, records: int) -> None:
        self._steps.cut(records)

    def look_again(self) -> None:
        """Try at once what could not be written: `trouble` is as of now."""
        self._heart.beat()
        with contextlib.suppress(OSError):
            self._flush()

    def close(self, **last_words: Any) -> None:
        """Flush, say the last status, close. Nothing is written after it."""
        for last in (self._flush, self._steps.sync, self._events.sync):
            with passing_over_refusals():  # what can still be said is said
                last()
        self._heart.stop(**last_words)
        for file in (self._steps, self._events):
            with passing_over_refusals():
                file.close()

    def _flush(self) -> None:
        try:
            with self._order:
                self._write()
        finally:
            for narrator in self._narrators:
                narrator.flush()

    def _write(self) -> None:
        try:
            self._steps.flush()
            self._events.flush()
        except OSError as error:
            self._unwritten = error
            raise
        self._unwritten = None
