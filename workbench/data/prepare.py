"""Making a corpus ready in a process of its own, for one that must neither read a large text nor hold it.

The screen opens what is kept (`corpus.open_kept`). Where nothing is, a `Preparation` starts
`python -m workbench.data.prepare`, which fetches, reads, tokenises and counts n-grams, and leaves all of it in
the cache. The request is one JSON object on its stdin:

    {"format": 1, "data": {the [data] table}, "fetch": false}

Its answers are JSON lines on its stdout: `{"phase": "tokenising", "share": 0.43}` when a phase begins and at most
ten times a second, `{"ready": true}` once the tokens are in the cache, `{"floors": {…}}`, and then its end; or
`{"error": "…", "exit_code": 5}` and that exit code. A signal or a closed stdout ends it without a word; what it
was writing vanishes, but for the part of a download, which the next one goes on from.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from types import FrameType
from typing import IO, TYPE_CHECKING, Any, NoReturn

from workbench.data.corpus import open_corpus
from workbench.data.entropy import Floors
from workbench.data.floors import floors_of, from_json
from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.preset import DataTable

_PACE = 0.1  # seconds between two shares of one phase
_PATIENCE = 2.0  # seconds for a process to tidy up in; training a BPE hears no signal for longer


class Preparation:
    """One such process, started at once. Nothing here waits for it: a thread reads what it says.

    `phase` is what it is at, with the share done ("tokenising 43%"); empty when it is done. `ready`: now
    `open_kept` finds the corpus (a typed sentence it always finds). `floors` follow some time later. `done`:
    the process is gone, or was told to go. `error` is why it failed, as untrusted as any text that names
    files; empty while it has not, and when it was cancelled.
    """

    def __init__(self, data: "DataTable", *, fetch: bool = False) -> None:
        """`fetch` allows downloads; without it, what is to be fetched is an error."""
        self.phase = "starting"
        self.ready = False
        self.floors: Floors | None = None
        self.error = ""
        self.done = False
        self._cancelled = False
        request = json.dumps({"format": 1, "data": data.model_dump(mode="json"), "fetch": fetch})
        try:
            # It imports what this process imports: a random.py in the working directory stays out of it. Its own
            # session: neither the terminal's signals nor its hanging up are for it to hear.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "workbench.data.prepare"],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            self.error = f"the data cannot be prepared: no process can be started ({error.strerror or error})."
            self.phase, self.done = "", True
            return
        threading.Thread(target=self._follow, args=(request.encode(),), name="preparation", daemon=True).start()

    def cancel(self) -> None:
        """Have it end soon, whatever it is doing. What it has finished stays; nothing happens if it is done."""
        if self.done:
            return
        self._cancelled = self.done = True
        self.phase = ""
        self._process.terminate()
        late = threading.Timer(_PATIENCE, self._process.kill)
        late.daemon = True
        late.start()

    close = cancel
    """When nobody wants to know any more."""

    def _follow(self, request: bytes) -> None:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdout as answers:
            try:
                with process.stdin as asking:
                    asking.write(request)
            except OSError:
                pass  # it has gone already: its exit code tells
            for line in answers:
                self._hear(line)
        code = process.wait()
        if self._cancelled:
            return
        if code and not self.error:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            self.error = (
                f"the process that prepares the data {how} and said nothing. A machine short of memory does "
                "that; choose a smaller text, or try again."
            )
        self.phase = ""
        self.done = True

    def _hear(self, line: bytes) -> None:
        try:
            said = json.loads(line)
        except ValueError:  # cut off by its end
            return
        if self._cancelled or not isinstance(said, dict):
            return
        if "phase" in said:
            share = said.get("share")
            self.phase = said["phase"] if share is None else f"{said['phase']} {share:.0%}"
        elif said.get("ready"):
            self.ready = True
        elif "floors" in said:
            self.floors = from_json(said["floors"])
        elif "error" in said:
            self.error = str(said["error"])


class _Ended(BaseException):
    """Told to end, or nobody is listening. Not an OSError, which would be taken for the cache's or a network's."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code


class _Telling:
    """Progress as lines of JSON."""

    def __init__(self) -> None:
        self._phase = ""
        self._next = 0.0

    def __call__(self, phase: str, share: float | None) -> None:
        if phase != self._phase or time.monotonic() >= self._next:
            self._phase, self._next = phase, time.monotonic() + _PACE
            _say({"phase": phase, "share": share})


def _say(document: dict[str, Any]) -> None:
    try:
        # Past Python's buffer, which would be flushed once more, and complain, at the end.
        os.write(sys.stdout.fileno(), json.dumps(document).encode() + b"\n")
    except OSError:
        raise _Ended(128 + signal.SIGPIPE) from None


def _end(number: int, frame: FrameType | None) -> NoReturn:
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)  # a second one would cut the tidying short
    raise _Ended(128 + number)


def _prepare(request: IO[bytes]) -> None:
    from workbench.preset import DataTable

    asked = json.loads(request.read())
    telling = _Telling()
    corpus = open_corpus(DataTable(**asked["data"]), progress=telling, download=asked["fetch"])
    _say({"ready": True})
    telling("counting n-grams", None)
    _say({"floors": asdict(floors_of(corpus))})


def main() -> int:
    """Serve one request. Returns the exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    try:
        try:
            _prepare(sys.stdin.buffer)
        except WorkbenchError as error:
            _say({"error": str(error), "exit_code": error.exit_code})
            return error.exit_code
        except MemoryError:
            _say({"error": "the data do not fit into memory. Choose a smaller text.", "exit_code": 1})
            return 1
        except Exception as error:  # noqa: BLE001 (a mistake of ours is told too, and not on a screen's terminal)
            _say({"error": f"the data cannot be prepared: {type(error).__name__}: {error}", "exit_code": 1})
            return 1
    except _Ended as ended:
        return ended.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
