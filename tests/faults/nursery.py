"""Workers by the hundred: a process that has torch already, and forks one for every trial.

It reads one JSON object a line, {"document", "runs", "resume", "aim", "delay", "gap", "numbers"}, trains in a child,
and answers {"code", "run"} when that has ended. With an `aim` the child sends itself the signals `numbers`, `gap`
seconds apart, `delay` seconds after its telling of that phase; "start" is its first instant.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SIGNALS = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM}


class Nursery:
    """The end that a test holds."""

    def __init__(self) -> None:
        path = os.pathsep.join((str(Path(__file__).parents[1]), str(Path(__file__).parents[2])))
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            env=os.environ | {"PYTHONPATH": path},
        )  # fmt: skip

    def train(
        self, runs: Path, document: dict[str, Any] | None = None, *, resume: Path | None = None, aim: str = "",
        delay: float = 0.0, gap: float = 0.0, numbers: Sequence[str] = (),
    ) -> int:  # fmt: skip
        """One worker, to its end. Returns its exit code, negative for the signal that killed it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {
            "document": document, "runs": str(runs), "resume": resume and str(resume), "aim": aim, "delay": delay,
            "gap": gap, "numbers": list(numbers),
        }  # fmt: skip
        self._process.stdin.write(json.dumps(asked) + "\n")
        code: int = json.loads(self._process.stdout.readline())
        return code

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        assert self._process.stdout is not None
        self._process.stdout.close()


class Aimed:
    """A narrator that sends its own process signals when a phase is told."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self._asked = asked
        if asked["aim"] == "start":
            self.phase("start")

    def phase(self, phase: str) -> None:
        if phase == self._asked["aim"]:
            self._asked["aim"] = ""
            threading.Thread(target=self._shoot, daemon=True).start()

    def _shoot(self) -> None:
        time.sleep(self._asked["delay"])
        for name in self._asked["numbers"]:
            os.kill(os.getpid(), SIGNALS[name])
            time.sleep(self._asked["gap"])

    def record(self, record: object) -> None: ...

    def event(self, event: object) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


def _child(asked: dict[str, Any]) -> int:
    from workbench import preset as presets
    from workbench.errors import WorkbenchError
    from workbench.runs.signals import Interrupted, Signals
    from workbench.training import worker

    try:
        how: dict[str, Any] = {
            "signals": Signals(), "narrators": [Aimed(asked)], "progress": lambda what, share: None,
            "tell": lambda text: None,
        }  # fmt: skip
        if asked["resume"]:
            return worker.resume(Path(asked["resume"]), {}, **how).exit_code
        preset = presets.from_document(asked["document"], source="test")
        return worker.new(preset, Path(asked["runs"]), **how).exit_code
    except (WorkbenchError, Interrupted) as error:
        return error.exit_code


def main() -> None:
    import workbench.training.worker  # noqa: F401  (what takes seconds, once)

    for line in sys.stdin:
        if not (pid := os.fork()):
            code = 99
            try:
                code = _child(json.loads(line))
            finally:
                os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
