"""Run directories written without a worker, so that every figure in them is known."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench import preset as presets
from workbench.plan.arithmetic import tokens_per_step_of
from workbench.preset import Preset
from workbench.runs import FORMAT, directory
from workbench.runs.events import EventLog, event
from workbench.runs.files import replace_json
from workbench.runs.records import CLIPPED, StepLog
from workbench.runs.status import Status

VOCAB, TRAIN = 27, 12_000


def preset(**changes: Any) -> Preset:
    """The shipped char preset at 100 steps, changed: batch__B=4."""
    base = presets.apply(presets.load("char").preset, {"schedule.steps": 100, "schedule.warmup": 10})
    return presets.apply(base, {key.replace("__", "."): value for key, value in changes.items()})


def made(
    folder: Path,
    preset: Preset,
    losses: Sequence[float],
    *,
    val: dict[int, float | None] | None = None,
    norms: Sequence[float] | None = None,
    seconds: float = 0.5,
    state: str = "done",
    weights: str | None = "w",
    fingerprint: str = "f",
    edits: dict[int, dict[str, Any]] | None = None,
) -> Path:
    """A run with these training losses, and these validation losses by step; train losses are 0.1 lower."""
    path = directory.create(folder, preset.name, presets.to_toml(preset))
    log, steps = EventLog(path), StepLog(path)
    told = {"weights": weights} if weights else {}
    per_step = tokens_per_step_of(preset)
    log.append(
        event("start", 0.0, run=str(path), params=100, vocab=VOCAB, train_tokens=TRAIN, tokens_per_step=per_step,
              steps_per_epoch=TRAIN / per_step, fingerprint=fingerprint, **told)
    )  # fmt: skip
    tokens, now = 0, presets.pin_context(preset)
    for step in range(len(losses) + 1):
        if val and step in val:
            loss = val[step]
            train = None if loss is None else loss - 0.1
            log.append(event("eval", step * seconds, step=step, train_loss=train, val_loss=loss))
        if step == len(losses):
            break
        if edits and step in edits:
            changes = {key: [presets.get(now, key), value] for key, value in edits[step].items()}
            now = presets.apply(now, edits[step])
            base = {"row": 0, "token": 0, "epoch": 0}
            log.append(event("edit", step * seconds, step=step, id=f"e{step}", changes=changes, base=base))
        b, norm = now.batch, norms[step] if norms else 0.5
        tokens += tokens_per_step_of(now)
        flags = CLIPPED if now.optimizer.clip and norm > now.optimizer.clip else 0
        steps.append(step, tokens, 0, losses[step], now.optimizer.lr, norm, seconds, (step + 1) * seconds, b.B, b.T,
                     b.accum, 1, flags)  # fmt: skip
    log.append(event("end", len(losses) * seconds, state=state, step=len(losses)))
    log.close()
    steps.close()
    replace_json(path / "status.json", {"format": FORMAT, **asdict(Status(state=state, step=len(losses)))})
    return path
