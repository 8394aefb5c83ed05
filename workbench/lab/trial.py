"""One experiment in a process of its own: started, heard, cancelled. `workbench.training.trials` is its other end."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from workbench.errors import DataError, UsageError, WorkbenchError
from workbench.runs import FORMAT
from workbench.runs.files import dump
from workbench.runs.launch import isolated

Told = dict[str, Any]
Hear = Callable[[Told], None]


class OutOfMemory(WorkbenchError):
    """The trial did not fit. Exit code 4."""

    exit_code = 4


class Crashed(WorkbenchError):
    """A signal ended the trial, and nobody said why. Exit code 1."""


def trial(name: str, request: Told, hear: Hear = lambda told: None) -> Told:
    """Run one trial to its end and return its result. `hear` gets every object that it tells on the way.

    Raises UsageError, DataError and OutOfMemory as the trial does; Crashed where a signal ended it, and WorkbenchError
    for anything else. An exception in `hear`, KeyboardInterrupt among them, ends the trial.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        process = subprocess.Popen(
            [sys.executable, *isolated(None), "-m", "workbench.training.trials", name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True, encoding="utf-8", errors="replace",
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        last: Told = {}
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(dump({"format": FORMAT, **request}) + "\n")
                process.stdin.flush()
            for line in process.stdout:
                with contextlib.suppress(ValueError):  # a library that prints
                    told = json.loads(line)
                    if isinstance(told, dict) and "type" in told:
                        last = told
                        if told["type"] not in ("result", "error"):
                            hear(told)
            process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdin.close()
            process.stdout.close()
        if last.get("type") == "result":
            return last
        said.seek(0)
        raise _error(name, last, process.returncode, said.read())


def _error(name: str, told: Told, code: int, said: str) -> WorkbenchError:
    if told.get("type") == "error":
        kinds = {"usage": UsageError, "data": DataError, "out-of-memory": OutOfMemory}
        return kinds.get(told["kind"], WorkbenchError)(told["message"])
    if code in (-9, 137):  # the kernel's own answer to too much memory
        return OutOfMemory("the system killed it: it ran out of memory")
    why = (said.strip().splitlines() or ["without a word"])[-1]
    return (Crashed if code < 0 else WorkbenchError)(f"{name} ended with exit code {code}: {why}")
