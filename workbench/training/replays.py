"""Whole steps as CUDA graphs: a small model's step is hundreds of kernels of microseconds, and launching each from
Python takes longer than running it. So a step is recorded once for each shape, and replayed by one launch.

What differs from step to step lies in tables on the device: the rows' offsets, the learning rates, and what was
measured. A launch uploads the tables' next part, replays a step for each line of it, and brings the measurements back;
nothing waits for the device in between. The arithmetic is `step.optimizer_step`'s, with two decisions made on the
device instead of here: by how much the gradient is clipped, and that an update which is not finite is not applied, nor
any after it.

The first steps of a shape are made one by one, without a graph: they warm up what a capture may not, and count.
Where there is no CUDA device every step is made so, which is how the tests hold this file against `step.py`.
"""

import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workbench.data.batches import Tokens
from workbench.training.device import Autocast
from workbench.training.optimizers import Optimizer
from workbench.training.step import losses_of

MOST = 256
"""Steps a launch: lines of the tables."""
_MOST_ROWS = 2**22
"""Of a launch: 32 MB of offsets."""
WARM_UP = 3
"""Steps of a shape that are made one by one before it is captured: libraries choose their kernels in them."""
KEPT = 4
"""Shapes whose graphs are kept: an edit of B and one back captures nothing."""
_SHARE = 0.25
"""Of a card's memory: a corpus that takes more of it is not put there."""


class Shape(NamedTuple):
    """What a graph is captured for: another value of any of these needs another graph."""

    B: int
    T: int
    accum: int
    weight_decay: float
    clip: float
    compiled: bool = False


@dataclass
class Launched:
    """Steps that are on their way."""

    n: int
    _measured: Tensor
    _began: "torch.cuda.Event | float"
    _ended: "torch.cuda.Event | float"

    def over(self) -> bool:
        return isinstance(self._ended, float) or bool(self._ended.query())  # type: ignore[no-untyped-call]

    def wait(self) -> tuple[npt.NDArray[np.float64], float]:
        if isinstance(self._began, float) or isinstance(self._ended, float):
            return self._measured.numpy(), float(self._ended) - float(self._began)  # type: ignore[arg-type]
        self._ended.synchronize()
        return self._measured.numpy(), self._began.elapsed_time(self._ended) / 1000


def fits(split: Tokens, device: torch.device) -> bool:
    """Whether a corpus may lie on the card: by its size, not by what else lies there."""
    if device.type != "cuda":
        return True
    return split.n * split.read(0, 1).itemsize <= _SHARE * torch.cuda.get_device_properties(device).total_memory


