"""`workbench set`, `pause`, `stop`: ask a run's worker, wait for its answer, say at which step it acts."""

import time
from pathlib import Path
from typing import Any

from workbench import preset as presets
from workbench.data.visible import visible
from workbench.errors import UsageError, WorkbenchError
from workbench.runs import commands, status
from workbench.runs.events import Event
from workbench.runs.files import dump

DONE = {"pause": "paused", "stop": "stopped and saved", "set": "edited"}


def edit(run: Path, assignments: list[str], *, at: int | None, timeout: float, json: bool) -> int:
    """`workbench set RUN KEY=VALUE …`. Exit code 0 if it was applied (or accepted for a later step), else 1."""
    changes = dict(presets.parse_assignment(text) for text in assignments)
    dead = [key for key in changes if not presets.live_key(key)]
    if dead:
        raise UsageError(f"{', '.join(dead)}: not a live key; it needs a new run (`--set` beside a preset)")
    for key, value in changes.items():
        try:
            dump({key: value})
        except (TypeError, ValueError):  # TOML has infinity and dates, a command has neither
            raise UsageError(f"{key} = {value}: {presets.KEYS[key].expected}") from None
    return ask(run, "set", timeout=timeout, json=json, at=at, changes=changes)


def ask(run: Path, command: str, *, timeout: float, json: bool, at: int | None = None, **arguments: Any) -> int:
    """Send a command and tell its answer. Exit code 0 if it was applied, else 1."""
    state = status.observed(status.read(run))
    if state not in (*status.LIVE, "unresponsive"):
        raise WorkbenchError(f"{run.name} is {state}: nobody is there to {command} it")
    answer = commands.wait(run, commands.send(run, command, at=at, **arguments), timeout=timeout, later=at is not None)
    if command == "stop" and answer["state"] == "applied":
        _until_over(run, timeout)
    if json:
        print(dump(answer))
    else:
        print(_told(run.name, command, answer, arguments.get("changes", {}), at))
    return 0 if answer["state"] == "applied" or (at is not None and answer["state"] == "accepted") else 1


def _told(name: str, command: str, answer: Event, changes: dict[str, Any], at: int | None) -> str:
    if answer["state"] == "applied":
        what = ", ".join(f"{key} = {value}" for key, value in changes.items())
        return visible(f"{name}: {DONE.get(command, 'done')} at step {answer['step']:,}{': ' + what if what else ''}")
    if answer["state"] == "accepted":
        when = "not applied yet" if at is None else f"it acts at step {at:,}"
        return visible(f"{name}: accepted at step {answer['step']:,}, {when}")
    return visible(f"{name}: {answer['state']}: {answer['reason']}")


def _until_over(run: Path, timeout: float) -> None:
    """The answer comes when the checkpoint is saved; the process ends a moment later."""
    deadline = time.monotonic() + timeout
    while status.observed(status.read(run)) in status.LIVE and time.monotonic() < deadline:
        time.sleep(0.02)
