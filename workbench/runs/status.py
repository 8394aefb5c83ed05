"""status.json: what a run is doing now, and whether the process that says so is still there.

The worker replaces the file at every change and once a second. A reader on the same host asks the kernel about
the pid (its start time and the boot tell a recycled pid from the real one); a reader on another host has only the
heartbeat, and judges it by its own clock.
"""

import errno
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypedDict

import psutil

from workbench.errors import WorkbenchError, out_of_memory, passing_over_refusals
from workbench.runs import FORMAT
from workbench.runs.files import opened, overwrite_json, read_json, replace_json

LIVE = ("starting", "running", "paused")
ENDED = ("done", "stopped", "interrupted", "diverged", "out-of-memory", "failed")
SILENT_AFTER = 10.0
"""Seconds without a heartbeat after which a process that is there counts as unresponsive: ten of them missed."""
LOST_AFTER = 30.0
"""Seconds without a heartbeat after which a worker on another host counts as lost."""


class Inside(TypedDict):
    """An optimizer step that waits after one of its micro-batches. The lists hold at most the last INSIDE_KEPT."""

    micro: int
    """Micro-batches done, of …"""
    accum: int
    first: int
    """The index of the first micro-batch that is listed."""
    losses: list[float | None]
    """Each one's own mean loss in nats; None for what is not finite."""
    norms: list[float | None]
    """Of the accumulated gradient after each; it is divided by the whole step's targets, so it grows to the step's."""


INSIDE_KEPT = 64
_A_THREADS = 2**24
"""Bytes that a thread needs to begin, and more."""


@dataclass(frozen=True)
class Status:
    state: str = "starting"
    phase: str = ""
    step: int = 0
    steps: int = 0
    attempt: int = 1
    exit_code: int | None = None
    reason: str = ""
    pace: float = 0.0
    """Steps a second that the run is held to; 0 is full speed."""
    inside: Inside | None = None
    """Where a step waits, if one does."""
    pid: int = 0
    started: float = 0.0
    """When the process started, in seconds since the boot (Linux) or since 1970: with `boot` it names the process."""
    boot: str = ""
    host: str = ""
    heartbeat: float = 0.0
    """Wall clock, seconds since 1970."""
    uptime: float = 0.0
    """The writer's monotonic clock: comparable on the same host and boot, whatever the wall clock does."""

    def alive(self) -> bool | None:
        """Is the worker's process there? None: it is on another host, so nobody here can say."""
        if self.host != socket.gethostname():
            return None
        return self.boot == boot_id() and process_start(self.pid) == self.started


_EMPTY = Status()
_WRITTEN = {str: str, int: int, float: int | float}
"""What JSON may hold for a field, by the type of its default."""


_LARGEST = 2**63
"""No number of a worker's is as large."""


def read(directory: Path) -> Status | None:
    """The status as written; None where a run has none yet, or a crash left none of it."""
    path = directory / "status.json"
    try:
        document = _whole(path)
    except WorkbenchError:
        if path.exists() and not _cut_off(path):
            raise
        return None
    values: dict[str, Any] = {}
    for known in fields(Status):
        default = getattr(_EMPTY, known.name)
        value = document.get(known.name, default)
        if known.name == "inside":
            fits = value is None or _is_inside(value)
        elif known.name == "exit_code":
            fits = isinstance(value, int | None)
        else:
            fits = isinstance(value, _WRITTEN[type(default)]) and (isinstance(value, str) or abs(value) < _LARGEST)
        if known.name == "state":
            fits = value in (*LIVE, *ENDED)
        if not fits:
            raise WorkbenchError(f"{path}: {known.name} is {value!r:.40}, which no worker writes")
        values[known.name] = value
    return Status(**values)


def _cut_off(path: Path) -> bool:
    """Whether it is what a power cut leaves of a file that is never synced: nothing, NULs, or its beginning."""
    try:
        with opened(path) as file:
            data = file.read()
    except OSError:
        return False
    return not data or b"\0" in data or (data.startswith(b'{"format":1,') and not data.rstrip().endswith(b"}"))


def _whole(path: Path) -> dict[str, Any]:
    """On a full disk it is written in place: what is read half-way is whole a moment later."""
    try:
        return read_json(path)
    except WorkbenchError:
        if not path.exists():
            raise
        time.sleep(0.01)
        return read_json(path)


def _is_inside(value: object) -> bool:
    if not isinstance(value, dict) or value.keys() != Inside.__annotations__.keys():
        return False
    lists = value["losses"], value["norms"]
    return all(type(value[key]) is int for key in ("micro", "accum", "first")) and all(
        isinstance(numbers, list)
        and len(numbers) == value["micro"] - value["first"]
        and all(isinstance(number, int | float | None) for number in numbers)
        for numbers in lists
    )