class Replays:
    """Steps of one attempt. `seed` is called before each with its number, where dropout draws by it."""

    depth = 2  # the card has the next one when it is done with the last

    def __init__(
        self,
        forward: Callable[[Tensor], Tensor],
        optimizer: Optimizer,
        split: Tokens,
        *,
        newline: int | None,
        device: torch.device,
        autocast: Autocast,
        seed: Callable[[int], None] | None = None,
    ) -> None:
        self._forward, self._optimizer, self._autocast, self._seed = forward, optimizer, autocast, seed
        self._newline, self._device = newline, device
        self._corpus = _on(device, split.read(0, split.n))
        self._line = torch.zeros(1, dtype=torch.int64, device=device)
        self._lrs = torch.zeros(MOST, dtype=torch.float64, device=device)
        self._measured = torch.zeros(MOST, 2, dtype=torch.float64, device=device)
        self._failed = torch.zeros((), dtype=torch.float32, device=device)
        """1 once a step was not finite; the optimizer skips its update where it is."""
        self._offsets: Tensor = torch.empty(0)
        self._shapes: OrderedDict[Shape, _Captured] = OrderedDict()
        on_card = device.type == "cuda"
        self._pool = torch.cuda.graph_pool_handle() if on_card else None
        # A capture is made on no default stream.
        self._stream = torch.cuda.Stream(device) if on_card else None  # type: ignore[no-untyped-call]
        optimizer.skip_where(self._failed)

    def launch(self, shape: Shape, first: int, lrs: Sequence[float], offsets: npt.NDArray[np.int64]) -> Launched:
        """Train on rows at `offsets` (steps, B·accum) with `lrs`, from step `first` on, and return at once.

        Fewer steps than these, where the tables hold no more or the shape is new: its first are made one by one.
        """
        there = self._shape(shape)
        warming = self._pool is not None and there.steps < WARM_UP
        n = 1 if warming else min(len(lrs), len(there.offsets))
        with self._beside():
            self._offsets = there.offsets
            self._offsets[:n].copy_(self._up(offsets[:n]), non_blocking=True)
            self._lrs[:n].copy_(self._up(np.array(lrs[:n])), non_blocking=True)
            self._line.zero_()
            if self._pool and not warming and there.graph is None:
                there.graph = self._capture(shape)
            began = self._now()
            for step in range(first, first + n):
                if self._seed:
                    self._seed(step)
                if there.graph is None:
                    self._step(shape)
                else:
                    there.graph.replay()
            there.steps += n
            return Launched(n, self._down(n), began, self._now())

    @contextlib.contextmanager
    def _beside(self) -> Iterator[None]:
        """On a stream of its own, after what was asked for before it, and before what is asked for after it."""
        if self._stream is None:
            yield
            return
        usual = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(usual)
        with torch.cuda.stream(self._stream):
            yield
        usual.wait_stream(self._stream)

    def _shape(self, shape: Shape) -> "_Captured":
        if shape not in self._shapes:
            rows = shape.B * shape.accum
            lines = max(1, min(MOST, _MOST_ROWS // rows))
            offsets = torch.zeros(lines, rows, dtype=torch.int64, device=self._device)
            self._shapes[shape] = _Captured(offsets)
            if len(self._shapes) > KEPT:
                self._shapes.popitem(last=False)
        self._shapes.move_to_end(shape)
        return self._shapes[shape]

    def _now(self) -> torch.cuda.Event | float:
        if self._pool is None:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True, blocking=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def _up(self, values: npt.NDArray[np.generic]) -> Tensor:
        """In memory from which the card copies by itself; torch keeps it until the copy is done."""
        there = torch.from_numpy(np.ascontiguousarray(values))
        return there.pin_memory() if self._pool else there

    def _down(self, n: int) -> Tensor:
        """What was measured, on its way to memory here, before the next launch writes over it."""
        if not self._pool:
            return self._measured[:n].clone()
        there = torch.empty(n, 2, dtype=torch.float64, pin_memory=True)
        return there.copy_(self._measured[:n], non_blocking=True)

    def _capture(self, shape: Shape) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        self._optimizer.zero_grad()  # gradients belong to the graph's own memory
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
            self._step(shape)
        return graph

    def _step(self, shape: Shape) -> None:
        """One step, from the tables' next line to the update: everything on the device, nothing comes back."""
        optimizer = self._optimizer
        line = self._line
        rows = self._offsets.index_select(0, line).view(shape.accum, shape.B)
        optimizer.zero_grad()
        total = torch.zeros((), device=self._device)
        for micro in range(shape.accum):
            x, y = self._batch(rows[micro], shape.T)
            with self._autocast():
                logits = self._forward(x)
            targets = y.numel() * shape.accum
            loss = losses_of(logits, y).sum() / targets
            loss.backward()  # type: ignore[no-untyped-call]
            total = total + loss.detach()

        gradients = [p.grad for p in optimizer.parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        finite = torch.isfinite(total) & torch.isfinite(norm)
        self._failed.copy_(torch.maximum(self._failed, (~finite).to(self._failed.dtype)))
        if shape.clip > 0:
            scale = torch.clamp(shape.clip / norm.double(), max=1.0)  # in double, as Python divides
            torch._foreach_mul_(gradients, scale.to(norm.dtype))
        optimizer.set_from(self._lrs.index_select(0, line), weight_decay=shape.weight_decay)
        optimizer.step()  # skipped where `failed` says so
        self._measured.index_copy_(0, line, torch.stack([total, norm]).to(torch.float64)[None])
        line += 1

    def _batch(self, starts: Tensor, T: int) -> tuple[Tensor, Tensor]:
        """`data.batches.batch` on the device: x and y of the rows that start there."""
        if self._newline is None:
            rows = self._take(starts[:, None] + torch.arange(T + 1, device=self._device))
            return rows[:, :-1], rows[:, 1:]
        at = starts[:, None] + torch.arange(-T, 1, device=self._device)
        rows = torch.where(at < 0, self._newline, self._take(at.clamp(min=0)))
        x, y = rows[:, :-1], rows[:, -1]
        # A newline in x ends an earlier line: it and everything before it is that line's, not this one's.
        earlier = (x == self._newline).flip(1).cumsum(1).flip(1) > 0
        return torch.where(earlier, self._newline, x), y

    def _take(self, at: Tensor) -> Tensor:
        ids = self._corpus[at].to(torch.int64)
        return ids & 0xFFFF if self._corpus.dtype == torch.int16 else ids


@dataclass
class _Captured:
    offsets: Tensor
    """(steps of a launch at most, B·accum): the graph reads its rows here."""
    graph: torch.cuda.CUDAGraph | None = None
    steps: int = 0


def _on(device: torch.device, ids: npt.NDArray[np.unsignedinteger]) -> Tensor:
    """Token ids on the device; two bytes lie there as signed ones, which is all that torch can index."""
    signed = {1: np.uint8, 2: np.int16, 4: np.int32}[ids.itemsize]
    return torch.from_numpy(ids.view(signed)).to(device)
