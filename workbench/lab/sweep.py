"""Runs for every value of a setting, one after another, by real workers: ordinary runs that anyone may attach to."""

import contextlib
import time
from pathlib import Path

from workbench import preset as presets
from workbench.errors import DataError, UsageError, WorkbenchError
from workbench.lab.compare import BROKEN, Comparison, X, compare
from workbench.lab.grid import Cell, Grid
from workbench.lab.trial import Hear, Told, trial
from workbench.preset import Preset
from workbench.runs import FORMAT, status
from workbench.runs.launch import Launch
from workbench.runs.records import StepReader

_EVERY = 0.25
"""Seconds between two looks at the run that trains."""
_PROBED = 3
"""Steps of a probe before seconds are measured."""
_SAVES = 600.0
"""Seconds that a worker that was told to stop has for its step and its checkpoint."""


def seconds_a_step(preset: Preset) -> float:
    """What one step of a preset takes on this machine, measured in a process of its own."""
    request = {"preset": presets.to_document(preset), "limit_bytes": None, "steps": _PROBED, "timed": True}
    found = trial("probe", request)
    return float(preset.batch.accum * found["seconds_micro"] + found["seconds_update"])


def sweep(grid: Grid, folder: Path, hear: Hear, *, x: X | None = None) -> tuple[Comparison | None, Told]:
    """Train every run of the grid. Returns their comparison (None if none made a step) and its object.

    A run that diverges or runs out of memory is a result. An exception (an interrupt among them) stops the worker
    that trains, which saves first. Raises what a worker refuses: nothing of the rest is started.
    """
    runs: list[tuple[Cell, Path | None, Told]] = []
    for number, cell in enumerate(grid.cells):
        told = {
            "format": FORMAT, "type": "run", "run": None, "label": cell.label, "set": cell.set, "seed": cell.seed,
            "state": "starting", "step": 0, "steps": cell.preset.schedule.steps, "number": number + 1,
            "of": len(grid.cells), "loss": None, "reason": "",
        }  # fmt: skip
        hear(told)
        last = train(cell.preset, folder, lambda change, told=told: hear(told | change))  # type: ignore[misc]
        runs.append((cell, Path(last["run"]) if last["run"] else None, last))
        hear(told | last)
    there = {path: cell for cell, path, last in runs if path is not None and (last["step"] or last["state"] in BROKEN)}
    about: Told = {"sweep": grid.to_json()}
    for planned, (_, path, last) in zip(about["sweep"]["runs"], runs, strict=True):
        planned |= {"run": str(path) if path else None, "state": last["state"], "reason": last["reason"]}
    if not there:
        empty: Told = {key: [] for key in ("runs", "groups", "verdicts", "sentences", "differing")}
        return None, {
            "format": FORMAT, "type": "compare", "x": grid.equal, "unit": grid.unit, "at": None, **empty, "figures": {},
            **about,
        }  # fmt: skip
    found = compare(list(there), x or grid.equal, slugs={path: cell.slug for path, cell in there.items()})
    return found, found.to_json() | about


def train(preset: Preset, folder: Path, hear: Hear) -> Told:
    """One run to its end: what changed of run, state, step and loss is told. Returns the last of it."""
    launch = Launch(["--headless", "-", "--runs-dir", str(folder)], stdin=presets.to_toml(preset))
    last: Told = {"run": None, "state": "starting", "step": 0, "loss": None, "reason": "", "phase": ""}
    try:
        while launch.ended is None:
            seen = _seen(launch)
            if seen != last:
                last = seen
                hear(last)
            time.sleep(_EVERY if launch.begun else _EVERY / 5)
    except BaseException:
        launch.cancel()
        launch.wait_for_end(_SAVES)
        with contextlib.suppress(OSError):  # whoever listened may be gone
            hear(_seen(launch))
        raise
    return _ended(launch)


def _seen(launch: Launch) -> Told:
    if launch.run is None:
        return {"run": None, "state": "starting", "step": 0, "loss": None, "reason": "", "phase": launch.phase}
    there = None
    with contextlib.suppress(WorkbenchError):
        there = status.read(launch.run)
    return {
        "run": str(launch.run), "state": status.observed(there) if there else "starting", **_progress(launch.run),
        "reason": there.reason if there else "", "phase": there.phase if there else "",
    }  # fmt: skip


def _progress(run: Path) -> Told:
    reader = StepReader(run)
    done = len(reader)
    last = reader.read(max(done - 1, 0), done)
    loss = float(last["loss"][0]) if len(last) else None
    return {"step": done, "loss": loss if loss is not None and abs(loss) < float("inf") else None}


def _ended(launch: Launch) -> Told:
    """How it ended. Raises what concerns the whole sweep: a refused preset, data that cannot be had, an error."""
    code, seen = launch.ended or 0, _seen(launch)
    why = seen["reason"] or launch.error
    if code == 4 or code == -9:
        return seen | {"state": "out-of-memory", "reason": why or "the system killed it"}
    if code in (1, 2, 5) and seen["state"] not in BROKEN[:2]:
        where = f" ({seen['run']})" if seen["run"] else ""
        kind = {2: UsageError, 5: DataError}.get(code, WorkbenchError)
        raise kind(f"a run could not be trained{where}: {why or f'exit code {code}'}")
    return seen | {"reason": why if code else ""}
