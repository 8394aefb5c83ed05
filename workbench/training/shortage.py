"""What a run says when memory ran out: what was tried, what there was, and what would fit.

The same tokens a step by a smaller B and a larger accum, chosen by the estimate of `workbench.plan.memory`: it counts
what a step holds, without what Python and torch hold for themselves. So the room for it is what may be had now, once
the step's tensors are let go, and what the weights and the optimizer's state take already.
"""

import contextlib
import ctypes
import gc
import re
import resource
import traceback
from pathlib import Path
from typing import Any

import psutil
import torch

from workbench.errors import WorkbenchError, out_of_memory
from workbench.plan import memory
from workbench.plan.arithmetic import smallest_B, tokens_per_step_of
from workbench.plan.parameters import total
from workbench.preset import Preset, apply
from workbench.training import advice, heap, history
from workbench.training.device import Resolved
from workbench.training.optimizers import Optimizer

__all__ = ["beyond", "heap_for", "in_all", "out_of_memory", "released", "told", "too_large"]

_MIB = 2**20
_SHARE, _SPARE = 0.9, 16 * _MIB
"""Of the room that there is: what may be planned with. Heaps have holes, and each attempt has others."""
_CERTAIN = 1.1
"""Times the memory that there is: more than that is estimated for no run that would have fitted."""
_AMPLE, _LATER = 2, 128 * _MIB
"""Times what a run needs, and what Python and torch take between its start and its first steps: with that much room a
heap may have holes. Measured were holes of 0.6 times the need, and 90 MiB."""
_PIECE = _MIB
"""Bytes that are asked for at once, to find out how many may be had."""


def told(
    run: Path,
    preset: Preset,
    resolved: Resolved,
    *,
    vocab: int,
    parameters: int,
    phase: str,
    step: int,
    held: int,
    error: BaseException,
) -> tuple[str, dict[str, Any]]:
    """The reason, which ends with what to do, and the fields of the `end` event.

    `held` is the memory in bytes that weights and optimizer hold still; `phase` and `step` are those of the end.
    """
    b = preset.batch
    need = _need(preset, vocab, resolved)
    room, limit = _room(resolved, held, need)
    and_more = " and more" if room >= need else ""
    words = [
        f"out of memory {_doing(phase, step)}: B = {b.B}, T = {b.T}, accum = {b.accum}, {parameters:,} parameters"
        f"{_asked(error)}",
        f"its largest moment needs about {_size(need)}; of {limit} it had about {_size(room)}{and_more}",
    ]
    found = _fitting(preset, vocab, resolved, min(room, need))
    if found is None:
        words.append(_otherwise(preset, phase, vocab, resolved))
        return "; ".join(words), {}
    changes: dict[str, Any] = {"batch.B": found.batch.B, "batch.accum": found.batch.accum}
    if _T_of_a_resume(run, b.T) != b.T:  # the edit of T is dropped; what fits was counted with it
        changes["batch.T"] = b.T
    why = (
        f"about {_size(_need(found, vocab, resolved))}, and the same {tokens_per_step_of(preset):,} "
        f"{'targets' if preset.data.layout == 'windows' else 'tokens'} a step"
    )
    words.append(
        f"B = {found.batch.B} with accum = {found.batch.accum} would fit: {why}: try `{advice.resume(run, changes)}`"
    )
    return "; ".join(words), {"offer": advice.offer(changes, why)}


def _T_of_a_resume(run: Path, T: int) -> int:
    try:
        return history.from_run(run, state="out-of-memory", extra={}).preset.batch.T
    except (MemoryError, RuntimeError, OSError, WorkbenchError):  # no room even for that: as it was
        return T


def too_large(error: BaseException) -> str:
    """The same before there is a model, or a run."""
    return (
        f"the model does not fit into memory{_asked(error)}; a smaller model.width, fewer model.layers or a smaller "
        "batch.T needs less: `workbench plan` tells how much, item by item"
    )


def beyond(preset: Preset, vocab: int, resolved: Resolved) -> str:
    """Why a run cannot fit whatever else goes on here, with what to do; "" where it may.

    A CPU's memory is promised before it is there: no allocation would be refused, and the kernel would end the process
    (or another one) in the middle of a step.
    """
    there = in_all()
    moments = memory.moments(preset, vocab, precision=resolved.precision, attention=resolved.attention)
    evals = preset.eval.every and not 0 < preset.eval.tokens < memory.EVALUATED
    need = max(total(moment.items) for moment in moments if evals or moment.name != "evaluation")
    if resolved.torch_device.type != "cpu" or need <= there * _CERTAIN:
        return ""
    b = preset.batch
    words = f"B = {b.B}, T = {b.T}, accum = {b.accum} need about {_size(need)} with this model; this computer has"
    found = _fitting(preset, vocab, resolved, there)
    if found is None:
        return f"{words} {_size(there)}; {_otherwise(preset, '', vocab, resolved)}"
    return f"{words} {_size(there)}; B = {found.batch.B} with accum = {found.batch.accum} would fit"


