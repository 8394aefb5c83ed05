"""Over many memory limits: does the B that `fit` returns run 200 steps, and does the next size that it names not?

    python tests/benchmarks/fit.py [LIMITS]      # 20 if not given: about eight minutes

Limits go up, so a size that ran under one of them is not run again under a larger one; the largest and the next are.
The 200 steps are whole ones, with every micro-batch, in fresh processes under the same limit.
"""

import sys
import time
from typing import Any

from workbench import preset as presets
from workbench.lab import fit
from workbench.lab.fit import Wanted, request
from workbench.lab.sizes import written
from workbench.lab.trial import OutOfMemory, trial

SETS = ["B=32", "T=32", "accum=2", "model.layers=2", "schedule.steps=200"]
"""Over `char`: small, so that 200 steps are seconds."""
STEPS = 200
LOWEST, HIGHEST = 4, 120
"""The limits lie between what these B hold."""


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    preset = presets.load("char", sets=SETS).preset
    peaks = [trial("probe", request(preset, {"batch.B": B}, limit=None, steps=3))["memory_bytes"]
             for B in (LOWEST, HIGHEST)]  # fmt: skip
    low, high = 1.02 * peaks[0], peaks[1]
    fit.trial = _remembering()  # type: ignore[attr-defined]
    print("| limit | largest B | accum | memory | 200 steps | next B | 200 steps | sizes run | s |")
    print("|---|---|---|---|---|---|---|---|---|")
    kept = 0
    for number in range(count):
        limit = int(low * (high / low) ** (number / max(1, count - 1)))
        began, heard = time.perf_counter(), []
        told = fit.fit(Wanted(preset, limit=limit), lambda o, heard=heard: heard.append(o["type"]))  # type: ignore[misc]
        largest, following = told["largest"], told["next"]
        seconds = time.perf_counter() - began
        fits = _runs(preset, largest["B"], largest["accum"], limit)
        does_not = _runs(preset, following, fit.accum_for(64, following), limit)
        kept += fits == "run" and does_not != "run"
        print(
            f"| {written(limit)} | {largest['B']} | {largest['accum']} | {written(largest['memory_bytes'])} | {fits} "
            f"| {following} | {does_not} | {heard.count('probe')} | {seconds:.0f} |",
            flush=True,
        )
    print(f"\n{kept} of {count} limits: the largest runs {STEPS} steps, the next does not")


def _runs(preset: presets.Preset, B: int, accum: int, limit: int) -> str:
    edits = {"batch.B": B, "batch.accum": accum}
    try:
        fit.probe(request(preset, edits, limit=limit, steps=STEPS), lambda told: None)
    except OutOfMemory:
        return "out of memory"
    return "run"


def _remembering() -> Any:
    """`trial`, but what ran under a smaller limit is not run again under a larger one."""
    known: dict[tuple[int, int], dict[str, Any]] = {}

    def ask(name: str, asked: dict[str, Any], hear: Any = lambda told: None) -> dict[str, Any]:
        key = (asked["preset"]["batch"]["B"], asked["preset"]["batch"]["accum"])
        if asked.get("margin") and key in known:
            return known[key]
        told = trial(name, asked, hear)
        if asked.get("margin") and not told["close"]:
            known[key] = told
        return told

    return ask


if __name__ == "__main__":
    main()
