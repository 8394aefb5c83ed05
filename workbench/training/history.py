"""Where an attempt begins: at step 0, or where an earlier one left a checkpoint; and which edits it has to repeat."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench import preset as presets
from workbench.errors import WorkbenchError
from workbench.preset import Preset
from workbench.runs import FORMAT, settings, status
from workbench.runs.events import Event, EventReader, latest
from workbench.runs.files import read_json
from workbench.training import checkpoints
from workbench.training.checkpoints import Checkpoint
from workbench.training.position import Edit, Position

_EDITS = "edits.json"
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
    made: set[str] = field(default_factory=set)
    """Ids of the commands whose edits count, or are to be made again: whether or not they were answered."""
    notes: list[str] = field(default_factory=list)
    """What the user should know about where it begins."""


def preset_of(run: Path) -> Preset:
    """The preset as the run started."""
    return presets.load(str(run / "preset.toml")).preset


def from_run(
    run: Path, *, state: str, extra: dict[str, Any], forget_edits: bool = False, before: int | None = None
) -> Beginning:
    """The next attempt of a run that ended in `state`, with `extra` as edits at its first step, from a checkpoint
    made before step `before`, if that is given."""
    reader = EventReader(run)
    events = reader.poll()
    checkpoint = checkpoints.newest(run, before=_to_blame(events) if before is None else before)
    attempts = 1 + sum(e.get("type") == "resume" for e in events + reader.dropped)
    begun = bool(latest(events, "start")) or bool(checkpoint)
    started = preset_of(run)
    beginning = Beginning(started, started, attempt=attempts + 1 if begun else 1, checkpoint=checkpoint)
    beginning.resolved = _recorded(run)
    if beginning.resolved:
        beginning.fingerprint = beginning.resolved.get("corpus", {}).get("fingerprint")
    beyond = checkpoints.damaged(run, checkpoint.step if checkpoint else -1)
    where = f"step {checkpoint.step}" if checkpoint else "step 0"
    beginning.notes = [f"{path}: something of it is missing or cut, so the run goes on from {where}" for path in beyond]
    if beyond and not checkpoint:
        raise WorkbenchError(
            f"{beyond[-1]}: something of it is missing or cut, and there is no other checkpoint to go on from; "
            "put it back, or remove it to begin again at step 0"
        )
    if checkpoint:
        meta = checkpoints.whole(checkpoint)
        live = presets.from_document(meta["settings"], source=str(checkpoint.path / "meta.json"), folder=None)
        longest = presets.pin_context(beginning.preset).model.context  # what the run began with, whatever T is now
        beginning.preset = live.model_copy(update={"model": live.model.model_copy(update={"context": longest})})
        beginning.records, beginning.events_bytes = int(meta["records"]), int(meta["events_bytes"])
        beginning.fingerprint = meta["fingerprint"]  # it holds where resolved.json is gone, too
        _check_length(run, reader, beginning.events_bytes)
        beginning.position = Position.from_json(meta["position"], step=checkpoint.step)
    else:
        beginning.events_bytes = reader.offset_after("start") or 0
    made = [_edit_of(e) for at, e in reader.positions() if at > beginning.events_bytes and e.get("type") == "edit"]
    to_make = _to_make(run, reader, checkpoint, beginning.events_bytes)
    done = Counter((edit.step, edit.id) for edit in made)  # those of two resumes have the same: no id
    ahead = []
    for edit in to_make:  # they are made in this order
        if done[edit.step, edit.id]:
            done[edit.step, edit.id] -= 1
        else:
            ahead.append(edit)
    if state in FORGETS or forget_edits or _ended_in(events) in FORGETS:
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
    counted = [e for at, e in reader.positions() if at <= beginning.events_bytes and e.get("type") == "edit"]
    beginning.made = {*(str(e.get("id")) for e in counted), *(edit.id for edit in beginning.edits)} - {""}
    return beginning


def _to_blame(events: list[Event]) -> int | None:
    """The step whose very weights gave a loss that is no number: a checkpoint of it is none to go on from."""
    culprit = (latest(events, "end") or {}).get("culprit")
    return int(culprit["record"]) if isinstance(culprit, dict) and culprit.get("what") == "loss" else None


def _ended_in(events: list[Event]) -> str:
    """The state in which the last attempt ended, if it came to say so. status.json tells it no more where a resume was
    killed, or failed, before its `resume` event took back what is past the checkpoint."""
    return str((latest(events, "end") or {}).get("state", ""))


def of_replay(edits: list[Edit]) -> dict[str, dict[str, Any]]:
    """What a replay's directory is made with: killed before its start event tells its edits, it is still a replay."""
    return {_EDITS: {"format": FORMAT, "edits": [edit.to_json() for edit in edits]}} if edits else {}


def _to_make(run: Path, reader: EventReader, checkpoint: Checkpoint | None, events_bytes: int) -> list[Edit]:
    """Edits that the last attempt had still before it where this one begins: a replay's, or an earlier attempt's."""
    begun = [e for at, e in reader.positions() if at > events_bytes and e.get("type") == "resume"]
    if begun:  # it began from this very checkpoint
        told = begun[-1].get("edits_again", [])
    elif checkpoint:
        told = checkpoint.meta.get("edits_to_make", [])
    elif start := latest(reader.poll(), "start"):
        told = start.get("edits_again", [])
    else:
        told = read_json(run / _EDITS).get("edits", []) if (run / _EDITS).exists() else []
    return [Edit(int(e["step"]), dict(e["changes"]), str(e.get("id", ""))) for e in told]


def _check_length(run: Path, reader: EventReader, events_bytes: int) -> None:
    """Raise WorkbenchError where events that a checkpoint counted on are gone: an edit may be among them."""
    if reader.length < events_bytes:
        raise WorkbenchError(
            f"{run / 'events.jsonl'}: {reader.length:,} bytes, but its checkpoint was made after {events_bytes:,}; "
            "the file was cut by something else, and edits may be gone with it: put it back to go on"
        )


def edits_of(run: Path) -> list[Edit]:
    """Every edit that counts, in order: what a replay has to make again. WorkbenchError where some are gone."""
    reader = EventReader(run)
    events = reader.poll()
    if checkpoint := checkpoints.newest(run):
        _check_length(run, reader, checkpoints.whole(checkpoint)["events_bytes"])
    return [_edit_of(e) for e in events if e.get("type") == "edit"]


def corpus_of(run: Path) -> str | None:
    """The fingerprint of the corpus that a run was trained on: resolved.json's, or a checkpoint's; None before both."""
    told: str | None = (_recorded(run) or {}).get("corpus", {}).get("fingerprint")
    if told is None and (checkpoint := checkpoints.newest(run)):
        told = str(checkpoints.whole(checkpoint)["fingerprint"])
    return told


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
    return settings.resolved(run)
