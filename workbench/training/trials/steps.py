"""A preset's steps with nothing between them, as a run makes them: rows drawn, compiled, replayed on a card."""

import statistics
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

from workbench.data.ahead import Ahead
from workbench.errors import UsageError
from workbench.plan.arithmetic import tokens_per_step_of
from workbench.plan.schedule import lr_of
from workbench.training.compiling import Forward
from workbench.training.engines import Many, engine
from workbench.training.models import drops, seed_dropout
from workbench.training.optimizers import Optimizer
from workbench.training.replays import WARM_UP, Shape
from workbench.training.trials.bare import Bare, Pair

A_LAUNCH = 8
"""Steps that are launched at once, timed together."""
LONG = 3.0
"""Seconds after which as few steps have to do as there are."""
MOST_STEPS = 2000
"""Of a few microseconds each: more say nothing more."""


class Timing(NamedTuple):
    """Seconds of steps one by one, of their micro-batches, and of the rest of each, which is the update.

    The latter two are empty where a step is one launch, and nobody sees its parts.
    """

    steps: list[float]
    micro: list[float]
    update: list[float]


class Steps:
    """Steps of a preset from its first on, with weights of their own."""

    def __init__(self, bare: Bare) -> None:
        self._bare, self._preset, self._resolved = bare, bare.preset, bare.resolved
        self._train = bare.corpus.splits["train"]
        model = bare.model(bare.resolved.dtype)
        if bare.resolved.compile:
            torch.compiler.reset()  # each is compiled for its own B, as in a run
        self._forward = Forward(model, bare.resolved.first_compiled, required=bare.preset.device.compile == "on")
        self._forward.begin(bare.resolved.compile_from, MOST_STEPS)
        self._optimizer = Optimizer(model, bare.preset.optimizer)
        self._ahead = Ahead(self._train, bare.newline)
        self._step = self._drawn = 0
        self._warm: set[int] = set()
        self._clock = _Clock(bare.device)
        self._engine = engine(
            bare.preset, bare.resolved, model=model, forward=self._forward, optimizer=self._optimizer,
            train=self._train, newline=bare.newline, seed=self._seed,
        )  # fmt: skip

    @property
    def whole(self) -> bool:
        """A step is one launch: nobody sees its parts."""
        return self._engine.many is not None

    def time(self, seconds: float, *, least: int = 2, accum: int | None = None) -> Timing:
        """As many steps as take so long, after one that does not count (a graph's: after it is captured).

        `accum`: of that many micro-batches, where that is not the preset's number.
        """
        accum = accum or self._preset.batch.accum
        if self._engine.many:
            return self._launched(self._engine.many, seconds, least, accum)
        whole: list[float] = []
        micro: list[float] = []
        update: list[float] = []
        self._one(accum)
        began = time.perf_counter()
        while _go_on(len(whole), time.perf_counter() - began, seconds, least):
            parts = self._one(accum)
            whole.append(sum(parts))
            micro += parts[:-1]
            update.append(parts[-1])
        return Timing(whole, micro, update)

    def _one(self, accum: int) -> list[float]:
        """One step: the seconds of its micro-batches, then of its update."""
        p = self._preset
        targets = tokens_per_step_of(p) // p.batch.accum * accum
        self._seed(self._step)
        self._clock.mark()
        update = self._engine.one(
            self._micro_batches(accum), targets=targets, lr=self._lr(self._step),
            weight_decay=p.optimizer.weight_decay, clip=p.optimizer.clip, watch=lambda *_: self._clock.mark(),
        )  # fmt: skip
        self._clock.mark()
        parts = self._clock.read()
        if not update.applied:  # and so not the whole of a step
            raise UsageError(f"training diverged: try a lower lr, as in --set lr={p.optimizer.lr / 10:g}")
        self._step += 1
        return parts

    def _lr(self, step: int) -> float:
        return lr_of(self._preset, min(step, self._preset.schedule.steps - 1))

    def _micro_batches(self, accum: int) -> Iterator[Pair]:
        B = self._preset.batch.B
        for _ in range(accum):
            x, y = self._ahead.draw(self._bare.rows, self._drawn, B, then=self._drawn + B)
            self._drawn += B
            yield torch.from_numpy(x).to(self._bare.device), torch.from_numpy(y).to(self._bare.device)

    def _launched(self, many: Many, seconds: float, least: int, accum: int) -> Timing:
        if accum not in self._warm:
            self._warm.add(accum)
            for _ in range(WARM_UP + 1):  # the last of these is the first that is captured
                self._launch(many, 1, accum)
        whole: list[float] = []
        began = time.perf_counter()
        while _go_on(len(whole), time.perf_counter() - began, seconds, least):
            whole += self._launch(many, A_LAUNCH, accum)
        return Timing(whole, [], [])

    def _launch(self, many: Many, n: int, accum: int) -> list[float]:
        p = self._preset
        rows = p.batch.B * accum
        shape = Shape(p.batch.B, p.batch.T, accum, p.optimizer.weight_decay, p.optimizer.clip)
        lrs = [self._lr(step) for step in range(self._step, self._step + n)]
        offsets = self._bare.rows.offsets(self._drawn, n * rows).reshape(n, rows)
        launched = many.launch(shape, self._step, lrs, offsets)
        _, took = launched.wait()
        self._step += launched.n
        self._drawn += launched.n * rows
        return [took / launched.n] * launched.n

    def _seed(self, step: int) -> None:
        if drops(self._preset.model):
            seed_dropout(self._preset.seed, step)


