"""Where an attempt begins: at step 0, or where an earlier one left a checkpoint; and which edits it has to repeat."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench import preset as presets
from workbench.preset import Preset
from workbench.runs import status
from workbench.runs.events import Event, EventReader, latest, read_events
from workbench.runs.files import read_json
from workbench.training import checkpoints
from workbench.training.checkpoints import Checkpoint
from workbench.training.position import Edit, Position

FORGETS = ("diverged", "out-of-memory")
"""States whose edits past the checkpoint are not made again: one of them may be the cause."""


@dataclass
class Beginning:
    """Everything that an attempt starts from."""

    preset: Preset
    """As it is now, live edits included."""
    started: Preset
    """As the run started: evals keep its T, whatever T is now."""
    attempt: int = 1
    checkpoint: Checkpoint | None = None
    position: Position = field(default_factory=Position)
    edits: list[Edit] = field(default_factory=list)
    """To be made at their steps."""
    dropped: list[Edit] = field(default_factory=list)
    """Made before, past the checkpoint, and not to be made again."""
    records: int = 0
    events_bytes: int = 0
    fingerprint: str | None = None
    """Of the corpus that this run was trained on; None for a new run."""
    resolved: dict[str, Any] | None = None
    differing: dict[str, Any] = field(default_factory=dict)
    """What a resume on another machine accepted as different."""


def preset_of(run: Path) -> Preset:
    """The preset as the run started."""
    return presets.load(str(run / "preset.toml")).preset


def from_run(run: Path, *, state: str, extra: dict[str, Any], forget_edits: bool = False) -> Beginning:
    """The next attempt of a run that ended in `state`, with `extra` as edits at its first step."""
    reader = EventReader(run)
    events = reader.poll()
    checkpoint = checkpoints.newest(run)
    attempts = 1 + sum(e.get("type") == "resume" for e in events + reader.dropped)
    begun = bool(latest(events, "start")) or bool(checkpoint)
    started = preset_of(run)
    beginning = Beginning(started, started, attempt=attempts + 1 if begun else 1, checkpoint=checkpoint)
    beginning.resolved = _recorded(run)
    if beginning.resolved:
        beginning.fingerprint = beginning.resolved.get("corpus", {}).get("fingerprint")
    if checkpoint:
        meta = checkpoint.meta
        live = presets.from_document(meta["settings"], source=str(checkpoint.path / "meta.json"), folder=None)
        longest = presets.pin_context(beginning.preset).model.context  # what the run began with, whatever T is now
        beginning.preset = live.model_copy(update={"model": live.model.model_copy(update={"context": longest})})
        beginning.records, beginning.events_bytes = int(meta["records"]), int(meta["events_bytes"])
        beginning.position = Position.from_json(meta["position"], step=checkpoint.step)
    else:
        beginning.events_bytes = reader.offset_after("start") or 0
    made = [_edit_of(e) for at, e in reader.positions() if at > beginning.events_bytes and e.get("type") == "edit"]
    to_make = _to_make(reader, checkpoint, beginning.events_bytes)
    done = {(edit.step, edit.id) for edit in made}
    ahead = [edit for edit in to_make if (edit.step, edit.id) not in done]
    if state in FORGETS or forget_edits:
        beginning.dropped, again = made, ahead
    else:
        again = sorted(made + ahead, key=lambda edit: edit.step)
    for edit in again:
        kept = {key: value for key, value in edit.changes.items() if key not in extra}
        over = {key: value for key, value in edit.changes.items() if key in extra}
        if kept:
            beginning.edits.append(edit._replace(changes=kept))
        if over:  # what is asked for now holds, and not what was asked for then
            beginning.dropped.append(edit._replace(changes=over))
    if extra:
        beginning.edits.insert(0, Edit(beginning.position.step, extra))
    return beginning


def _to_make(reader: EventReader, checkpoint: Checkpoint | None, events_bytes: int) -> list[Edit]:
    """Edits that the last attempt had still before it where this one begins: a replay's, or an earlier attempt's."""
    begun = [e for at, e in reader.positions() if at > events_bytes and e.get("type") == "resume"]
    if begun:  # it began from this very checkpoint
        told = begun[-1].get("edits_again", [])
    elif checkpoint:
        told = checkpoint.meta.get("edits_to_make", [])
    else:
        told = (latest(reader.poll(), "start") or {}).get("edits_again", [])
    return [Edit(int(e["step"]), dict(e["changes"]), str(e.get("id", ""))) for e in told]


def edits_of(run: Path) -> list[Edit]:
    """Every edit that counts, in order: what a replay has to make again."""
    return [_edit_of(e) for e in read_events(run) if e.get("type") == "edit"]


def answered_ids(run: Path) -> list[str]:
    """Commands that have had their final answer in any attempt."""
    reader = EventReader(run)
    events = reader.poll() + reader.dropped
    return [e["id"] for e in events if e.get("type") == "answer" and e.get("state") != "accepted"]


def state_of(run: Path) -> str:
    return status.observed(status.read(run))


def _edit_of(event: Event) -> Edit:
    return Edit(int(event["step"]), {key: new for key, (_, new) in event["changes"].items()}, str(event.get("id", "")))


def _recorded(run: Path) -> dict[str, Any] | None:
    path = run / "resolved.json"
    return read_json(path) if path.exists() else None
