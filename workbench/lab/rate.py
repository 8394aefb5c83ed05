"""Tokens a second as they were measured: by the newest run here that trained the same shapes."""

import socket
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workbench import preset as presets
from workbench.errors import WorkbenchError
from workbench.preset import Preset
from workbench.runs import directory, settings
from workbench.runs.files import read_json
from workbench.runs.records import StepReader

_RECORDS = 100
"""Of a run's last ones: their median is no matter of one slow step, nor of the first ones' warming up."""
_RUNS = 200
"""The newest that are looked at; each costs a millisecond or two."""


@dataclass(frozen=True)
class Rate:
    """The median of a run's last steps: targets a second of one device, and the B that it ran with."""

    tokens_per_s: float
    run: str
    B: int
    device: str


def measured(preset: Preset, folder: Path, *, vocab: int | None = None) -> Rate | None:
    """The rate of the newest run in `folder`, of this host, with the model, T, tokenizer and layout of `preset`.

    Its device and precision are those that `preset` names; auto takes any. A run with the same B is preferred to a
    newer one with another. `vocab`, where it is known, has to be the run's too. None where there is no such run.
    """
    host, found = socket.gethostname(), None
    for listed in reversed(directory.listed(folder)[-_RUNS:]):
        if listed.status is None or listed.status.host != host:
            continue
        try:
            rate = _of(listed.path, preset, vocab)
        except (WorkbenchError, OSError, ValueError):  # a damaged run measures nothing
            continue
        if rate and rate.B == preset.batch.B:
            return rate
        found = found or rate
    return found


def _of(run: Path, preset: Preset, vocab: int | None) -> Rate | None:
    if _shape(settings.started(run)) != _shape(preset):
        return None
    resolved = read_json(run / "resolved.json")
    device, precision = str(resolved.get("device")), resolved.get("precision")
    named = preset.device
    if named.name != "auto" and not device.startswith(named.name):
        return None
    if named.precision not in ("auto", precision):
        return None
    if vocab and vocab != resolved.get("corpus", {}).get("vocab"):
        return None
    reader = StepReader(run)
    last = reader.read(begin=max(0, len(reader) - _RECORDS))
    last = last[(last["T"] == preset.batch.T) & (last["seconds"] > 0)]
    if not len(last):
        return None
    last = last[last["B"] == last["B"][-1]]
    targets = last["B"].astype(np.float64) * last["accum"]
    if preset.data.layout != "windows":
        targets *= preset.batch.T
    return Rate(float(np.median(targets / last["seconds"])), run.name, int(last["B"][-1]), device)


def _shape(preset: Preset) -> object:
    """What the work of one target depends on, the size of the vocabulary aside."""
    return presets.pin_context(preset).model, preset.data.tokenizer, preset.data.layout
