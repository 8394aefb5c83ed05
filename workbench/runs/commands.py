"""commands/: what a client asks of a worker, one JSON file a command, and the answer that it waits for.

A client writes its file aside and renames it in; the worker removes it when it has answered, by an `answer` event
of the same id: accepted (it will act later), then applied, refused or expired.
"""

import contextlib
import json
import os
import re
import secrets
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.runs import FORMAT, vocabulary
from workbench.runs.events import Event, EventReader
from workbench.runs.files import DIRECTORY_MODE, FILE_MODE, dump, on_a_network
from workbench.runs.status import LIVE, Watch


def _rate(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1e300


def _top(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST_GUESSES


def _changes(value: Any) -> bool:
    return isinstance(value, dict) and bool(value)


def _yes_or_no(value: Any) -> bool:
    return type(value) is bool


MOST_GUESSES = 20
_TAKES: dict[str, dict[str, tuple[vocabulary.Check, str]]] = {
    "pause": {},
    "unpause": {},
    "step": {"micro": (_yes_or_no, "true for a micro-batch, false for a step")},
    "pace": {"rate": (_rate, "steps a second, 0 for full speed")},
    "set": {"changes": (_changes, "an object of keys and values")},
    "eval": {},
    "sample": {},
    "save": {},
    "rewind": {},
    "inspect": {"top": (_top, f"how many guesses to tell, 0 to {MOST_GUESSES}")},
    "stop": {},
}
"""Every command, and what else may stand in its file."""
_NEEDED = {"set": "changes"}
NAMES = tuple(_TAKES)
FINAL = ("applied", "refused", "expired")
LARGEST = 64 * 1024
"""Bytes of a command file: an edit of every key is a few hundred."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Command:
    id: str
    command: str
    sent: float
    at: int | None = None
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bad:
    """A file in commands/ that is no command, and why: it is answered `refused` and removed."""

    id: str
    reason: str


# ------------------------------------------------------------------------------------- the client's end


def send(directory: Path, command: str, *, at: int | None = None, **arguments: Any) -> str:
    """Ask the worker of a run for something. Returns the id under which it will answer.

    WorkbenchError where its directory cannot be written.
    """
    sent = time.time()
    folder = directory / "commands"
    id = f"{_after_those_that_wait(folder):020d}-{secrets.token_hex(4)}"
    document: dict[str, Any] = {"format": FORMAT, "id": id, "sent": sent, "command": command, **arguments}
    if at is not None:
        document["at"] = at
    aside = folder / f".{id}"
    try:
        folder.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with os.fdopen(fd, "w") as file:
            file.write(dump(document))
        aside.rename(folder / f"{id}.json")
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise WorkbenchError(
            f"{folder}: the worker cannot be asked ({(error.strerror or str(error)).lower()}); "
            "a signal needs no disk: `kill PID` makes it finish its step, save if it can, and end"
        ) from None
    return id


def _after_those_that_wait(folder: Path) -> int:
    """The clock in nanoseconds, or more where a clock that was set back since would put a command before another."""
    waiting = [path.name for path in folder.glob("0*-*.json")]
    return max([time.time_ns(), *(int(name[:20]) + 1 for name in waiting if name[:20].isdecimal())])


def wait(directory: Path, id: str, *, timeout: float, later: bool = False) -> Event:
    """The final answer to a command; with `later`, for one that acts at a step to come, its acceptance.

    A worker that dies or says nothing is a WorkbenchError; what was not read by then is withdrawn.
    """
    events = EventReader(directory)
    watch = Watch(directory)
    deadline = time.monotonic() + timeout
    while True:
        state = watch.state()  # asked before the events: the answer comes first
        ended = state not in (*LIVE, "unresponsive")
        answers = [e for e in events.poll() if e.get("type") == "answer" and e.get("id") == id]
        if answers and (later or answers[-1]["state"] in FINAL):
            return answers[-1]
        if ended or time.monotonic() > deadline:
            if answers and not ended:
                return answers[-1]  # accepted, for a later step
            (directory / "commands" / f"{id}.json").unlink(missing_ok=True)
            if ended:
                raise WorkbenchError(f"{directory.name}: the run ended ({state}) before it answered")
            phase = watch.status.phase if watch.status else ""
            raise WorkbenchError(
                f"{directory.name}: no answer within {timeout:g} s ({', '.join(filter(None, (state, phase)))}); "
                "the command was withdrawn"
            )
        time.sleep(0.02)


# ------------------------------------------------------------------------------------- the worker's end


class Inbox:
    """Reads commands/ in the order in which they were sent."""

    def __init__(self, directory: Path) -> None:
        self._folder = directory / "commands"
        self._folder.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        self.on_a_network = on_a_network(self._folder)

    def poll(self) -> list[Command | Bad]:
        """What lies there now; each is still there until `remove`."""
        try:
            names = sorted(e.name for e in os.scandir(self._folder) if e.name.endswith(".json"))
        except OSError:  # away, or nobody can say: what waits there is heard when it is back
            return []
        return [self._parse(name) for name in names if not name.startswith(".")]

    def remove(self, id: str) -> None:
        with contextlib.suppress(OSError):  # what is not there, or is a folder: it is not looked at again
            (self._folder / f"{id}.json").unlink()

    def _parse(self, name: str) -> Command | Bad:
        id = name.removesuffix(".json")
        try:
            fd = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            return Bad(id, f"cannot be read ({error.strerror})")
        try:
            about = os.fstat(fd)
            if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid():
                return Bad(id, "not a plain file of this user")
            data = os.read(fd, LARGEST + 1)
        finally:
            os.close(fd)
        if len(data) > LARGEST:
            return Bad(id, f"longer than {LARGEST:,} bytes")
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            return Bad(id, "not JSON")
        return _checked(id, document)


def _checked(id: str, document: Any) -> Command | Bad:
    if not isinstance(document, dict) or document.pop("format", None) != FORMAT:
        return Bad(id, f"not a command of format {FORMAT}")
    command, at, sent = document.pop("command", None), document.pop("at", None), document.pop("sent", 0.0)
    if document.pop("id", None) != id or not _ID.fullmatch(id):
        return Bad(id, "its id is not its file's name")
    if command not in NAMES:
        return Bad(id, f"unknown command {str(command)[:40]!r}; there are {', '.join(NAMES)}")
    if at is not None and (type(at) is not int or abs(at) > vocabulary.MOST):
        return Bad(id, "`at` must be a step, a whole number")
    if sent is None or not vocabulary.number(sent):
        return Bad(id, "`sent` must be a time in seconds")
    if why := _misgiven(command, document):
        return Bad(id, why)
    return Command(id, command, float(sent), at, document)


def _misgiven(command: str, arguments: dict[str, Any]) -> str | None:
    """Why these are not the command's arguments. Whether a change can be made is for the run to say."""
    takes, needed = _TAKES[command], _NEEDED.get(command)
    if needed and needed not in arguments:
        return f"{command}: expected `{needed}`, {takes[needed][1]}"
    for name, value in arguments.items():
        if name not in takes:
            return f"{command}: takes no {name[:40]!r}; it takes {', '.join(takes) or 'nothing'}"
        fits, expected = takes[name]
        if not fits(value):
            return f"{command}: expected `{name}`, {expected}"
    return None
