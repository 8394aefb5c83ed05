"""What would mend a run that ended as diverged or out of memory: as its worker offers it, else computed here."""

from typing import Any

from workbench import preset as presets
from workbench.preset import Preset, PresetError
from workbench.runs import settings
from workbench.screen.bench.follow import Followed
from workbench.screen.bench.live import takes
from workbench.screen.knobs.knobs import lr_changes
from workbench.screen.runs.telling import end_of


def offered(run: Followed) -> dict[str, Any]:
    """Live keys and values with which a resume may go on where the run could not; empty where nothing is known."""
    if run.state not in ("diverged", "out-of-memory"):
        return {}
    there = _at_checkpoint(run)
    changes = (end_of(run).get("offer") or {}).get("changes")
    if isinstance(changes, dict) and changes and _fit(there, changes):
        return dict(changes)
    if run.state == "diverged":
        return lr_changes(there, float(f"{there.optimizer.lr / 10:.12g}"))
    B, accum = there.batch.B, there.batch.accum
    return {} if B % 2 else {"batch.B": B // 2, "batch.accum": accum * 2}


def _at_checkpoint(run: Followed) -> Preset:
    """What held at the last checkpoint: the edits past it are dropped after both."""
    saved = run.last("checkpoint")
    step = saved["step"] if saved else 0
    return settings.live((e for e in run.of("edit") if e["step"] <= step), run.preset)


def _fit(there: Preset, changes: dict[str, Any]) -> bool:
    """Whether a resume takes them: an event may say anything."""
    try:
        presets.apply(there, changes)
    except PresetError:
        return False
    return all(takes(there, key, value) for key, value in changes.items())
