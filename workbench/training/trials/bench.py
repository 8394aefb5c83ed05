"""How fast a preset's step is on this machine, and what would change it: each figure by running it."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from workbench import preset as presets
from workbench.errors import UsageError, out_of_memory
from workbench.plan import flops
from workbench.plan.arithmetic import smallest_B, tokens_per_step_of
from workbench.plan.bound import Bound, fixed
from workbench.preset import Preset
from workbench.training import device, shortage
from workbench.training.device import Resolved
from workbench.training.trials.bare import Bare, Tell
from workbench.training.trials.steps import Steps, Timing, multiplied

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp64": torch.float64}
_MAIN, _LINE, _OTHER, _PEAK = 0.4, 0.06, 0.1, 0.1
"""Shares of the seconds: of the preset's own step, of each size of the line, of each other step, of a peak."""


def run(request: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """`preset` (a document), `seconds` of steps to time in all, about.

    `only`: the step alone, by the rule and not by what was tuned, but with these fields of `Resolved`. Its result then
    has what `tune` chooses from besides: `key`, and `choices` of precision, attention and threads.
    """
    bare = Bare.open(request["preset"], tell)
    only = request.get("only")
    if only is not None:
        bare = replace(bare, resolved=replace(device.by_rule(bare.preset), **only))
    device.take(bare.resolved)
    if why := shortage.beyond(bare.preset, bare.vocab, bare.resolved):
        raise MemoryError(f"out of memory: {why}")
    bench = _Bench(bare, request["seconds"], tell)
    if only is not None:
        timing = bench.steps("steps", bare, 1.0)
        chosen = {name: getattr(bare.resolved, name) for name in device.TUNED}
        told = {"seconds_per_step": timing.step, "spread": timing.spread, "steps": len(timing.steps), **chosen}
        return told | {"key": device.key(bare.preset, bare.resolved), "choices": device.choices(bare.preset)}
    notes: list[str] = []
    device.resolve(bare.preset, notes.append)
    return bench.all() | {"notes": [] if bare.resolved.tuned else notes}


class _Bench:
    def __init__(self, bare: Bare, seconds: float, tell: Tell) -> None:
        self._bare, self._seconds, self._tell = bare, seconds, tell

    def steps(self, what: str, bare: Bare, share: float) -> Timing:
        self._tell(type="phase", phase=what, percent=None)
        return Steps(bare).time(self._seconds * share)

    def all(self) -> dict[str, Any]:
        bare, resolved, b = self._bare, self._bare.resolved, self._bare.preset.batch
        timing, micro, update = self._main()
        step = timing.step
        sizes, at = self._line()
        alone = fixed(sizes, at)  # of a step of one micro-batch
        whatever = alone if b.accum == 1 else b.accum * max(0.0, alone - update) + update
        peak = self._peak(resolved.precision)
        operations = flops.per_step(bare.preset, bare.vocab)
        bound = Bound(step, min(whatever, step), operations / peak)
        told: dict[str, Any] = {
            "device": resolved.device, "device_model": resolved.device_model, "threads": resolved.threads,
            "precision": resolved.precision, "attention": resolved.attention if self._gpt else None,
            "compile": resolved.compile, "replay": resolved.replay, "tuned": resolved.tuned,
            "torch_version": resolved.torch_version,
            "B": b.B, "T": b.T, "accum": b.accum, "tokens_per_step": tokens_per_step_of(bare.preset),
            "seconds_per_step": step, "spread": timing.spread, "steps": len(timing.steps),
            "seconds_micro": micro, "seconds_update": update,
            "seconds_fixed": bound.fixed, "seconds_arithmetic": bound.arithmetic, "seconds_rest": bound.rest,
            "seconds_both": bound.both, "bound_by": bound.by,
            "smallest_B": sizes[0], "seconds_smallest": at[0],
            "flops_per_step": operations, "peak_flops_per_s": peak, "mfu": bound.arithmetic / step,
            "peak_fp32_flops_per_s": self._peak("fp32") if resolved.precision == "bf16" else None,
        }  # fmt: skip
        return told | self._others(bound)

    @property
    def _gpt(self) -> bool:
        return self._bare.preset.model.kind == "gpt"

    # ------------------------------------------------------------------------------------------ the step

    def _main(self) -> tuple[Timing, float, float]:
        """The preset's step, the seconds of a micro-batch and of the update.

        Many long micro-batches follow one another in the same way: two of them tell what any number would.
        """
        bare, accum = self._bare, self._bare.preset.batch.accum
        timing = self.steps("steps", _with(bare, {"batch.accum": min(accum, 2)}), _MAIN)
        if timing.micro is None:  # one launch: its parts are told by another number of micro-batches
            few = min(accum, 2)
            other = self.steps("micro-batches", _with(bare, {"batch.accum": 3 - few}), _OTHER)
            micro = max(0.0, (timing.step - other.step) / (2 * few - 3))
            update = max(0.0, timing.step - few * micro)
        else:
            assert timing.update is not None
            micro, update = timing.micro, timing.update
        if accum <= 2:
            return timing, micro, update
        if accum * micro + update < self._seconds / 10:
            return self.steps("steps", bare, _MAIN), micro, update
        ratio = (accum * micro + update) / timing.step
        return timing._replace(steps=[ratio * each for each in timing.steps]), micro, update

    def _line(self) -> tuple[list[int], list[float]]:
        """Small sizes and the seconds of their steps."""
        least = smallest_B(self._bare.preset)
        sizes = [least, 2 * least, 4 * least]
        steps = [self.steps(f"B = {B}", _with(self._bare, {"batch.B": B, "batch.accum": 1}), _LINE).step for B in sizes]
        return sizes, steps

    def _peak(self, precision: str) -> float:
        self._tell(type="phase", phase=f"matrix products in {precision}", percent=None)
        return multiplied(self._bare.device, _DTYPES[precision], self._seconds * _PEAK)

    # ------------------------------------------------------------------------------------------ other steps

    def _others(self, bound: Bound) -> dict[str, Any]:
        """Tokens a second of what might be faster: the sizes beside this one; then what the bound makes a question."""
        b, resolved = self._bare.preset.batch, self._bare.resolved
        least = smallest_B(self._bare.preset)
        sizes = {
            "half": (b.B // 2, 2 * b.accum) if b.B % 2 == 0 and least <= b.B // 2 else None,
            "double": (2 * b.B, b.accum // 2 if b.accum % 2 == 0 else b.accum),
        }
        told: dict[str, Any] = {}
        for name, size in sizes.items():
            told |= {f"{name}_B": size and size[0], f"{name}_accum": size and size[1]}
            edits = size and {"batch.B": size[0], "batch.accum": size[1]}
            told[f"{name}_tokens_per_s"] = edits and self._other(bound, partial(_with, self._bare, edits))
        precision = self._question(bound)
        told["other_precision"] = precision
        told["other_precision_tokens_per_s"] = precision and self._other(
            bound, partial(_again, self._bare, {"device.precision": precision})
        )
        told["one_thread_tokens_per_s"] = None
        if bound.by == "fixed" and resolved.device == "cpu" and resolved.threads > 1:
            torch.set_num_threads(1)
            told["one_thread_tokens_per_s"] = self._other(bound, lambda: self._bare)
            torch.set_num_threads(resolved.threads)
        return told

    def _question(self, bound: Bound) -> str | None:
        """The other precision, where the bound says that it may be faster."""
        now = self._bare.resolved.precision
        there = device.choices(self._bare.preset, pinned=False)["precision"]
        if now == "fp32" and "bf16" in there and bound.by == "arithmetic":
            return "bf16"
        return "fp32" if now == "bf16" and bound.by != "arithmetic" else None

    def _other(self, bound: Bound, make: Callable[[], Bare]) -> float | None:
        """Tokens a second of another step; None where it does not fit, or would take longer than was asked for."""
        try:
            bare = make()
            grown = tokens_per_step_of(bare.preset) / tokens_per_step_of(self._bare.preset)
            if 4 * grown * bound.whole > max(self._seconds, 2.0):
                return None
            if shortage.beyond(bare.preset, bare.vocab, bare.resolved):
                return None
            b = bare.preset.batch
            timing = self.steps(f"B = {b.B} in {bare.resolved.precision}", bare, _OTHER)
        except UsageError:
            return None  # a preset's own bound on B
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            return None
        return tokens_per_step_of(bare.preset) / timing.step


def _with(bare: Bare, edits: dict[str, Any]) -> Bare:
    """The same at another size: what was resolved stays."""
    return replace(bare, preset=presets.apply(bare.preset, edits, source="the benchmark"))


def _again(bare: Bare, edits: dict[str, Any]) -> Bare:
    """The same on another part of the machine: the rest is resolved by the rule."""
    preset: Preset = presets.apply(bare.preset, edits, source="the benchmark")
    resolved: Resolved = device.by_rule(preset)
    return replace(bare, preset=preset, resolved=replace(resolved, threads=bare.resolved.threads))
