"""events.jsonl: all that is rarer than a step, one JSON object a line, in the vocabulary of `--json`.

A resumed run takes back what happened past its checkpoint: its `resume` event says how long this file was when
the checkpoint was made (`events_bytes`), and a reader drops what lies between there and the event itself.
"""

import json
import math
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from sys import intern
from typing import Any

from workbench.errors import WorkbenchError
from workbench.runs import FORMAT, vocabulary
from workbench.runs.files import Appended, check_format, dump, opened

Event = dict[str, Any]
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
    """The worker's end: appends one line at a time."""

    def __init__(self, directory: Path) -> None:
        self._file = Appended(directory / "events.jsonl")
        size = os.fstat(self._file.fd).st_size
        if size and os.pread(self._file.fd, 1, size - 1) != b"\n":
            self._file.add(b"\n")  # end the line that a crash tore; no reader believes it

    def add(self, document: Event) -> None:
        """Take it; `flush` writes it."""
        self._file.add((dump(document) + "\n").encode("ascii"))

    def append(self, document: Event) -> None:
        """Take it and write it. OSError: it is kept for the next flush."""
        self.add(document)
        self._file.flush()

    def flush(self) -> None:
        self._file.flush()

    def sync(self) -> int:
        """Everything appended so far is on the disk when this returns. Returns the file's length in bytes."""
        return self._file.sync()

    def close(self) -> None:
        self._file.close()


ANSWERS = 256
"""Answers that say yes, which a reader keeps that only shows the run."""


class EventReader:
    """A reader's end: the events that count, and how far the file has been read. A torn line is the end.

    A damaged event, one that no worker writes, raises WorkbenchError: nothing must be computed without it. Who only
    shows the run (not `strict`) does without: it is left out and counted. Nor does it keep every answer, of which a
    screen that is left open for a day has 40,000: the latest ones that say yes, and all others.
    """

    def __init__(self, directory: Path, *, strict: bool = True) -> None:
        self._path = directory / "events.jsonl"
        self._strict = strict
        self.left_out = 0
        """How many events were damaged."""
        self._offset = 0
        self._kept: list[tuple[int, Event]] = []
        self._yeses = 0
        self.dropped: list[Event] = []
        """What resumes have taken back, in the order in which it was written."""

    @property
    def length(self) -> int:
        """How many bytes of the file have been read, in whole lines."""
        return self._offset

    def poll(self) -> list[Event]:
        """Read what is new, and return all events that count."""
        for end, document in self._lines():
            if document.get("type") == "resume":
                length = document["events_bytes"]
                self.dropped += [e for at, e in self._kept if at > length]
                self._kept = [(at, e) for at, e in self._kept if at <= length]
            self._kept.append((end, document))
            self._yeses += _says_yes(document)
        if not self._strict and self._yeses > 2 * ANSWERS:
            old = [at for at, e in self._kept if _says_yes(e)][:-ANSWERS]
            gone, self._yeses = set(old), ANSWERS
            self._kept = [(at, e) for at, e in self._kept if at not in gone]
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
            file = opened(self._path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise WorkbenchError(f"{self._path}: cannot be read ({error.strerror})") from None
        with file:
            file.seek(self._offset)
            while (line := file.readline(_LONGEST)).endswith(b"\n"):
                self._offset += len(line)
                try:
                    document = json.loads(line)
                except (ValueError, RecursionError):
                    continue  # torn by a crash, and ended by the next attempt
                if not isinstance(document, dict) or not vocabulary.count(document.get("format")):
                    continue
                self._offset -= len(line)  # a refusal is repeated at the next look
                check_format(document, str(self._path))
                strange = vocabulary.wrong(document)
                if strange and self._strict:
                    raise WorkbenchError(
                        f"{self._path}: the {_kind(document)}event at byte {self._offset:,} holds no "
                        f"`{strange}` that a worker writes; the file was changed or damaged"
                    )
                self._offset += len(line)
                if strange:
                    self.left_out += 1
                else:  # names and kinds once for all events, of which a long run has a hundred thousand
                    yield self._offset, {intern(key): document[key] for key in document} | _shared(document)


def _shared(document: Event) -> Event:
    return {key: intern(document[key]) for key in ("type", "state") if isinstance(document.get(key), str)}


def _says_yes(document: Event) -> bool:
    return document.get("type") == "answer" and document.get("state") in ("accepted", "applied")


def _kind(document: Event) -> str:
    return f"{document['type']} " if isinstance(document.get("type"), str) else ""


def read_events(directory: Path) -> list[Event]:
    """All events that count, in order."""
    return EventReader(directory).poll()


def latest(events: list[Event], type: str) -> Event | None:
    """The last event of a type, if there is one."""
    return next((e for e in reversed(events) if e.get("type") == type), None)
