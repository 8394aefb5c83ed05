"""events.jsonl: all that is rarer than a step, one JSON object a line, in the vocabulary of `--json`.

A resumed run takes back what happened past its checkpoint: its `resume` event says how long this file was when
the checkpoint was made (`events_bytes`), and a reader drops what lies between there and the event itself.
"""

import json
import math
import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.runs import FORMAT
from workbench.runs.files import FILE_MODE, dump

Event = dict[str, Any]
Listener = Callable[[Event], None]
_LONGEST = 64 * 1024 * 1024  # a longer line is not ours


def now() -> str:
    """The wall clock, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event(type: str, time: float, /, **fields: Any) -> Event:
    """An object as it is written, told now."""
    return finite({"format": FORMAT, "type": type, "time": time, "at": now(), **fields})


def finite(document: Event) -> Event:
    """The same object with null for every number that is not finite, and `nonfinite` naming those."""
    strange = {k: v for k, v in document.items() if isinstance(v, float) and not math.isfinite(v)}
    if strange:
        document = document | dict.fromkeys(strange) | {"nonfinite": {k: str(v) for k, v in strange.items()}}
    return document


class EventLog:
    """The worker's end: appends one line at a time and tells whoever listens in this process."""

    def __init__(self, directory: Path) -> None:
        self._fd = os.open(directory / "events.jsonl", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, FILE_MODE)
        self._lock = threading.Lock()
        self.listeners: list[Listener] = []
        size = os.fstat(self._fd).st_size
        if size and os.pread(self._fd, 1, size - 1) != b"\n":
            os.write(self._fd, b"\n")  # end the line that a crash tore; no reader believes it

    def append(self, document: Event, *, durable: bool = False) -> None:
        data = (dump(document) + "\n").encode("ascii")
        with self._lock:
            while data:
                data = data[os.write(self._fd, data) :]
            if durable:
                os.fsync(self._fd)
        for listener in self.listeners:
            listener(document)

    def sync(self) -> int:
        """Everything appended so far is on the disk when this returns. Returns the file's length in bytes."""
        os.fsync(self._fd)
        return os.fstat(self._fd).st_size

    def close(self) -> None:
        os.close(self._fd)


class EventReader:
    """A reader's end: the events that count, and how far the file has been read. A torn line is the end."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "events.jsonl"
        self._offset = 0
        self._kept: list[tuple[int, Event]] = []
        self.dropped: list[Event] = []
        """What resumes have taken back, in the order in which it was written."""

    def poll(self) -> list[Event]:
        """Read what is new, and return all events that count."""
        for end, document in self._lines():
            if document.get("type") == "resume":
                length = document.get("events_bytes", 0)
                self.dropped += [e for at, e in self._kept if at > length]
                self._kept = [(at, e) for at, e in self._kept if at <= length]
            self._kept.append((end, document))
        return [document for _, document in self._kept]

    def positions(self) -> list[tuple[int, Event]]:
        """All events that count, each with the file's length just after it."""
        self.poll()
        return list(self._kept)

    def offset_after(self, type: str) -> int | None:
        """The file's length just after the first event of a type that counts."""
        return next((at for at, e in self.positions() if e.get("type") == type), None)

    def _lines(self) -> Iterator[tuple[int, Event]]:
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return
        with file:
            file.seek(self._offset)
            while (line := file.readline(_LONGEST)).endswith(b"\n"):
                self._offset += len(line)
                try:
                    document = json.loads(line)
                except ValueError:
                    continue  # torn by a crash, and ended by the next attempt
                if isinstance(document, dict) and isinstance(document.get("format"), int):
                    yield self._offset, document


def read_events(directory: Path) -> list[Event]:
    """All events that count, in order."""
    return EventReader(directory).poll()


def latest(events: list[Event], type: str) -> Event | None:
    """The last event of a type, if there is one."""
    return next((e for e in reversed(events) if e.get("type") == type), None)
