"""How fast a preset's step is on this machine, and what would change it: each figure by running it."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import torch

from workbench import preset as presets
from workbench.errors import UsageError, out_of_memory
from workbench.plan import flops
from workbench.plan.arithmetic import smallest_B, tokens_per_step_of
from workbench.plan.bound import Bound, fixed
from workbench.training import device, shortage
from workbench.training.trials.bare import Bare, Tell
from workbench.training.trials.steps import Timed, multiplied

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp64": torch.float64}
_VISITS = 3
"""How often everything that is compared is timed, in turn."""
_OWN, _SMALL, _OTHER, _PEAK = 0.025, 0.02, 0.03, 0.04
"""Shares of the seconds of one visit: of the preset's step, of a size of the line, of another step, of a peak."""


def run(request: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """`preset` (a document), `seconds` of steps to time in all, about.

    `only`: the step alone, by the rule and not by what was tuned, but with these fields of `Resolved`. Its result then
    has what `tune` chooses from besides: `key`, and `choices` of precision, attention and threads.
    """
    bare = Bare.open(request["preset"], tell)
    only, seconds = request.get("only"), float(request["seconds"])
    if only is not None:
        bare = replace(bare, resolved=replace(device.by_rule(bare.preset), **only))
    device.take(bare.resolved)
    if why := shortage.beyond(bare.preset, bare.vocab, bare.resolved):
        raise MemoryError(f"out of memory: {why}")
    shortage.heap_for(bare.preset, bare.vocab, bare.resolved)
    if only is None:
        return _Bench(bare, seconds, tell).all() | {"notes": [] if bare.resolved.tuned else list(bare.notes)}
    tell(type="phase", phase="steps", percent=None)
    own = Timed(bare)
    own.visit(seconds)
    told = {"seconds_per_step": own.seconds, "spread": own.spread, "steps": own.steps}
    told |= {name: getattr(bare.resolved, name) for name in device.TUNED}
    return told | {"key": device.key(bare.preset, bare.resolved), "choices": device.choices(bare.preset)}


class _Bench:
    def __init__(self, bare: Bare, seconds: float, tell: Tell) -> None:
        self._bare, self._seconds, self._tell = bare, seconds, tell
        self._say("steps")
        self._own = Timed(bare)

    def all(self) -> dict[str, Any]:
        """The result. What else may be faster is a question only once the bound is known, and is timed beside it."""
        bare, resolved, b = self._bare, self._bare.resolved, self._bare.preset.batch
        sizes, at = self._line()
        precisions = dict.fromkeys((resolved.precision, *(["fp32"] if resolved.precision == "bf16" else [])))
        before = {precision: self._peak(precision) for precision in precisions}
        others = self._others(self._bound(at, sizes, before[resolved.precision]))
        peaks = {precision: max(rate, self._peak(precision)) for precision, rate in before.items()}
        bound = self._bound(at, sizes, peaks[resolved.precision])
        micro, update = self._own.parts
        return {
            "device": resolved.device, "device_model": resolved.device_model, "threads": resolved.threads,
            "precision": resolved.precision, "attention": resolved.attention if self._gpt else None,
            "compile": resolved.compile, "made": resolved.steps, "tuned": resolved.tuned,
            "torch_version": resolved.torch_version,
            "B": b.B, "T": b.T, "accum": b.accum, "tokens_per_step": tokens_per_step_of(bare.preset),
            "unit": "examples" if bare.windows else "tokens",
            "seconds_per_step": bound.whole, "spread": self._own.spread, "steps": self._own.steps,
            "seconds_micro": micro, "seconds_update": update,
            "seconds_fixed": bound.fixed, "seconds_arithmetic": bound.arithmetic, "seconds_rest": bound.rest,
            "seconds_both": bound.both, "bound_by": bound.by,
            "smallest_B": sizes[0], "seconds_smallest": at[0],
            "flops_per_step": flops.per_step(bare.preset, bare.vocab), "mfu": bound.arithmetic / bound.whole,
            "peak_flops_per_s": peaks[resolved.precision],
            "peak_fp32_flops_per_s": peaks["fp32"] if resolved.precision == "bf16" else None,
            **others,
        }  # fmt: skip

    @property
    def _gpt(self) -> bool:
        return self._bare.preset.model.kind == "gpt"

    def _say(self, what: str) -> None:
        self._tell(type="phase", phase=what, percent=None)

    def _line(self) -> tuple[list[int], list[float]]:
        """Small sizes and the seconds of their steps of one micro-batch, each in turn with the preset's own."""
        least = smallest_B(self._bare.preset)
        sizes = [least, 2 * least, 4 * least]
        return sizes, [self._small(B) for B in sizes]

    def _small(self, B: int) -> float:
        self._say(f"B = {B}")
        timed, began = Timed(_with(self._bare, {"batch.B": B, "batch.accum": 1})), time.perf_counter()
        for visit in range(_VISITS):
            if visit and time.perf_counter() - began > self._seconds:
                break  # long steps
            if not (self._own.steps and self._own.seconds > self._seconds):
                self._own.visit(self._seconds * _OWN)
            timed.visit(self._seconds * _SMALL)
        return timed.seconds

    def _peak(self, precision: str) -> float:
        self._say(f"matrix products in {precision}")
        return multiplied(self._bare.device, _DTYPES[precision], self._seconds * _PEAK)

    def _bound(self, at: list[float], sizes: list[int], peak: float) -> Bound:
        accum, whole = self._bare.preset.batch.accum, self._own.seconds
        _, update = self._own.parts
        alone = fixed(sizes, at)
        whatever = alone if accum == 1 else accum * max(0.0, alone - update) + update
        return Bound(whole, min(whatever, whole), flops.per_step(self._bare.preset, self._bare.vocab) / peak)

    # ------------------------------------------------------------------------------------------ other steps

    def _others(self, bound: Bound) -> dict[str, Any]:
        """What might be faster: the sizes beside this one; then what the bound makes a question."""
        b, resolved = self._bare.preset.batch, self._bare.resolved
        least = smallest_B(self._bare.preset)
        sizes = {
            "half": (b.B // 2, 2 * b.accum) if b.B % 2 == 0 and least <= b.B // 2 else None,
            "double": (2 * b.B, b.accum // 2 if b.accum % 2 == 0 else b.accum),
        }
        told: dict[str, Any] = {}
        for name, size in sizes.items():
            B, accum = size or (None, None)
            told |= {f"{name}_B": B, f"{name}_accum": accum}
            edits = {"batch.B": B, "batch.accum": accum}
            told |= self._other(name, bound, size and partial(_with, self._bare, edits))
        precision = self._question(bound)
        make = precision and partial(_resolved_again, self._bare, precision)
        told |= {"other_precision": precision} | self._other("other_precision", bound, make)
        single = bound.by == "fixed" and resolved.device == "cpu" and resolved.threads > 1
        alone = replace(self._bare, resolved=replace(resolved, threads=1))
        return told | self._other("one_thread", bound, (lambda: alone) if single else None)

    def _question(self, bound: Bound) -> str | None:
        """The other precision, where the bound says that it may be faster."""
        now = self._bare.resolved.precision
        there = device.choices(self._bare.preset, pinned=False)["precision"]
        if now == "fp32" and "bf16" in there and bound.by == "arithmetic":
            return "bf16"
        return "fp32" if now == "bf16" and bound.by != "arithmetic" else None

    def _other(self, name: str, bound: Bound, make: Callable[[], Bare] | str | None) -> dict[str, Any]:
        """Its tokens a second, and by how much it is faster than the preset's step that was visited in turn with it.

        None where there is no such step, it does not fit, or it would take longer than was asked for.
        """
        told: dict[str, Any] = {f"{name}_tokens_per_s": None, f"{name}_gain": None}
        if not callable(make):
            return told
        try:
            bare = make()
            b = bare.preset.batch
            tokens = tokens_per_step_of(bare.preset) / b.accum * min(b.accum, 2)
            predicted = bound.whole * tokens / tokens_per_step_of(self._bare.preset)
            if 2 * _VISITS * predicted > max(self._seconds, 2.0):
                return told
            if shortage.beyond(bare.preset, bare.vocab, bare.resolved):
                return told
            self._say(f"B = {b.B} in {bare.resolved.precision}")
            return {f"{name}_{what}": value for what, value in self._beside(bare).items()}
        except UsageError:
            return told  # the preset's own bound on B
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            return told

    def _beside(self, bare: Bare) -> dict[str, float]:
        other = Timed(bare)
        gains = []
        for _ in range(_VISITS):
            torch.set_num_threads(self._bare.resolved.threads)
            own = self._own.visit(self._seconds * _OTHER)
            torch.set_num_threads(bare.resolved.threads)
            gains.append(other.visit(self._seconds * _OTHER) / own - 1)
        torch.set_num_threads(self._bare.resolved.threads)
        return {"tokens_per_s": tokens_per_step_of(bare.preset) / other.seconds, "gain": median(gains)}


def _with(bare: Bare, edits: dict[str, Any]) -> Bare:
    """The same at another size: what was resolved stays."""
    return replace(bare, preset=presets.apply(bare.preset, edits, source="the benchmark"))


def _resolved_again(bare: Bare, precision: str) -> Bare:
    """The same in another precision, with the attention that the rule takes for it."""
    preset = presets.apply(bare.preset, {"device.precision": precision}, source="the benchmark")
    resolved = replace(device.by_rule(preset), threads=bare.resolved.threads)
    return replace(bare, preset=preset, resolved=resolved)
