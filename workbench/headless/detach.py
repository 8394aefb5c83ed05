"""`--detach`: the same command again in a worker that outlives the terminal; what it refuses is told here."""

import sys
from argparse import Namespace
from typing import Any

from workbench.data.visible import visible
from workbench.headless.lines import narrate
from workbench.runs.files import dump
from workbench.runs.launch import Launch


def start(a: Namespace) -> int:
    """Start it, wait until it has begun, tell where. Returns 0, or its own exit code."""
    launch = Launch([x for x in sys.argv[1:] if x not in ("--detach", "--json")])
    try:
        launch.wait()
    except KeyboardInterrupt:  # it does not hear a ctrl+c of this terminal
        launch.cancel()
        raise
    begun = launch.begun
    if begun is None:
        narrate(launch.error)
        return launch.ended or 0
    if launch.run:
        name = visible(launch.run.name)
        told, code = f"{name}: trains on as process {launch.pid}{_from(begun)}; `workbench stop {name}` ends it", 0
    else:  # there was nothing to start, and it said so
        told = f"done already, {begun['step']:,} steps" if begun["type"] == "end" else f"goes on at {begun['step']:,}"
        code = launch.wait_for_end() or 0
    print(dump(begun) if a.json else told)
    return code


def _from(begun: dict[str, Any]) -> str:
    """Where a resumed run goes on, and which edits of the lost steps are still to be made again."""
    if begun["type"] != "resume":
        return ""
    edits = [
        f"{edit['step']:,} ({', '.join(edit['changes'])})"
        for edit in begun["edits_again"]
        if edit["step"] > begun["step"]
    ]  # those at it were asked for just now
    again = f", where edits are made again at {visible(', '.join(edits))}" if edits else ""
    return f" from step {begun['step']:,}{again}"
