"""The training loop: between two steps everything that may happen, then one step, until the schedule's end.

boundary n   evals, samples and checkpoints that are due after n updates; then commands, edits, pauses
record n     one optimizer step (step.py), one record
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from workbench import preset as presets
from workbench.data.ahead import Ahead
from workbench.data.corpus import Corpus
from workbench.data.prompts import prompt_of
from workbench.data.rows import Rows
from workbench.errors import UsageError
from workbench.plan.arithmetic import tokens_per_step
from workbench.plan.schedule import lr_of
from workbench.preset import Preset
from workbench.runs.commands import Command
from workbench.runs.records import CLIPPED, NOT_FINITE, SPIKE
from workbench.runs.signals import Signals
from workbench.training import divergence, shortage
from workbench.training.device import Resolved
from workbench.training.evaluate import Evaluator
from workbench.training.inspection import Inspection, MicroBatches
from workbench.training.journal import Journal, at_once
from workbench.training.models import Model, seed_dropout
from workbench.training.optimizers import Optimizer
from workbench.training.patience import Waiting
from workbench.training.position import Edit, Leave, Position, Rewind
from workbench.training.sampling import generate
from workbench.training.saving import Saver
from workbench.training.steering import Gait, Steering
from workbench.training.step import Update, optimizer_step

WORLD, RANK = 1, 0  # one process trains here


class Loop:
    def __init__(
        self,
        *,
        preset: Preset,
        corpus: Corpus,
        resolved: Resolved,
        model: Model,
        optimizer: Optimizer,
        evaluator: Evaluator,
        journal: Journal,
        steering: Steering,
        signals: Signals,
        position: Position,
        edits: list[Edit],
        gait: Gait,
    ) -> None:
        self.preset, self.at = preset, position
        self._corpus, self._resolved, self._model, self._optimizer = corpus, resolved, model, optimizer
        self._forward: Callable[[Tensor], Tensor] = torch.compile(model) if resolved.compile else model
        self._evaluator, self._journal, self.steering, self._signals = evaluator, journal, steering, signals
        self._edits = sorted(edits, key=lambda e: e.step)
        self._newline = corpus.newline if preset.data.layout == "windows" else None
        self._train = corpus.splits["train"]
        self.rows = Rows.of(preset, tokens=self._train.n, base=position.base)
        self._ahead = Ahead(self._train, self._newline)
        self._compiled = False
        self._gait = gait
        self._saver = Saver(journal, model, optimizer, corpus)
        self._waiting = Waiting(journal, self._while_waiting)
        journal.patience = self._waiting
        self._inside: MicroBatches | None = None
        """Of the step that is under way, where someone watches its micro-batches."""
        self._inspection: Inspection | None = None
        self.unsaved = True
        """Something has happened since the last checkpoint: a step, an edit, an eval."""

    # ---------------------------------------------------------------------------------- the loop

    def run(self) -> None:
        """Until the schedule's end; anything else that ends it is a Leave or a Rewind."""
        while True:
            self._due()
            self._listen()
            if self.at.step >= self.preset.schedule.steps:
                if why := self.unfit():  # no record follows that would say so
                    reason, fields = divergence.unfit(self._journal.run, self.at.step, why)
                    raise Leave("diverged", 3, reason, fields=fields)
                return
            self._step()

    def _due(self) -> None:
        """What happens after n updates: eval, sample, checkpoint, in this order, each once."""
        n, p, at = self.at.step, self.preset, self.at
        if "all" in at.done_here:
            return
        improved = False
        if self._is_due(p.eval.every) and "eval" not in at.done_here:
            improved = self._evaluate()
            at.done_here.append("eval")
        if self._is_due(p.sample.every) and "sample" not in at.done_here:
            self._sample()
            at.done_here.append("sample")
        at.done_here.append("all")
        if improved or (p.checkpoint.every and n and n % p.checkpoint.every == 0 and not self.unfit()):
            self.save()  # what overflows when evaluated is no state to go back to

    def _is_due(self, every: int) -> bool:
        n = self.at.step
        return every > 0 and (n % every == 0 or n == self.preset.schedule.steps)

    def _listen(self) -> None:
        """Commands, edits, pauses and pace between two steps. Returns when the next step may run."""
        self._waiting.until_written()
        self.steering.look(now=self._gait.paused)
        while True:
            self._act_on_edits()
            for command in self.steering.due(self.at.step):
                self._act(command)
            self._signals.leave_if_asked()
            if self.at.step >= self.preset.schedule.steps or self._gait.may_step():
                return
            time.sleep(0.02)
            self.steering.look(now=self._gait.paused)

    # ---------------------------------------------------------------------------------- one step

    def _step(self) -> None:
        p, at = self.preset, self.at
        B, T, accum = p.batch.B, p.batch.T, p.batch.accum
        lr = lr_of(p, at.step)
        if p.model.kind == "gpt" and p.model.dropout > 0:
            seed_dropout(p.seed, at.step, RANK)
        if self._journal.phase != "training":
            self._journal.tell(phase="training")
        if self._resolved.compile and not self._compiled:
            self._compiled = True
            self._journal.tell(phase="compiling")
        self._gait.begin_step()
        if self._inspection:
            self._inspection.weights(self._optimizer)
        if self._inspection or self._gait.micro_steps:
            self._inside = MicroBatches(accum)

        self._paused_for = 0.0
        began = time.perf_counter()
        update = optimizer_step(
            self._forward,
            self._optimizer,
            self._micro_batches(B, accum),
            targets=self._targets(),
            lr=lr,
            weight_decay=p.optimizer.weight_decay,
            clip=p.optimizer.clip,
            autocast=self._resolved.autocast,
            watch=self._watch if accum > 1 or self._inside else None,
        )
        seconds = time.perf_counter() - began - self._paused_for
        self._gait.finish_step()

        flags = (
            (CLIPPED if update.clipped else 0)
            | (0 if update.applied else NOT_FINITE)
            | (SPIKE if at.spikes(update.loss) else 0)
        )
        before = at.rows_before
        at.rows_before += B * accum * WORLD
        at.tokens += self._targets()
        at.time += seconds
        self._journal.record(
            (at.step, at.tokens, before, update.loss, lr, update.grad_norm, seconds, at.time,
             B, T, accum, WORLD, flags)
        )  # fmt: skip
        if self._inspection:
            self._finish_inspection(self._inspection, update, before, lr)
        if self._inside:
            self._inside = None
            self._journal.tell(inside=None)
        if not update.applied:
            raise self._diverged(update, before)
        at.step += 1
        at.done_here = []
        self.unsaved = True

    def _diverged(self, update: Update, before: int) -> Leave:
        """Say which of the step's rows, the first of which is row `before`, did it."""
        p, at = self.preset, self.at
        if p.model.kind == "gpt" and p.model.dropout > 0:
            seed_dropout(p.seed, at.step, RANK)
        at.rows_before, after = before, at.rows_before
        offsets = self.rows.offsets(before, p.batch.B * p.batch.accum).tolist()
        culprit = divergence.search(
            self._model, self._forward, self._micro_batches(p.batch.B, p.batch.accum), offsets,
            update=update, record=at.step, targets=self._targets(), autocast=self._resolved.autocast,
            decode=self._corpus.tokenizer.decode,
        )  # fmt: skip
        at.rows_before = after
        reason, fields = divergence.told(self._journal.run, update, at.step, offsets, culprit)
        return Leave("diverged", 3, reason, fields=fields)

    def unfit(self) -> str:
        """Why these weights are no state to go back to; "" where they are one."""
        at = self.at
        if at.val_step == at.step and at.val_loss is not None and not math.isfinite(at.val_loss):
            return f"the validation loss is {at.val_loss}"
        if not all(bool(torch.isfinite(p).all()) for p in self._optimizer.parameters):
            return "weights are no longer finite"
        return ""

    def _targets(self) -> int:
        b = self.preset.batch
        return tokens_per_step(B=b.B, T=b.T, accum=b.accum, world=WORLD, layout=self.preset.data.layout)

    def _micro_batches(self, B: int, accum: int) -> Iterator[tuple[Tensor, Tensor]]:
        """This rank's (x, y) of each micro-step, consecutive slices of the step's rows."""
        before, device = self.at.rows_before, self._resolved.torch_device
        for micro in range(accum):
            first = before + (micro * WORLD + RANK) * B
            x, y = (
                torch.from_numpy(ids).to(device)
                for ids in self._ahead.draw(self.rows, first, B, then=first + WORLD * B)
            )
            if self._inspection:
                self._inspection.rows(x, y)
            yield x, y

    def _watch(self, micro: int, loss: Tensor, logits: Tensor, losses: Tensor) -> None:
        """Between micro-steps: commands are acknowledged; a micro-step run stops here."""
        accum = self.preset.batch.accum
        if self._inside:
            self._inside.add(float(loss) * accum * WORLD, self._optimizer)
        if self._inspection:
            self._inspection.losses(logits, losses)
        self.steering.look()
        self.steering.inside()
        if not self._inside or not self._gait.micro_steps:
            return
        self._gait.end_micro_batch()
        waited = time.perf_counter()
        self._journal.tell(
            state="paused", phase=f"after micro-batch {micro + 1} of {accum}", inside=self._inside.told()
        )
        while self._gait.waits_inside:
            self.steering.look(now=True)
            for command in self.steering.inside():
                if command.at is not None or command.command not in ("unpause", "step", "stop"):
                    continue  # it waits for the end of the step
                if command.command == "stop":
                    self._gait.finish_step()
                    break
                self.steering.take(command)
                self._act(command)
            if self._signals.received:
                self._gait.finish_step()
            time.sleep(0.02)
        self._journal.tell(state="paused" if self._gait.paused else "running", phase="training")
        self._paused_for += time.perf_counter() - waited

    # ---------------------------------------------------------------------------------- what is due

    def _evaluate(self) -> bool:
        """Returns whether the validation loss is the best so far."""
        phase = self._journal.phase
        self._journal.tell(phase="evaluating")
        result = self._evaluator(self._model, self._in_between)
        fields: dict[str, Any] = {
            "step": self.at.step,
            "train_loss": result.train_loss,
            "val_loss": result.val_loss,
            "perplexity": None if result.val_loss is None else _exp(result.val_loss),
        }
        val = result.val_loss
        self.at.val_loss, self.at.val_step = val, self.at.step
        improved = val is not None and math.isfinite(val) and (self.at.best is None or val < self.at.best)
        target = self.preset.eval.target
        if val is not None and target > 0 and val <= target and (self.at.best is None or self.at.best > target):
            fields["target_reached"] = target
        if improved:
            self.at.best = val
        self.unsaved = True
        self._journal.event("eval", **fields)
        self._journal.tell(phase=phase)
        return improved

    def _sample(self) -> None:
        phase, p = self._journal.phase, self.preset.sample
        self._journal.tell(phase="sampling")
        prompt = prompt_of(p.prompt, self._corpus)
        with self._resolved.autocast():
            ids = generate(
                self._model,
                self._corpus.tokenizer.encode(prompt),
                tokens=p.tokens,
                T=self.preset.model.context or self.preset.batch.T,
                temperature=p.temperature,
                top_k=p.top_k,
                seed=p.seed,
                newline=self._newline,
                between=self._in_between,
            )
        text = self._corpus.tokenizer.decode(ids)
        self._journal.event("sample", step=self.at.step, prompt=prompt, text=text)
        self._journal.tell(phase=phase)

    def save(self) -> None:
        """A checkpoint of this boundary; where there is no room for it, training waits until there is."""
        phase = self._journal.phase
        self._journal.tell(phase="saving")
        self._saver(self.at, self.preset, self._edits, self.rows.base)
        self.unsaved = False
        self._journal.tell(phase=phase)

    def hurry(self) -> None:
        """The run is about to end: what cannot be written now is not waited for."""
        self._journal.patience = at_once

    def _while_waiting(self) -> None:
        """The run directory cannot be written: still listening, and leaving when told to."""
        self._signals.leave_if_asked()
        self.steering.look(now=True)
        for command in self.steering.inside():
            if command.command == "stop" and command.at is None:
                self.steering.take(command)
                raise Leave("stopped", 0, command=command)

    def _in_between(self) -> None:
        """Between the parts of an eval or a sample: still listening, and leaving at once when told to."""
        self.steering.look()
        self.steering.inside()
        self._signals.leave_if_asked()

    # ---------------------------------------------------------------------------------- commands

    def _act(self, command: Command) -> None:
        name, args = command.command, command.arguments
        try:
            if name in ("stop", "rewind"):
                raise Leave("stopped", 0, command=command) if name == "stop" else Rewind(command)
            if name == "set":
                self._edit(Edit(self.at.step, args["changes"], command.id))
            elif name == "inspect":
                if not self._inspection:
                    self._inspection = Inspection(args.get("top", 5))
                self._inspection.ids.append(command.id)
                self.steering.acknowledge([command])
                return
            else:
                self._simple(name, args)
        except UsageError as error:
            self.steering.finish(command.id, "refused", str(error))
        else:
            self.steering.finish(command.id, "applied")

    def _simple(self, name: str, args: dict[str, Any]) -> None:
        if name == "pause":
            self._gait.pause()
            self._journal.tell(state="paused")
        elif name == "unpause":
            self._gait.unpause()
            self._journal.tell(state="running")
        elif name == "step":
            self._gait.step(micro=args.get("micro", False), inside=self._inside is not None)
            self._journal.tell(state="paused")
        elif name == "pace":
            self._gait.hold_to(args.get("rate", 0))
            self._journal.tell(pace=self._gait.pace)
        elif name == "eval":
            if self._evaluate():
                self.save()
        elif name == "sample":
            self._sample()
        elif name == "save":
            self.save()

    def _act_on_edits(self) -> None:
        """Edits that this attempt was given: a replay's, or those that a lost attempt had made."""
        while self._edits and self._edits[0].step <= self.at.step:
            self._edit(self._edits.pop(0))

    def _edit(self, edit: Edit) -> None:
        """Change live settings before record `edit.step`. UsageError where they cannot be, and nothing changed."""
        dead = [key for key in edit.changes if not presets.live_key(key)]
        if dead:
            raise UsageError(f"{', '.join(dead)}: not a live key; it needs a new run")
        new = presets.apply(self.preset, edit.changes)
        T_changes = new.batch.T != self.preset.batch.T
        if T_changes and new.model.kind == "mlp":
            raise UsageError("batch.T: an mlp's context is fixed by its weights; another T needs a new run")
        if new.schedule.steps < self.at.step:
            raise UsageError(f"schedule.steps = {new.schedule.steps}: {self.at.step} updates are done already")
        rows = self.rows.edited(self.at.rows_before, T=new.batch.T, order=new.data.order)
        prompt_of(new.sample.prompt, self._corpus)
        changes = {key: list(both) for key, both in presets.changes(self.preset, new).items()}
        if not changes:
            return
        if new.batch != self.preset.batch and (
            why := shortage.beyond(new, self._corpus.tokenizer.vocab_size, self._resolved)
        ):
            raise UsageError(why)
        self._journal.event(
            "edit", durable=True, step=self.at.step, id=edit.id, changes=changes, base=rows.base.to_json()
        )
        self.preset, self.rows, self.unsaved = new, rows, True
        self._journal.tell(steps=new.schedule.steps)

    def _finish_inspection(self, inspection: Inspection, update: Update, rows_before: int, lr: float) -> None:
        self._inspection = None
        assert self._inside is not None
        p = self.preset
        about: dict[str, float | None] = {
            "step": self.at.step, "rows_before": rows_before, "loss": update.loss, "grad_norm": update.grad_norm,
            "clip_coefficient": p.optimizer.clip / update.grad_norm if update.clipped else 1.0, "lr": lr,
            "update_ratio": inspection.update_ratio(self._optimizer),
            "B": p.batch.B, "T": p.batch.T, "accum": p.batch.accum, "world": WORLD,
        }  # fmt: skip
        path, hash_ = inspection.write(self._journal.run, self._inside, about)
        for id in inspection.ids:
            self.steering.finish(id, "applied", file=f"inspect/{path.name}", hash=hash_)


def _exp(loss: float) -> float:
    return math.inf if loss >= 700 else math.exp(loss)
