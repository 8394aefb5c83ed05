"""What the worker says: records, events and status, all through one object, in the order in which they happen."""

import contextlib
from pathlib import Path
from typing import Any, Protocol

from workbench.runs.events import Event, EventLog, event
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


class Journal:
    """The run directory's logs for one attempt; events take their `time` from the last record."""

    def __init__(self, run: Path, *, attempt: int, steps: int, narrators: list[Narrator]) -> None:
        self.run, self.attempt = run, attempt
        self.time = 0.0
        self._narrators = narrators
        self._steps = StepLog(run)
        self._events = EventLog(run)
        self._heart = Heart(run, flush=self._flush, attempt=attempt, steps=steps)

    def record(self, record: Record) -> None:
        self._steps.append(*record)
        self.time = record[7]
        self._heart.step = record[0] + 1
        for narrator in self._narrators:
            narrator.record(record)

    def event(self, type: str, *, durable: bool = False, **fields: Any) -> Event:
        """Append an event; what was recorded before it is in the files before it is."""
        self._steps.flush()
        document = event(type, self.time, **fields)
        self._events.append(document, durable=durable)
        for narrator in self._narrators:
            narrator.event(document)
            narrator.flush()
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
    def phase(self) -> str:
        return self._heart.status.phase

    def sync(self) -> tuple[int, int]:
        """Everything said so far is on the disk: the number of records, the events' length in bytes."""
        return self._steps.sync(), self._events.sync()

    def cut(self, records: int) -> None:
        self._steps.cut(records)

    def close(self, **last_words: Any) -> None:
        """Flush, say the last status, close. Nothing is written after it."""
        for last in (self._flush, self._steps.sync, self._events.sync):
            with contextlib.suppress(OSError):  # a full disk: what can still be said is said
                last()
        with contextlib.suppress(OSError):
            self._heart.stop(**last_words)
        for file in (self._steps, self._events):
            with contextlib.suppress(OSError):
                file.close()

    def _flush(self) -> None:
        self._steps.flush()
        for narrator in self._narrators:
            narrator.flush()