def observed(status: Status | None) -> str:
    """The state as a reader sees it: what was written, or `lost`, or `unresponsive`."""
    if status is None:
        return "lost"
    if status.state not in LIVE:
        return status.state
    alive = status.alive()
    if alive is None:
        return "lost" if time.time() - status.heartbeat > LOST_AFTER else status.state
    return _here(status, alive)


def _here(status: Status, alive: bool) -> str:
    """The state of a live one on this host, whose process is there or not."""
    if not alive:
        return "lost"
    return "unresponsive" if time.monotonic() - status.uptime > SILENT_AFTER else status.state


class Watch:
    """A reader that looks again and again. It judges a worker on another host by its own clock alone: thirty
    seconds without a change, whatever the two wall clocks say."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.status: Status | None = None
        """What the worker had written at the last look."""
        self._heartbeat: float | None = None
        self._changed = time.monotonic()

    def state(self) -> str:
        """As `observed`, from what has been seen since the first look."""
        self.status = status = read(self._directory)
        if status is None or status.state not in LIVE:
            return observed(status)
        alive = status.alive()
        if alive is not None:
            return _here(status, alive)
        if status.heartbeat != self._heartbeat:
            self._heartbeat, self._changed = status.heartbeat, time.monotonic()
        return "lost" if time.monotonic() - self._changed > LOST_AFTER else status.state


class Heart:
    """The worker's end: a thread that writes status.json once a second, and at once when something changes.

    `flush` is called ten times a second, so that what the training thread has appended reaches the files even
    while one step takes minutes.
    """

    def __init__(self, directory: Path, *, flush: Callable[[], None], attempt: int, steps: int) -> None:
        self._path = directory / "status.json"
        self._flush = flush
        self.trouble: OSError | None = None
        """Why the last status could not be written."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.step = 0
        """Updates done, written with the next beat: an assignment is all that a step costs."""
        self._status = Status(
            attempt=attempt,
            steps=steps,
            pid=os.getpid(),
            started=process_start(os.getpid()) or 0.0,
            boot=boot_id(),
            host=socket.gethostname(),
        )
        self._write()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        room = bytearray(_A_THREADS)  # refused here and not inside of the thread: Python would wait for it for ever
        del room
        self._thread.start()

    @property
    def status(self) -> Status:
        return self._status

    def tell(self, **changes: Any) -> None:
        """Change what the file says, at once."""
        before = self._status
        self._status = replace(before, **changes)
        if self._status != before:
            self.beat()

    def stop(self, **changes: Any) -> None:
        """The last words: written here if they can be, and nothing after them."""
        self._stop.set()
        self._thread.join(timeout=5)
        self.step = changes.pop("step", self.step)
        self._status = replace(self._status, inside=None, **changes)
        with passing_over_refusals():
            self._write()

    def _beat(self) -> None:
        beats = 0
        while not self._stop.is_set():
            try:
                if self._stop.wait(0.1):
                    return
                beats += 1
                try:
                    self._flush()
                finally:
                    if beats % 10 == 0:
                        self.beat()
            except (OSError, MemoryError):  # the next one tries again
                pass
            except Exception as error:
                if not out_of_memory(error):
                    raise

    def beat(self) -> None:
        """Write, and note where that fails: training looks at it between two steps."""
        try:
            self._write()
        except OSError as error:
            self.trouble = error
        else:
            self.trouble = None

    def _write(self) -> None:
        with self._lock:
            status = replace(self._status, step=self.step, heartbeat=time.time(), uptime=time.monotonic())
            document = {"format": FORMAT, **asdict(status)}
            try:
                replace_json(self._path, document)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                overwrite_json(self._path, document)  # so that readers hear why training waits


def boot_id() -> str:
    """What tells this boot of this machine from any other."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"{psutil.boot_time():.0f}"


def process_start(pid: int) -> float | None:
    """When process `pid` started; None if it is gone or a zombie. Immune to changes of the clock on Linux."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")  # a process may be called anything
    except OSError:  # gone, or hidden as another user's, and so not the worker
        if Path("/proc/self/stat").exists():
            return None
        try:  # no procfs: macOS
            process = psutil.Process(pid)
            return None if process.status() == psutil.STATUS_ZOMBIE else round(process.create_time(), 2)
        except psutil.Error:
            return None
    after_name = stat.rpartition(")")[2].split()
    return None if after_name[0] in "ZX" else int(after_name[19]) / os.sysconf("SC_CLK_TCK")
