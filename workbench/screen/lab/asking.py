"""One word of the command line, asked by the screen: a process whose JSON lines are heard by a thread.

The process leads a group of its own, so that the trials that it starts end with it. It is interrupted first, so that
it can stop the runs that it has started (they outlive it otherwise), and killed when it has not gone soon after.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import IO, Any

from workbench.runs.launch import PHASES, isolated

Told = dict[str, Any]

GRACE = 3.0
"""Seconds that an interrupted process has before its group is killed; one that is left behind has LAST."""
LAST = 1.5
_LINES_KEPT = 40


class Asking:
    """`workbench WORDS --json` with a preset on its stdin.

    `hear` gets every JSON object but the phases, `over` is called once, after the last of them. Both are called in a
    thread of its own. OSError if no process can be had.
    """

    def __init__(
        self, words: Sequence[str], preset: str, *, hear: Callable[[Told], object], over: Callable[[], object]
    ) -> None:
        self.words = list(words)
        self.begun = time.monotonic()
        self.phase = "starting Python"
        self.cancelled = False
        self.code: int | None = None
        """Its exit code once it is over."""
        self._hear, self._over = hear, over
        self._said: deque[str] = deque(maxlen=_LINES_KEPT)
        self._timer = threading.Timer(GRACE, self._kill)
        """No daemon: whoever lets go of a process that was cancelled leaves nothing behind either."""
        with tempfile.TemporaryFile() as given:
            given.write(preset.encode("utf-8"))
            given.seek(0)
            self._process = subprocess.Popen(
                [sys.executable, *isolated(None), "-m", "workbench", *words, "--json"],
                stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {PHASES: "1"},
                start_new_session=True, text=True, encoding="utf-8", errors="replace",
            )  # fmt: skip
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        said = threading.Thread(target=self._listen, args=(self._process.stderr, self._say), daemon=True)
        said.start()
        threading.Thread(target=self._go, args=(self._process.stdout, said), name="asking", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def seconds(self) -> float:
        """Since it was asked."""
        return time.monotonic() - self.begun

    @property
    def error(self) -> str:
        """Why it ended without an answer; "" while it has not, or was cancelled. It may hold anything."""
        if self.code in (None, 0) or self.cancelled:
            return ""
        return "\n".join(self._said) or f"it ended with exit code {self.code} and said nothing"

    def cancel(self) -> None:
        """Interrupt it; its group is killed where that is not heard."""
        if self.code is None and not self.cancelled:
            self.cancelled = True
            self._send(signal.SIGINT)
            self._timer.start()

    def close(self) -> None:
        """The screen goes, and nothing may be left behind. Waits LAST seconds at most."""
        if self.code is not None:  # its number may be another's by now
            return
        if self._process.poll() is None:
            self.cancelled = True
            self._send(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(LAST)
        self._send(signal.SIGKILL)

    def _kill(self) -> None:
        if self.code is None:
            self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _go(self, stdout: IO[str], said: threading.Thread) -> None:
        self._listen(stdout, self._line)
        code = self._process.wait()
        if self.cancelled:
            self._send(signal.SIGKILL)  # whoever of its group has not heard
        said.join(1.0)
        self.code = code
        self._timer.cancel()
        self._over()

    def _listen(self, stream: IO[str], each: Callable[[str], None]) -> None:
        with stream:
            for line in stream:
                each(line)

    def _line(self, line: str) -> None:
        told = _object(line)
        if told and told.get("type") == "phase":
            self._at(told)
        elif told:
            self._hear(told)

    def _say(self, line: str) -> None:
        told = _object(line)
        if told and told.get("type") == "phase":  # the text is being made ready
            self._at(told)
        elif line.strip():
            self._said.append(line.rstrip("\n").removeprefix("workbench: "))

    def _at(self, told: Told) -> None:
        percent, phase = told.get("percent"), str(told.get("phase", ""))
        self.phase = phase + (f" {percent}%" if isinstance(percent, int) else "")


def _object(line: str) -> Told | None:
    """A line as the object that it is; None for what a library printed."""
    if not line.startswith("{"):
        return None
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told if isinstance(told, dict) and isinstance(told.get("type"), str) else None
