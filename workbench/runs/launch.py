"""A worker as a process of its own session, that outlives the terminal and whoever started it.

It is started with `--json` on a pipe. Until its run directory exists, its stderr says what it is doing: JSON lines
for phases (`PHASES` in its environment asks for them), anything else is what it tells a person. Its first object on
stdout says where its run is; then stdout is closed, which ends its telling and not its training.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import workbench
from workbench.runs import FORMAT
from workbench.runs.events import Event
from workbench.runs.files import dump

PHASES = "WORKBENCH_PHASES"
"""In the environment of a worker: tell the phases of getting ready as lines of JSON on stderr."""
_LINES_KEPT = 100
"""Of what it says on stderr: an error and what led to it, not the warnings of a week."""
_LAST_WORDS = 1.0
"""Seconds that an exit waits for the end of its pipes, which a process of the worker's own may keep open."""


def phase_line(phase: str, share: float | None) -> str:
    """A phase as a worker writes it; `share` is how much of it is done, told in whole percents."""
    percent = None if share is None else int(share * 100)
    return dump({"format": FORMAT, "type": "phase", "phase": phase, "percent": percent}) + "\n"


class Launch:
    """One worker, from its start on. Nothing here waits for it but `wait`.

    It is told nothing when this process ends, and is not ended by it.
    """

    def __init__(self, arguments: Sequence[str], *, stdin: str | None = None, cwd: Path | None = None) -> None:
        """Start `workbench ARGUMENTS --json`, `stdin` being what it reads there. OSError if no process can be had."""
        self._phase = "starting Python"
        self.run: Path | None = None
        self.begun: Event | None = None
        """Its first object: `start` or `resume`, or `end` or `answer` where there was nothing to train."""
        self._said: deque[str] = deque(maxlen=_LINES_KEPT)
        self._ended_at = 0.0
        with tempfile.TemporaryFile() as given:  # a file and not a pipe: it is whole, even if we are killed now
            given.write((stdin or "").encode("utf-8"))
            given.seek(0)
            self._process = subprocess.Popen(
                [sys.executable, *isolated(cwd), "-m", "workbench", *arguments, "--json"],
                stdin=subprocess.DEVNULL if stdin is None else given,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=os.environ | {PHASES: "1"},
                start_new_session=True,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._ears = (
            threading.Thread(target=self._hear_beginning, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._hear_telling, args=(self._process.stderr,), daemon=True),
        )
        for ear in self._ears:
            ear.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def phase(self) -> str:
        """What it is doing before its run directory exists; "" once it has begun: then status.json says."""
        return "" if self.begun else self._phase

    @property
    def error(self) -> str:
        """What it has told a person on stderr, phases left out: why it ended, where it ended by an error.

        As it was said: it may hold anything, and is made visible before a terminal gets it.
        """
        return "\n".join(self._said)

    @property
    def ended(self) -> int | None:
        """Its exit code (negative: the signal that killed it), None while it is there. All it said has been heard."""
        code = self._process.poll()
        if code is None:
            return None
        self._ended_at = self._ended_at or time.monotonic()
        if any(ear.is_alive() for ear in self._ears) and time.monotonic() < self._ended_at + _LAST_WORDS:
            return None
        return code

    def cancel(self) -> None:
        """SIGTERM: before it has begun it leaves at once, afterwards it finishes its step and saves."""
        if self._process.poll() is None:
            self._process.terminate()

    def wait(self, timeout: float = math.inf) -> bool:
        """Until it has begun, or has ended without. False: neither happened in `timeout` seconds."""
        return self._until(lambda: self.begun is not None or self.ended is not None, timeout)

    def wait_for_end(self, timeout: float = math.inf) -> int | None:
        """Until it has ended: its exit code; None if it has not in `timeout` seconds."""
        self._until(lambda: self.ended is not None, timeout)
        return self.ended

    def _until(self, true: Callable[[], bool], timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while not true():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return True

    def _hear_beginning(self, stdout: IO[str]) -> None:
        with stdout:
            for line in stdout:
                try:
                    document = json.loads(line)
                except ValueError:
                    continue  # a library that prints
                if isinstance(document, dict) and "type" in document:
                    if document["type"] in ("start", "resume"):
                        self.run = Path(document["run"])
                    self.begun = document
                    return

    def _hear_telling(self, stderr: IO[str]) -> None:
        with stderr:
            for line in stderr:
                phase = _phase_of(line)
                if phase is None:
                    self._said.append(line.rstrip("\n").removeprefix("workbench: "))
                else:
                    self._phase = phase


def _phase_of(line: str) -> str | None:
    """What a phase's line says, as a person reads it; None for any other line."""
    if not line.startswith("{"):
        return None
    try:
        told = json.loads(line)
        percent = told["percent"]
        return str(told["phase"]) if percent is None else f"{told['phase']} {percent}%"
    except (ValueError, KeyError, TypeError):
        return None


def isolated(cwd: Path | None) -> list[str]:
    """Python's own flag that keeps a random.py in the working directory from being imported; not in a checkout."""
    here = Path(workbench.__file__).parent.parent
    return [] if here == Path(cwd or ".").resolve() else ["-P"]
