"""Three ways to read the same tokens under one memory limit: all at once, small steps, small steps accumulated."""

from math import sqrt

from workbench.data.corpus import open_corpus
from workbench.data.rows import Rows
from workbench.data.scan import Progress
from workbench.errors import UsageError
from workbench.lab.fit import probe, request, why, within
from workbench.lab.sizes import written
from workbench.lab.trial import Hear, OutOfMemory, Told, trial
from workbench.plan import arithmetic
from workbench.preset import Preset

TOKENS = 32_768
"""Targets of a step if nobody says otherwise: T = 256 and B = 128, as in the texts that this is from."""
ACCUM = 16
"""Micro-batches of the third scenario: each holds a sixteenth of the step."""
SPREAD_OF = 16
"""Steps whose losses are compared: what they spread is then known to about a fifth."""


def scenarios(
    preset: Preset, *, limit: int | None, tokens: int | None, hear: Hear, progress: Progress = lambda what, share: None
) -> Told:
    """Run A, B and C under `limit` bytes, or under a limit between what A and B need, which is measured first.

    Returns the `scenarios` object. Raises UsageError where `tokens` are no whole rows, or too few to be split.
    A scenario that does not fit is told as such, B and C too where the limit that was given is too small for them.
    """
    unit = arithmetic.unit(preset.data.tokenizer, preset.data.layout)
    rows, small, accum = _split(preset, tokens or TOKENS, unit)
    Rows.of(preset, tokens=open_corpus(preset.data, progress=progress).splits["train"].n)
    figures: dict[str, float] = {}
    if limit is None:
        limit = _between(preset, rows, small, hear, figures)
    told = []
    for name, B, times in (("A", rows, 1), ("B", small, 1), ("C", small, accum)):
        what = f"{name}: B = {B:,}, accum = {times:,}"
        hear({"type": "phase", "phase": what, "percent": None})
        told.append(_run(preset, name, B, times, limit, _phases(what, hear), unit))
        hear(told[-1])
    figures |= _figures(told, limit)
    return {
        "type": "scenarios",
        "limit_bytes": limit,
        "scenarios": told,
        "sentences": _sentences(told, limit, figures, unit),
        "figures": figures,
    }


def _split(preset: Preset, tokens: int, unit: str) -> tuple[int, int, int]:
    """(rows of a step, rows of a micro-batch, micro-batches)."""
    per_row = 1 if preset.data.layout == "windows" else preset.batch.T
    rows = tokens // per_row
    if tokens % per_row or rows < 2:
        raise UsageError(
            f"--tokens {tokens:,}: expected at least two whole rows of T = {per_row:,} {unit}, such as {16 * per_row:,}"
        )
    accum = max(d for d in range(1, min(ACCUM, rows) + 1) if rows % d == 0)
    if accum == 1:
        raise UsageError(f"--tokens {tokens:,}: {rows:,} rows cannot be split evenly; {16 * per_row:,} can")
    return rows, rows // accum, accum


def _between(preset: Preset, rows: int, small: int, hear: Hear, figures: dict[str, float]) -> int:
    """Half way from what a small micro-batch holds to what all rows would, by a line through two that are run."""
    peaks = []
    for B in (small, 2 * small):
        what = f"choosing a limit: B = {B:,}"
        hear({"type": "phase", "phase": what, "percent": None})
        edits = {"batch.B": B, "batch.accum": 1}
        peaks.append(trial("probe", request(preset, edits, limit=None, steps=2), _phases(what, hear))["memory_bytes"])
    expected = peaks[0] + (peaks[1] - peaks[0]) * (rows - small) // small
    figures |= {"expected_A_bytes": expected}
    return int(peaks[0] + expected) // 2


def _run(preset: Preset, name: str, B: int, accum: int, limit: int, hear: Hear, unit: str) -> Told:
    edits = {"batch.B": B, "batch.accum": accum}
    per_step = arithmetic.tokens_per_step(B=B, T=preset.batch.T, accum=accum, layout=preset.data.layout)
    told: Told = {
        "type": "scenario", "name": name, "B": B, "T": preset.batch.T, "accum": accum, "tokens_per_step": per_step,
        "state": "out-of-memory", "memory_bytes": None, "loss_spread": None, "reason": None,
    }  # fmt: skip
    size = f"B = {B:,}" + (f", accum = {accum:,}" if accum > 1 else "")
    asked = request(preset, edits, limit=limit, steps=2, spread=SPREAD_OF)
    try:
        result = probe(asked, hear)
    except OutOfMemory as error:
        return told | {
            "reason": why(error),
            "sentence": f"{size}: out of memory; {per_step:,} {unit} a step do not fit in {written(limit)}.",
        }
    memory, spread = result["memory_bytes"], result["loss_spread"]
    sentence = (
        f"{size}: {per_step:,} {unit} a step in {written(memory)}; at the same weights "
        f"{SPREAD_OF} such steps' losses spread by {spread:.4f} nats."
    )
    return told | {"state": "done", "memory_bytes": memory, "loss_spread": spread, "sentence": sentence}


def _phases(what: str, hear: Hear) -> Hear:
    return within(what, lambda told: hear(told) if told["type"] == "phase" else None)


def _figures(told: list[Told], limit: int) -> dict[str, float]:
    figures: dict[str, float] = {"limit_bytes": limit, "out_of_memory": sum(t["state"] != "done" for t in told)}
    for t in told:
        values = {"B": t["B"], "accum": t["accum"], "memory_bytes": t["memory_bytes"], "loss_spread": t["loss_spread"]}
        figures |= {f"{t['name']}_{key}": value for key, value in values.items() if value is not None}
    if "B_memory_bytes" in figures and "C_memory_bytes" in figures:
        figures["C_over_B_memory"] = figures["C_memory_bytes"] / figures["B_memory_bytes"]
        figures["B_over_C_spread"] = figures["B_loss_spread"] / figures["C_loss_spread"]
    return figures


def _sentences(told: list[Told], limit: int, figures: dict[str, float], unit: str) -> list[str]:
    A, B, C = told
    said = [f"All three ran under one limit of {written(limit)}."]
    if A["state"] == "done":
        said.append(
            f"A fits as well: with this much memory nobody needs to accumulate {A['tokens_per_step']:,} {unit}."
        )
    if "C_over_B_memory" not in figures:
        return [*said, f"{'B' if B['state'] != 'done' else 'C'} does not fit: the limit is too small to show more."]
    more = figures["C_over_B_memory"] - 1
    how = f"{abs(more):.1%} {'more' if more >= 0 else 'less'}"
    said.append(
        f"C reads the {C['tokens_per_step']:,} {unit} of A in B's memory, {how}: "
        "micro-batches follow one another in the same place, and only the gradients stay."
    )
    said.append(
        f"B's steps are {figures['B_over_C_spread']:.1f} times as noisy as C's; "
        f"a mean over {C['accum']} times as many makes √{C['accum']} = {sqrt(C['accum']):.1f} of it."
    )
    return said
