"""One trial: its request on stdin, its objects on stdout."""

import importlib
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import IO, Any

from workbench.errors import DataError, UsageError, WorkbenchError, out_of_memory
from workbench.runs import FORMAT
from workbench.runs.events import finite
from workbench.runs.files import dump

TRIALS = {
    "probe": "probe",
    "bench": "bench",
    "accum": "accum",
    "gradient": "gradient",
    "last-position": "last_position",
}
"""By the name that asks for it: the module whose `run(request, tell)` returns the result's fields."""
Tell = Callable[..., None]


def main() -> int:
    """Run the trial that the command line names. Returns the exit code."""
    stdin = sys.stdin
    request = json.loads(stdin.readline())
    threading.Thread(target=_leave_with, args=(stdin,), daemon=True).start()
    try:
        tell(type="phase", phase="loading torch", percent=None)
        module = importlib.import_module(f"workbench.training.trials.{TRIALS[sys.argv[1]]}")
        tell(**{"type": "result", **module.run(request, tell)})
    except BaseException as error:  # noqa: BLE001 - whatever it was, whoever asked is told
        return _tell_error(error)
    return 0


def tell(**fields: Any) -> None:
    """One object, at once."""
    sys.stdout.write(dump({"format": FORMAT, **finite(fields)}) + "\n")
    sys.stdout.flush()


def _tell_error(error: BaseException) -> int:
    kind, code, message = "failed", 1, f"{type(error).__name__}: {error}"
    if isinstance(error, WorkbenchError):
        kind = {UsageError: "usage", DataError: "data"}.get(type(error), "failed")
        code, message = error.exit_code, str(error)
    elif out_of_memory(error):
        kind, code, message = "out-of-memory", 4, (str(error).splitlines() or ["no details"])[0]
    else:
        traceback.print_exc(file=sys.stderr)
    tell(type="error", kind=kind, message=message)
    return code


def _leave_with(stdin: IO[str]) -> None:
    """Whoever asked is gone when stdin ends: nobody waits for a result."""
    stdin.read()
    os._exit(143)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # under a limit there may be no memory left to end in good order
