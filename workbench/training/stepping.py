"""Steps and their records: one by one, where someone may look into them, or many at a launch (engines.py).

Both make the same step, that of step.py, on the same rows, and record it in the same way.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.data.ahead import Ahead
from workbench.data.corpus import Corpus
from workbench.data.rows import Rows
from workbench.plan.arithmetic import tokens_per_step
from workbench.plan.schedule import lr_of
from workbench.preset import Preset
from workbench.runs import settings
from workbench.runs.commands import Command
from workbench.runs.records import CLIPPED, NOT_FINITE, SPIKE
from workbench.runs.signals import Signals
from workbench.training import divergence
from workbench.training.compiling import Forward
from workbench.training.device import Resolved
from workbench.training.engines import Many, OnTheirWay, engine
from workbench.training.inspection import Inspection, MicroBatches
from workbench.training.journal import Journal
from workbench.training.models import Model, drops, seed_dropout
from workbench.training.optimizers import Optimizer
from workbench.training.position import Leave, Position
from workbench.training.replays import MOST, Shape
from workbench.training.steering import Gait, Steering
from workbench.training.step import Update

WORLD, RANK = 1, 0  # one process trains here
A_LAUNCH = 0.05
"""Seconds of steps that are launched at once. Two launches may be on their way, so a command waits for 0.1."""
LONG = 0.5
"""Seconds of a step from which on no other is launched behind it: a command waits for one."""


@dataclass
class Standing:
    """Where a run stands, and by which settings and rows it goes on: what an edit changes."""

    preset: Preset
    rows: Rows
    at: Position


class Stepping:
    """`act` carries out a command that acts inside a step."""

    def __init__(
        self,
        standing: Standing,
        *,
        corpus: Corpus,
        resolved: Resolved,
        model: Model,
        optimizer: Optimizer,
        journal: Journal,
        steering: Steering,
        signals: Signals,
        gait: Gait,
        act: Callable[[Command], None],
    ) -> None:
        self._now = standing
        self._resolved, self._model, self._optimizer = resolved, model, optimizer
        self._journal, self._steering, self._signals, self._gait = journal, steering, signals, gait
        self._act, self._decode = act, corpus.tokenizer.decode
        self._train = corpus.splits["train"]
        self._newline = corpus.newline if standing.preset.data.layout == "windows" else None
        self._forward = Forward(model, resolved.first_compiled, required=standing.preset.device.compile == "on")
        self._ahead = Ahead(self._train, self._newline)
        self._engine = engine(
            standing.preset, resolved, model=model, forward=self._forward, optimizer=optimizer, train=self._train,
            newline=self._newline, seed=self._seed,
        )  # fmt: skip
        self._launching: tuple[Shape | None, int] = (None, 1)
        """Steps a launch, of this shape."""
        self._inside: MicroBatches | None = None
        """Of the step that is under way, where someone watches its micro-batches."""
        self._inspection: Inspection | None = None

    @property
    def inside(self) -> bool:
        """A step is under way, and its micro-batches are watched."""
        return self._inside is not None

    def inspect(self, id: str, top: int) -> None:
        """Look into the next step, for the command `id`."""
        if not self._inspection:
            self._inspection = Inspection(top)
        self._inspection.ids.append(id)

    def go(self, until: int) -> None:
        """One step, or as many as there are before step `until`. Leave where an update could not be applied."""
        gait, many = self._gait, self._engine.many
        until = self._forward.begin(self._now.at.step, until)
        self._tell_phase()
        one_by_one = self._inspection or gait.micro_steps or gait.paused or gait.pace
        if many and not one_by_one:
            self._launch(many, until)
        else:
            self._step()

    # ---------------------------------------------------------------------------------- one step

    def _step(self) -> None:
        p, at = self._now.preset, self._now.at
        B, accum = p.batch.B, p.batch.accum
        lr = lr_of(p, at.step)
        self._seed(at.step)
        self._gait.begin_step()
        if self._inspection:
            self._inspection.weights(self._optimizer)
        if self._inspection or self._gait.micro_steps:
            self._inside = MicroBatches(accum)

        self._paused_for = 0.0
        began = time.perf_counter()
        update = self._engine.one(
            self._micro_batches(B, accum), targets=self._targets(), lr=lr, weight_decay=p.optimizer.weight_decay,
            clip=p.optimizer.clip, watch=self._watch if accum > 1 or self._inside else None,
        )  # fmt: skip
        seconds = time.perf_counter() - began - self._paused_for
        self._gait.finish_step()
        self._after_compiling()
        before = self._record(update, lr, seconds)
        if self._inspection:
            self._finish_inspection(self._inspection, update, before, lr)
        if self._inside:
            self._inside = None
            self._journal.tell(inside=None)
        self._go_on(update, before)

    def _tell_phase(self) -> None:
        b = self._now.preset.batch
        phase = "training" if self._forward.knows(b.B, b.T) else "compiling"
        if self._journal.phase != phase:
            self._journal.tell(phase=phase)

    def _after_compiling(self) -> None:
        """Where it could not be done and need not be, the run goes on without, and so does whoever resumes it."""
        if self._journal.phase == "compiling":
            self._journal.tell(phase="training")
        if why := self._forward.trouble:
            self._forward.trouble = ""
            settings.without_compiling(self._journal.run)
            self._journal.event("warning", message=f"{why}; the steps of this run go on without it")

    def _record(self, update: Update, lr: float, seconds: float) -> int:
        """Record step `at.step`, which has been made. Returns the first of its rows."""
        b, at = self._now.preset.batch, self._now.at
        flags = (
            (CLIPPED if update.clipped else 0)
            | (0 if update.applied else NOT_FINITE)
            | (SPIKE if at.spikes(update.loss) else 0)
        )
        before = at.rows_before
        at.rows_before += b.B * b.accum * WORLD
        at.tokens += self._targets()
        at.time += seconds
        self._journal.record(
            (at.step, at.tokens, before, update.loss, lr, update.grad_norm, seconds, at.time,
             b.B, b.T, b.accum, WORLD, flags)
        )  # fmt: skip
        return before

    def _go_on(self, update: Update, before: int) -> None:
        if not update.applied:
            raise self._diverged(update, before)
        self._now.at.step += 1
        self._now.at.done_here = []

    def _seed(self, step: int) -> None:
        p = self._now.preset
        if drops(p.model):
            seed_dropout(p.seed, step, RANK)

    def _targets(self) -> int:
        b = self._now.preset.batch
        return tokens_per_step(B=b.B, T=b.T, accum=b.accum, world=WORLD, layout=self._now.preset.data.layout)

    def _micro_batches(self, B: int, accum: int) -> Iterator[tuple[Tensor, Tensor]]:
        """This rank's (x, y) of each micro-step, consecutive slices of the step's rows."""
        before, device = self._now.at.rows_before, self._resolved.torch_device
        for micro in range(accum):
            first = before + (micro * WORLD + RANK) * B
            x, y = (
                torch.from_numpy(ids).to(device)
                for ids in self._ahead.draw(self._now.rows, first, B, then=first + WORLD * B)
            )
            if self._inspection:
                self._inspection.rows(x, y)
            yield x, y

    def _diverged(self, update: Update, before: int) -> Leave:
        """Say which of the step's rows, the first of which is row `before`, did it."""
        p, at = self._now.preset, self._now.at
        self._seed(at.step)
        at.rows_before, after = before, at.rows_before
        offsets = self._now.rows.offsets(before, p.batch.B * p.batch.accum).tolist()
        culprit = divergence.search(
            self._model, self._forward, self._micro_batches(p.batch.B, p.batch.accum), offsets,
            update=update, record=at.step, targets=self._targets(), autocast=self._resolved.autocast,
            decode=self._decode,
        )  # fmt: skip
        at.rows_before = after
        reason, fields = divergence.told(self._journal.run, update, at.step, offsets, culprit)
        return Leave("diverged", 3, reason, fields=fields)

    # ---------------------------------------------------------------------------------- inside a step

    def _watch(self, micro: int, loss: Tensor, logits: Tensor, losses: Tensor) -> None:
        """Between micro-steps: commands are acknowledged; a micro-step run stops here."""
        accum = self._now.preset.batch.accum
        if self._inside:
            self._inside.add(float(loss) * accum * WORLD, self._optimizer)
        if self._inspection:
            self._inspection.losses(logits, losses)
        self._steering.look()
        self._steering.inside()
        if not self._inside or not self._gait.micro_steps:
            return
        self._gait.end_micro_batch()
        waited = time.perf_counter()
        self._journal.tell(
            state="paused", phase=f"after micro-batch {micro + 1} of {accum}", inside=self._inside.told()
        )
        while self._gait.waits_inside:
            self._steering.look(now=True)
            for command in self._steering.inside():
                if command.at is not None or command.command not in ("unpause", "step", "stop"):
                    continue  # it waits for the end of the step
                if command.command == "stop":
                    self._gait.finish_step()
                    break
                self._steering.take(command)
                self._act(command)
            if self._signals.received:
                self._gait.finish_step()
            time.sleep(0.02)
        self._journal.tell(state="paused" if self._gait.paused else "running", phase="training")
        self._paused_for += time.perf_counter() - waited

    def _finish_inspection(self, inspection: Inspection, update: Update, rows_before: int, lr: float) -> None:
        self._inspection = None
        assert self._inside is not None
        p = self._now.preset
        about: dict[str, float | None] = {
            "step": self._now.at.step, "rows_before": rows_before, "loss": update.loss, "grad_norm": update.grad_norm,
            "clip_coefficient": p.optimizer.clip / update.grad_norm if update.clipped else 1.0, "lr": lr,
            "update_ratio": inspection.update_ratio(self._optimizer),
            "B": p.batch.B, "T": p.batch.T, "accum": p.batch.accum, "world": WORLD,
        }  # fmt: skip
        path, hash_ = inspection.write(self._journal.run, self._inside, about)
        for id in inspection.ids:
            self._steering.finish(id, "applied", file=f"inspect/{path.name}", hash=hash_)

    # ---------------------------------------------------------------------------------- many a launch

    def _launch(self, many: Many, until: int) -> None:
        """Up to step `until`, the next launch on its way while the last one is recorded."""
        p, at = self._now.preset, self._now.at
        b, rows_a_step = p.batch, p.batch.B * p.batch.accum * WORLD
        shape = Shape(b.B, b.T, b.accum, p.optimizer.weight_decay, p.optimizer.clip, self._forward.is_compiled)
        ahead, on_their_way = at.step, deque[tuple[OnTheirWay, list[float]]]()
        size, depth = self._launching[1] if self._launching[0] == shape else 1, 1
        while True:
            while ahead < until and len(on_their_way) < depth:
                n = min(until - ahead, size)
                lrs = [lr_of(p, step) for step in range(ahead, ahead + n)]
                first = at.rows_before + (ahead - at.step) * rows_a_step
                offsets = self._now.rows.offsets(first, n * rows_a_step).reshape(n, rows_a_step)
                launched = many.launch(shape, ahead, lrs, offsets)
                on_their_way.append((launched, lrs))
                ahead += launched.n
            if not on_their_way:
                return
            launched, lrs = on_their_way.popleft()
            while not launched.over():
                time.sleep(0.001)
                self._steering.look()
                self._steering.inside()
            measured, seconds = launched.wait()
            self._after_compiling()
            each = seconds / launched.n
            size = max(1, min(MOST, round(A_LAUNCH / max(each, 1e-6))))
            self._launching = shape, size
            depth = many.depth if each < LONG else 1
            for (loss, norm), lr in zip(measured.tolist(), lrs, strict=False):
                finite = math.isfinite(loss) and math.isfinite(norm)
                update = Update(loss, norm, clipped=finite and 0 < p.optimizer.clip < norm, applied=finite)
                self._go_on(update, self._record(update, lr, each))
            self._steering.look()
            if self._signals.received or self._journal.trouble:
                until = ahead
            elif (asked := self._steering.next_at(ahead)) is not None:
                until = min(until, asked)
