"""How fast a preset trains on this machine, what bounds its step, and what would be faster: nothing that was not run.

The step, its parts and the alternatives are timed in one process, the memory is measured in another: a meter slows
what it counts.
"""

import contextlib
import math
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
    if (other := told["other_precision_tokens_per_s"]) is not None:
        yield _against(told, told["other_precision"], other, f"--set device.precision={told['other_precision']}")
    if (other := told["one_thread_tokens_per_s"]) is not None:
        yield _against(told, "one thread", other, "--set device.threads=1")


_BOUND = {
    "fixed": "what it costs whatever B is",
    "arithmetic": "arithmetic",
    "rest": "memory traffic and kernels that do not multiply",
}


def _sizes(told: Told) -> Iterator[str]:
    """The sizes beside this one: the faster first."""
    there = [name for name in ("half", "double") if told[f"{name}_tokens_per_s"] is not None]
    for name in sorted(there, key=lambda name: -float(told[f"{name}_tokens_per_s"])):
        B, accum, speed = (told[f"{name}_{what}"] for what in ("B", "accum", "tokens_per_s"))
        same = B * accum == told["B"] * told["accum"]
        what = f"B = {B:,}" + (f" with accum = {accum:,}" if accum != told["accum"] else "")
        sets = f"--set B={B}" + (f" --set accum={accum}" if accum != told["accum"] else "")
        yield _against(told, what, speed, sets, "the same step" if same else "another step: lr may go with it")


def _against(told: Told, what: str, speed: float, sets: str, also: str = "") -> str:
    gain = speed / told["tokens_per_s"] - 1
    figure = f"Measured, {what} makes {rate(speed)} tokens/s, {gain:+.0%}"
    if gain < WORTH:
        return f"{figure}."
    if gain < 2 * told["spread"] / math.sqrt(told["steps"]):  # about two standard errors of two medians' difference
        return f"{figure}, which is no more than steps differ here."
    return f"{figure}: {sets}{f' ({also})' if also else ''}."


def rate(value: float) -> str:
    """Three digits that count."""
    if value >= 1000:
        digits = len(str(int(value))) - 3
        return f"{round(value / 10**digits) * 10**digits:,}"
    return f"{value:.3g}"
