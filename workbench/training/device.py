"""What the preset leaves to the machine, decided once, before step 0, by a fixed rule.

Everything here can change a bit of the result (one thread and two give different sums), so it is never decided
from the machine's load or from whether a screen is there, and it is recorded in resolved.json: resume and replay
take it from there.
"""

import os
import platform
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import psutil
import torch

from workbench import __version__
from workbench.data import tuned
from workbench.errors import UsageError
from workbench.plan import attention
from workbench.plan.parameters import block_matrices
from workbench.preset import ModelTable, Preset
from workbench.training import compiling

MOST_THREADS = 16
"""More gain nothing at the sizes that one trains on a CPU, and spin against each other."""

LARGEST_BY_HAND = 2**17
"""Hidden values of a micro-batch; torch's kernels share larger ones among threads."""

WIDE = 128
"""Width from which on bf16 pays on a CPU: 1.5 times fp32's speed there with 1,024 predictions a micro-batch and more,
0.8 to 1.2 times at 64 (2026-11-21). Not by B, so that runs which differ in B alone have one precision."""

LARGE, MANY = 2**25, 1000
"""Weights of the layers, and steps, from which on compiling pays on a card: it halves GPT-2's step on an A100, says
nanoGPT's author (250 to 135 ms), and takes about a minute. On a CPU it gains nothing. Not measured on a card here."""

Autocast = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Resolved:
    device: str
    device_model: str
    precision: str
    attention: str
    compile: bool
    compile_from: int
    """The first step that is compiled (compiling.py), where any is."""
    steps: str
    """How they are made: `eager` (step.py), `replayed` (replays.py) or `by hand` (by_hand.py)."""
    tuned: bool
    """Precision, attention and threads are those that `workbench bench --tune` found to be the fastest here."""
    threads: int
    python: str
    torch_version: str
    numpy_version: str
    workbench: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def first_compiled(self) -> int | None:
        return self.compile_from if self.compile else None

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.device)

    @property
    def dtype(self) -> torch.dtype:
        """What weights, moments and norms are kept in."""
        return torch.float64 if self.precision == "fp64" else torch.float32

    @property
    def autocast(self) -> Autocast:
        """The context in which the matmuls of a forward pass run."""
        if self.precision == "bf16":
            return partial(torch.autocast, self.torch_device.type, dtype=torch.bfloat16)
        return nullcontext


def resolve(preset: Preset, tell: Callable[[str], None] = lambda text: None) -> Resolved:
    """Turn every `auto` of `[device]` into what this machine does: what was measured to be the fastest, else by rule.

    UsageError where it cannot do what was asked. `tell` hears of a measured choice, in use or not to be used.
    """
    ruled = by_rule(preset)
    facts = key(preset, ruled)
    choice, trouble = tuned.read(facts["machine"], facts["shape"])
    if choice and not _may_be(choice, preset):
        trouble = f"what `workbench bench --tune` kept, {choice.precision}, is no choice here; it was not used"
    if trouble:
        tell(trouble)
    if not choice or trouble:
        return ruled
    chosen = ", ".join((choice.precision, *([f"{choice.attention} attention"] if preset.model.kind == "gpt" else [])))
    tell(f"{chosen}, {choice.threads} thread{'' if choice.threads == 1 else 's'}: measured by `workbench bench --tune`")
    return replace(ruled, tuned=True, **asdict(choice))


def by_rule(preset: Preset) -> Resolved:
    """The same whatever was measured. UsageError where this machine cannot do what was asked."""
    device = _device(preset.device.name)
    kind = device.split(":")[0]
    precision = preset.device.precision
    if precision == "auto":
        precision = "bf16" if _bf16_pays(kind, preset.model) else "fp32"
    if precision == "fp64" and kind == "mps":
        raise UsageError("device.precision = 'fp64': mps has no 64-bit floats; use device.name = 'cpu'")
    return Resolved(
        device=device,
        device_model=_model_of(device),
        precision=precision,
        attention=attention.rule(preset, precision=precision, device=kind),
        compile=(compiles := _compiles(preset, kind)),
        compile_from=compiling.FIRST if compiles else 0,
        steps=_steps(preset, kind, precision),
        tuned=False,
        threads=preset.device.threads or _threads(preset.model.kind),
        python=platform.python_version(),
        torch_version=torch.__version__,
        numpy_version=numpy.__version__,
        workbench=__version__,
    )


def _compiles(preset: Preset, device: str) -> bool:
    """By the model and the length of the run, not by B: runs which differ in B alone have one arithmetic."""
    if preset.device.compile != "auto":
        return preset.device.compile == "on"
    large = preset.model.kind == "gpt" and block_matrices(preset.model) >= LARGE and preset.schedule.steps >= MANY
    return device == "cuda" and large


def _steps(preset: Preset, device: str, precision: str) -> str:
    if _may_be_made("replayed", preset, device, precision):
        return "replayed"
    return "by hand" if by_hand_pays(preset, device=device, precision=precision) else "eager"


def by_hand_pays(preset: Preset, *, device: str, precision: str) -> bool:
    """Whether a step is so small that calling torch's operations takes longer than computing them (by_hand.py)."""
    small = preset.batch.B * preset.model.hidden <= LARGEST_BY_HAND
    return small and _may_be_made("by hand", preset, device, precision)


def _may_be_made(steps: str, preset: Preset, device: str, precision: str) -> bool:
    """Whether steps can be made so at all, whatever it gains."""
    model = preset.model
    if steps == "by hand":
        plain = model.kind == "mlp" and model.norm == "none" and preset.device.compile != "on"
        return plain and device == "cpu" and precision in ("fp32", "fp64")
    return steps == "eager" or (device == "cuda" and preset.optimizer.kind == "adamw")


