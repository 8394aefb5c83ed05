"""Precision, attention and threads for a preset's shape: each in a process of its own, the fastest kept.

What the rule chooses stays unless something else is clearly faster, in two processes out of two.
"""

import itertools
from typing import Any

from workbench import preset as presets
from workbench.data import tuned
from workbench.lab.bench import WORTH
from workbench.lab.trial import Hear, Told, trial
from workbench.plan.arithmetic import tokens_per_step_of
from workbench.preset import Preset

FIELDS = ("precision", "attention", "threads")


def tune(preset: Preset, hear: Hear, *, seconds: float) -> Told:
    """Time every choice that there is for `seconds` of steps each; keep the fastest. `hear` gets each, and phases.

    Returns the `tune` object. Raises as a run would; DataError where the cache cannot be written.
    """
    timed = presets.apply(preset, {"batch.accum": min(preset.batch.accum, 2)}, source="the benchmark")
    first = _timed(timed, {}, hear, seconds)
    ruled = {name: first[name] for name in FIELDS}
    tried = {_name(ruled): first}
    hear(_row(first))
    for values in itertools.product(*(first["choices"][name] for name in FIELDS)):
        fields = dict(zip(FIELDS, values, strict=True))
        if _name(fields) not in tried:
            tried[_name(fields)] = _timed(timed, fields, hear, seconds)
            hear(_row(tried[_name(fields)]))
    fastest = min(tried.values(), key=lambda row: float(row["seconds_per_step"]))
    if fastest is not first:
        for row in (first, fastest):  # again, in other processes: noise would have to come twice
            again = _timed(timed, {name: row[name] for name in FIELDS}, hear, seconds)
            row["seconds_per_step"] = min(row["seconds_per_step"], again["seconds_per_step"])
            row["tokens_per_s"] = tokens_per_step_of(timed) / row["seconds_per_step"]
    chosen = fastest if clearly_faster(fastest, first) else first
    choice = tuned.Choice(**{name: chosen[name] for name in FIELDS})
    rows = [_row(row) for row in tried.values()]
    path = tuned.write(first["key"]["machine"], first["key"]["shape"], choice, rows)
    return {
        "type": "tune", "preset": preset.name, **{name: chosen[name] for name in FIELDS},
        "tokens_per_s": chosen["tokens_per_s"], "rule_tokens_per_s": first["tokens_per_s"],
        **{f"rule_{name}": first[name] for name in FIELDS}, "path": str(path), "tried": rows,
    }  # fmt: skip


def clearly_faster(one: Told, other: Told) -> bool:
    """By more than two runs of one choice differ, and than the middle half of the steps lies from its middle."""
    gain = other["seconds_per_step"] / one["seconds_per_step"] - 1
    return bool(gain >= max(WORTH, other["spread"] / 2))


def _timed(preset: Preset, fields: dict[str, Any], hear: Hear, seconds: float) -> Told:
    what = _name(fields) or "by the rule"

    def named(told: Told) -> None:
        hear(told | {"phase": f"{what}: {told['phase']}"} if told["type"] == "phase" else told)

    asked = {"preset": presets.to_document(preset), "seconds": seconds, "only": fields}
    told = trial("bench", asked, named)
    return told | {"tokens_per_s": tokens_per_step_of(preset) / told["seconds_per_step"]}


def _row(told: Told) -> Told:
    names = (*FIELDS, "tokens_per_s", "seconds_per_step", "spread", "steps")
    return {"type": "tried", **{name: told[name] for name in names}}


def _name(fields: dict[str, Any]) -> str:
    return ", ".join(f"{fields[name]}" for name in FIELDS if name in fields)
