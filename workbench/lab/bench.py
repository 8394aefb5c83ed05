"""How fast a preset trains on this machine, what bounds its step, and what would be faster: nothing that was not run.

The step, its parts and the alternatives are timed in one process, the memory is measured in another: a meter slows
what it counts.
"""

import contextlib
from collections.abc import Iterator

from workbench import preset as presets
from workbench.errors import WorkbenchError
from workbench.lab import fit
from workbench.lab.trial import Hear, Told, trial
from workbench.preset import Preset

SECONDS = 5.0
BUSY = 0.25
"""A spread of steps that a machine does not show by itself; left alone it is a few percent."""
WORTH = 0.03
"""The share by which another step must be faster to be told as such: two runs of one differ by as much."""


def bench(preset: Preset, hear: Hear, *, seconds: float = SECONDS) -> Told:
    """The `bench` object: flat, seconds, bytes and operations. `hear` gets the phases.

    Raises as a run of the preset would, before it is under way. `memory_bytes` is None where nobody counts.
    """
    document = presets.to_document(preset)
    result = trial("bench", {"preset": document, "seconds": seconds}, hear)
    told: Told = {"type": "bench", "preset": preset.name} | {k: v for k, v in result.items() if k not in _OF_A_TRIAL}
    told |= {
        "tokens_per_s": told["tokens_per_step"] / told["seconds_per_step"],
        "steps_per_s": 1 / told["seconds_per_step"],
        "memory_bytes": None,
    }
    with contextlib.suppress(WorkbenchError):  # nobody counts here, or there is less room than a meter needs
        asked = fit.request(preset, {"batch.accum": min(preset.batch.accum, 2)}, limit=None, steps=2)
        told["memory_bytes"] = trial("probe", asked, hear)["memory_bytes"]
    told["sentences"] = list(sentences(told))
    return told


_OF_A_TRIAL = ("type", "format")


def sentences(told: Told) -> Iterator[str]:
    """What bounds the step, and each other step that was run, with its figure."""
    if told["spread"] > BUSY:
        yield "Steps are far apart: something else ran here meanwhile, so none of this is sure."
    share = told[f"seconds_{told['bound_by']}"] / told["seconds_per_step"]
    yield f"It is bound by {_BOUND[told['bound_by']]}, {share:.0%} of the step."
    yield from _sizes(told)
    if precision := told["other_precision"]:
        yield from _against(told, "other_precision", precision, f"--set device.precision={precision}")
    yield from _against(told, "one_thread", "one thread", "--set device.threads=1")


_BOUND = {
    "fixed": "what it costs whatever B is",
    "arithmetic": "arithmetic",
    "rest": "memory traffic and kernels that do not multiply",
}


def _sizes(told: Told) -> Iterator[str]:
    """The sizes beside this one: the faster first."""
    for name in sorted(("half", "double"), key=lambda name: -(told[f"{name}_gain"] or 0)):
        B, accum = told[f"{name}_B"], told[f"{name}_accum"]
        if B is None:
            continue
        what, sets = f"B = {B:,}", f"--set B={B}"
        if accum != told["accum"]:
            what, sets = f"{what} with accum = {accum:,}", f"{sets} --set accum={accum}"
        same = B * accum == told["B"] * told["accum"]
        yield from _against(
            told, name, what, sets, " (the same step)" if same else " (another step: lr may go with it)"
        )


def _against(told: Told, name: str, what: str, sets: str, also: str = "") -> Iterator[str]:
    """What another step came to, if it was run, and how to have it, if it is faster."""
    gain, speed = told[f"{name}_gain"], told[f"{name}_tokens_per_s"]
    if speed is None:
        return
    figure = f"Measured, {what} makes {rate(speed)} {told['unit']}/s, {gain:+.0%}"
    yield f"{figure}: {sets}{also}." if gain >= WORTH else f"{figure}."


def rate(value: float) -> str:
    """Three digits that count."""
    if value >= 999.5:
        digits = len(str(round(value))) - 3
        return f"{round(value / 10**digits) * 10**digits:,}"
    return f"{value:.3g}"
