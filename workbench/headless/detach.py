"""A worker of its own session, that outlives the terminal: the same command again, without --detach.

It is started with `--json` on a pipe. What it refuses comes back as its error and exit code; once it has said how
its attempt begins, the pipe is closed, which ends its telling and not its training.
"""

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path


def start(a: Namespace) -> int:
    """Start it, wait until it has begun, tell where. Returns 0, or its own exit code."""
    arguments = [
        sys.executable,
        "-m",
        "workbench",
        *(x for x in sys.argv[1:] if x not in ("--detach", "--json")),
    ]
    worker = subprocess.Popen(
        [*arguments, "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    assert worker.stdout is not None
    assert worker.stderr is not None
    first = worker.stdout.readline()
    if not first:
        sys.stderr.write(worker.stderr.read())
        return worker.wait()
    begun = json.loads(first)
    if begun["type"] not in ("start", "resume"):  # it was over already, and said so
        print(
            first if a.json else f"done already, {begun.get('step', 0):,} steps",
            end="\n" if not a.json else "",
        )
        return worker.wait()
    if a.json:
        sys.stdout.write(first)
    else:
        name = Path(begun["run"]).name
        print(f"{name}: trains on as process {worker.pid}; `workbench stop {name}` ends it")
    return 0