class _Clock:
    """Moments of the device: on a card they are noted between kernels, and nothing waits until they are read."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._marks: list[float] = []
        self._events: list[torch.cuda.Event] = []

    def mark(self) -> None:
        if self._device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record()
            self._events.append(event)
            return
        if self._device.type == "mps":
            torch.mps.synchronize()
        self._marks.append(time.perf_counter())

    def read(self) -> list[float]:
        """Seconds from each mark to the next; they are forgotten."""
        marks, events = self._marks, self._events
        self._marks, self._events = [], []
        if not events:
            return [after - before for before, after in pairwise(marks)]
        events[-1].synchronize()
        return [before.elapsed_time(after) / 1000 for before, after in pairwise(events)]


def _go_on(done: int, elapsed: float, seconds: float, least: int) -> bool:
    """Whether to time another: until the time is over; at least so many, unless they are long; one in any case."""
    return not done or (done < least and elapsed < LONG) or (done < MOST_STEPS and elapsed < seconds)


class Timed:
    """A preset's step, timed in as many visits as one likes: what else the machine does in the meantime is then the
    same for all that are visited in turn.

    Of many micro-batches two are run: the others follow them in the same way.
    """

    def __init__(self, bare: Bare) -> None:
        self._accum = bare.preset.batch.accum
        self._few = min(self._accum, 2)
        self._tokens = tokens_per_step_of(bare.preset)
        self._run = Steps(bare)
        # The parts of what is one launch are told by another number of micro-batches.
        self._accums = (self._few, 3 - self._few) if self._run.whole else (self._few,)
        self._all = [Timing([], [], []) for _ in self._accums]

    def visit(self, seconds: float) -> float:
        """Time it for so long. Returns the tokens a second of this visit alone."""
        found = [self._run.time(seconds / len(self._accums), accum=accum) for accum in self._accums]
        for known, new in zip(self._all, found, strict=True):
            for kept, more in zip(known, new, strict=True):
                kept += more
        return self._tokens / self._whole(found)

    @property
    def seconds(self) -> float:
        """Of a step: the median."""
        return self._whole(self._all)

    @property
    def parts(self) -> tuple[float, float]:
        """Seconds of a micro-batch and of the update: medians."""
        return self._parts(self._all)

    @property
    def steps(self) -> int:
        """How many were timed."""
        return len(self._all[0].steps)

    @property
    def spread(self) -> float:
        """How far the middle half of the steps is apart, as a share of the median."""
        low, middle, high = np.quantile(np.array(self._all[0].steps), (0.25, 0.5, 0.75))
        return float((high - low) / middle)

    def _parts(self, found: Sequence[Timing]) -> tuple[float, float]:
        if found[0].micro:
            return statistics.median(found[0].micro), statistics.median(found[0].update)
        step, other = (statistics.median(timing.steps) for timing in found)
        micro = min(max(0.0, (step - other) / (2 * self._few - 3)), step / self._few)
        return micro, step - self._few * micro

    def _whole(self, found: Sequence[Timing]) -> float:
        step = statistics.median(found[0].steps)
        return step + (self._accum - self._few) * self._parts(found)[0] if self._accum > self._few else step


def multiplied(device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    """Floating-point operations a second of the fastest square matrix product, of sizes from 256 on, as large as time
    allows: the median of each size's, on the threads that torch has."""
    clock, best, n = _Clock(device), 0.0, 256
    began = time.perf_counter()
    while True:
        a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        out = torch.empty(n, n, device=device, dtype=dtype)
        took: list[float] = []
        torch.mm(a, b, out=out)
        size_began = time.perf_counter()
        while _go_on(len(took), time.perf_counter() - size_began, seconds / 8, 3):
            clock.mark()
            torch.mm(a, b, out=out)
            clock.mark()
            took += clock.read()
        each = statistics.median(took)
        best = max(best, 2 * n**3 / each)
        n *= 2
        if n > 16_384 or time.perf_counter() - began + max(4 * 8 * each, seconds / 8) > seconds:
            return best
