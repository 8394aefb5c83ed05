"""`workbench runs`: what ran and what runs."""

from typing import Any

from workbench.data.visible import visible
from workbench.errors import WorkbenchError
from workbench.runs import FORMAT, directory
from workbench.runs.directory import Listed
from workbench.runs.events import latest, read_events
from workbench.runs.files import dump
from workbench.runs.records import StepReader
from workbench.runs.status import ENDED


def tell(folder: str | None, *, json: bool) -> int:
    """A table, the newest last; with `json` one object a run and a line."""
    where = directory.runs_folder(folder)
    rows = [_about(run) for run in directory.listed(where)]
    if json:
        for row in rows:
            print(dump(row))
        return 0
    if not rows:
        print(f"no runs in {visible(str(where))}")
        return 0
    width = max(len(row["run"]) for row in rows)
    print(f"{'run':<{width}}  {'state':<13}  {'step':>17}  {'loss':>8}  {'val loss':>8}")
    for row in rows:
        steps = "–" if row["step"] is None else f"{row['step']:,}/{row['steps'] or 0:,}"
        losses = ("–" if row[key] is None else f"{row[key]:.4f}" for key in ("loss", "val_loss"))
        loss, val = losses
        older = "" if row["val_step"] in (None, row["step"]) else f" at {row['val_step']:,}"
        print(f"{visible(row['run']):<{width}}  {row['state']:<13}  {steps:>17}  {loss:>8}  {val:>8}{older}")
    return 0


def _about(listed: Listed) -> dict[str, Any]:
    path, state, status = listed
    loss = val_loss = val_step = None
    step = status.step if status else None
    try:
        reader = StepReader(path)
        if state not in ENDED:
            step = max(step or 0, len(reader))  # the file is ahead of the heartbeat
        last = reader.read(begin=max(0, len(reader) - 1))
        if len(last) and abs(value := float(last["loss"][0])) < float("inf"):
            loss = value
        evaluated = latest(read_events(path), "eval")
        if evaluated and evaluated["val_loss"] is not None:  # without a validation split it is None
            val_loss, val_step = evaluated["val_loss"], evaluated["step"]
    except (WorkbenchError, OSError):
        state = "unreadable"
    return {
        "format": FORMAT,
        "run": path.name,
        "path": str(path),
        "state": state,
        "phase": status.phase if status else "",
        "step": step,
        "steps": status.steps if status else None,
        "loss": loss,
        "val_loss": val_loss,
        "val_step": val_step,
        "pid": status.pid if status else None,
        "host": status.host if status else None,
        "reason": status.reason if status else "",
    }