def _bf16_pays(device: str, model: ModelTable) -> bool:
    """Whether the machine multiplies in bf16 itself, and the model is large enough to gain from it."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # torch.cpu has no public name for this, and answers False on what is no x86.
    wide = model.kind == "gpt" and model.width >= WIDE
    return device == "cpu" and wide and bool(torch.cpu._is_avx512_bf16_supported())


# ------------------------------------------------------------------------------------------ what is tuned

TUNED = ("precision", "attention", "threads")
"""The fields of a Resolved that a measurement may choose."""


def key(preset: Preset, resolved: Resolved) -> dict[str, Any]:
    """What a measured choice is kept by: this `machine` and its torch, and the `shape` that was trained."""
    return {"machine": _machine(resolved.device), "shape": tuned.shape(preset)}


def _machine(device: str) -> dict[str, Any]:
    return {
        "device": device.split(":")[0], "device_model": _model_of(device), "processors": _processors(),
        "torch_version": torch.__version__,
    }  # fmt: skip


def machines() -> list[dict[str, Any]]:
    """The `machine` of every device that there is here: choices kept by others are not in use."""
    cards = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [_machine(device) for device in ["cpu", *cards, *(["mps"] if torch.backends.mps.is_available() else [])]]


def choices(preset: Preset, *, pinned: bool = True) -> dict[str, list[Any]]:
    """What there is to measure for each field of TUNED: all that this machine does well and the preset leaves open.

    bf16 only where the rule could choose it. Not `pinned`: as if the preset left all of it open.
    """
    ruled, d = by_rule(preset), preset.device
    kind, processors = ruled.device.split(":")[0], _processors()
    precisions = ["fp32", "bf16"] if _bf16_pays(kind, preset.model) else ["fp32"]
    threads = sorted({1, max(1, processors // 2), processors, ruled.threads}) if kind == "cpu" else [ruled.threads]
    return {
        "precision": [d.precision] if pinned and d.precision != "auto" else precisions,
        "attention": ["plain", "sdpa"] if preset.model.kind == "gpt" else [ruled.attention],
        "threads": [d.threads] if pinned and d.threads else threads,
    }


def _may_be(choice: tuned.Choice, preset: Preset) -> bool:
    """Whether the preset and the rule leave room for it: no file brings bf16 to where auto would not choose it."""
    there = choices(preset)
    return all(getattr(choice, name) in there[name] for name in TUNED)


def again(
    recorded: dict[str, Any], preset: Preset, *, re_resolve: bool, tell: Callable[[str], None] = lambda text: None
) -> tuple[Resolved, dict[str, Any]]:
    """The recorded choices for a resume or a replay, and what differs from them (only with `re_resolve`, of which
    `tell` hears as in `resolve`).

    UsageError where this machine would give other bits.
    """
    now = by_rule(preset)
    names = [f.name for f in fields(Resolved)]
    kept = {name: recorded.get(name) for name in names}
    # Choices are taken over; what the machine is cannot be.
    chosen = {name: kept[name] for name in ("precision", "attention", "compile", "threads")}
    chosen["steps"] = kept["steps"] or "eager"  # an earlier version's run says nothing of these
    chosen["compile_from"] = kept["compile_from"] or 0
    chosen["tuned"] = bool(kept["tuned"])
    bound = ("device", "device_model", "torch_version", "numpy_version")
    differing = {name: (kept[name], getattr(now, name)) for name in bound if kept[name] != getattr(now, name)}
    if not differing:
        resolved = Resolved(**{**asdict(now), **chosen})
        if not _may_be_made(resolved.steps, preset, resolved.device.split(":")[0], resolved.precision):
            raise UsageError(
                f"resolved.json: steps is {resolved.steps!r}, which this preset's cannot be (a {preset.model.kind} in "
                f"{resolved.precision} on {resolved.device}); the file was changed or damaged: put it back"
            )
        return resolved, {}
    if re_resolve:
        return resolve(preset, tell), {name: [str(was), str(is_)] for name, (was, is_) in differing.items()}
    told = "; ".join(f"{name} was {was}, is {is_}" for name, (was, is_) in differing.items())
    raise UsageError(
        f"this machine would not continue the run bit for bit: {told}. "
        "Run it where it ran, or accept other bits with --re-resolve, which is recorded"
    )


def take(resolved: Resolved) -> None:
    """Set torch up as resolved, for the whole process."""
    torch.set_num_threads(resolved.threads)
    kind = resolved.torch_device.type
    if kind == "cuda":
        torch.cuda.set_device(resolved.torch_device)
        torch.use_deterministic_algorithms(True)
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False


def _device(name: str) -> str:
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda:0"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if name.startswith("cuda"):
        if not torch.cuda.is_available():
            raise UsageError(
                f"device.name = {name!r}: torch {torch.__version__} finds no CUDA device here; "
                "use 'auto' or 'cpu', or see `workbench doctor`"
            )
        index = int(name.partition(":")[2] or 0)
        if index >= torch.cuda.device_count():
            raise UsageError(f"device.name = {name!r}: this machine has {torch.cuda.device_count()} CUDA device(s)")
        return f"cuda:{index}"
    if name == "mps" and not torch.backends.mps.is_available():
        raise UsageError("device.name = 'mps': there is no Metal device here; use 'auto' or 'cpu'")
    return name


def _model_of(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{_processor()} ({torch.backends.cpu.get_cpu_capability()})"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def _threads(kind: str) -> int:
    """The processors that this process may use, one for models whose matrices are too small to share."""
    return min(_processors(), MOST_THREADS) if kind == "gpt" else 1


def _processors() -> int:
    """Cores that this process may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, psutil.cpu_count(logical=False) or allowed))