def released(error: BaseException, optimizer: Optimizer, resolved: Resolved) -> int:
    """Let go of what the failed step held. Returns the bytes that weights and optimizer state hold still."""
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen = seen.__context__
    optimizer.zero_grad()
    gc.collect()
    if resolved.torch_device.type == "cuda":
        torch.cuda.empty_cache()
    with contextlib.suppress(AttributeError, OSError):  # glibc only
        ctypes.CDLL(None).malloc_trim(0)
    return sum(t.numel() * t.element_size() for t in [*optimizer.parameters, *optimizer.state().values()])


def heap_for(preset: Preset, vocab: int, resolved: Resolved) -> None:
    """Lay out the C heap: for speed where there is room for its holes, else so that it has few."""
    ample = _AMPLE * _need(preset, vocab, resolved) + _LATER
    short = ample > in_all() or (_limits() and _to_be_had(ample) < ample)
    if short and resolved.torch_device.type == "cpu":
        heap.give_back()
    else:
        heap.keep()


def in_all() -> int:
    """Bytes of memory that this process may ever have: the computer's, or what its container or job was given."""
    limits = [psutil.virtual_memory().total]
    with contextlib.suppress(OSError, ValueError, IndexError):
        own = Path("/proc/self/cgroup").read_text().split("0::", 1)[1].splitlines()[0]
        place = Path("/sys/fs/cgroup") / own.lstrip("/")
        for folder in (place, *place.parents):
            if (folder / "memory.max").exists() and (text := (folder / "memory.max").read_text().strip()) != "max":
                limits.append(int(text))
    return min(limits)


def _fitting(preset: Preset, vocab: int, resolved: Resolved, room: int) -> Preset | None:
    """The preset with the largest B under its own that fits, and as many rows a step; None if none does."""
    b = preset.batch
    rows, least = b.B * b.accum, smallest_B(preset)
    for B in range(b.B - 1, least - 1, -1):
        if rows % B == 0:
            smaller = apply(preset, {"batch.B": B, "batch.accum": rows // B}, source="what would fit")
            if _need(smaller, vocab, resolved) <= room * _SHARE - _SPARE:
                return smaller
    return None


def _need(preset: Preset, vocab: int, resolved: Resolved) -> int:
    return total(memory.estimate(preset, vocab, precision=resolved.precision, attention=resolved.attention))


def _otherwise(preset: Preset, phase: str, vocab: int, resolved: Resolved) -> str:
    less = "a smaller model.width, fewer model.layers or a smaller batch.T needs less, in a new run"
    if preset.optimizer.kind != "sgd":
        less += "; so does optimizer.kind = sgd, which keeps no second moment"
    if phase == "evaluating":
        return f"an eval takes 4,096 positions at once, whatever B is: {less}"
    if phase == "sampling":
        return f"a sample takes one row, whatever B is: {less}"
    if phase == "saving":
        return f"a checkpoint copies weights and optimizer state, whatever B is: {less}"
    least = smallest_B(preset)
    if least >= preset.batch.B:
        return f"B is {preset.batch.B} already: {less}"
    smallest = apply(preset, {"batch.B": least, "batch.accum": preset.batch.B * preset.batch.accum // least})
    return f"no smaller B would fit, as B = {least} still needs about {_size(_need(smallest, vocab, resolved))}: {less}"


def _doing(phase: str, step: int) -> str:
    if phase in ("evaluating", "sampling", "saving"):
        return f"while {phase} after {step:,} updates"
    return f"in record {step:,}" if phase else "at the start"


def _asked(error: BaseException) -> str:
    """How much was asked for at last, where the error says so."""
    found = re.search(r"tried to allocate (\d+) bytes|Tried to allocate ([\d.]+ [KMG]iB)|allocate ([\d.]+ [KMGT]?i?B)",
                      str(error))  # fmt: skip
    if not found:
        return ""
    return f" ({_size(int(found[1])) if found[1] else found[2] or found[3]} more were refused)"


def _size(count: float) -> str:
    return f"{count / 2**30:,.1f} GiB" if count >= 10 * 2**30 else f"{count / _MIB:,.0f} MiB"


def _room(resolved: Resolved, held: int, most: int) -> tuple[int, str]:
    """Bytes that a run's tensors may take here, `held` among them (where a process has a limit, at most `most` more
    are looked for); and what there is in all, in words."""
    device = resolved.torch_device
    if device.type == "cuda":
        free, card = torch.cuda.mem_get_info(device)
        whole = int(torch.cuda.get_per_process_memory_fraction(device) * card)
        return min(free, whole - torch.cuda.memory_reserved(device)) + held, f"{_size(whole)} on {resolved.device}"
    computer = psutil.virtual_memory()
    room, words = min(computer.available, in_all()), f"{_size(in_all())} in this computer"
    if limits := _limits():
        room, words = (
            min(room, _to_be_had(min(room, most))),
            f"a limit of {_size(min(limits))} for Python, torch and all",
        )
    return room + held, words


def _limits() -> list[int]:
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    return [limit for limit in limits if limit != resource.RLIM_INFINITY]


def _to_be_had(most: int) -> int:
    """Bytes that can be allocated now, up to `most`: tried, since what the heap holds free no figure of the kernel's
    tells. Nothing is written there, so no page is taken."""
    pieces: list[torch.Tensor] = []
    with contextlib.suppress(RuntimeError, MemoryError):
        while len(pieces) * _PIECE < most:
            pieces.append(torch.empty(_PIECE, dtype=torch.uint8))
    return len(pieces) * _PIECE
