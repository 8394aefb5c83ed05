"""The training loop: between two steps everything that may happen, then one step, until the schedule's end.

boundary n   evals, samples and checkpoints that are due after n updates; then commands, edits, pauses
record n     one optimizer step (stepping.py makes it, step.py is its page), one record
"""

import math
import time
from typing import Any

import torch

from workbench import preset as presets
from workbench.data.corpus import Corpus
from workbench.data.prompts import prompt_of
from workbench.data.rows import Rows
from workbench.errors import DataError, UsageError
from workbench.preset import Preset
from workbench.runs.commands import Command
from workbench.runs.signals import Signals
from workbench.training import divergence, shortage
from workbench.training.device import Resolved
from workbench.training.evaluate import Evaluator
from workbench.training.journal import Journal, at_once
from workbench.training.models import Model
from workbench.training.optimizers import Optimizer
from workbench.training.patience import Waiting
from workbench.training.position import Edit, Leave, Position, Rewind
from workbench.training.sampling import generate
from workbench.training.saving import Saver
from workbench.training.steering import Gait, Steering
from workbench.training.stepping import Standing, Stepping


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
        train = corpus.splits["train"]
        self._now = Standing(preset, Rows.of(preset, tokens=train.n, base=position.base), position)
        self._corpus, self._resolved, self._model, self._optimizer = corpus, resolved, model, optimizer
        self._evaluator, self._journal, self.steering, self._signals = evaluator, journal, steering, signals
        self._edits = sorted(edits, key=lambda e: e.step)
        self._newline = corpus.newline if preset.data.layout == "windows" else None
        self._gait = gait
        self._stepping = Stepping(
            self._now, corpus=corpus, resolved=resolved, model=model, optimizer=optimizer, journal=journal,
            steering=steering, signals=signals, gait=gait, act=self._act,
        )  # fmt: skip
        self._saver = Saver(journal, model, optimizer, corpus)
        self._waiting = Waiting(journal, self._while_waiting)
        journal.patience = self._waiting
        self.unsaved = True
        """Something has happened since the last checkpoint: a step, an edit, an eval."""

    @property
    def at(self) -> Position:
        return self._now.at

    @property
    def preset(self) -> Preset:
        """The live settings."""
        return self._now.preset

    @property
    def rows(self) -> Rows:
        return self._now.rows

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

    def _step(self) -> None:
        self.unsaved = True
        self._stepping.go(self._next_due())

    def _next_due(self) -> int:
        """The first boundary after this one at which there is something to do."""
        n, p = self.at.step, self.preset
        every = [e for e in (p.eval.every, p.sample.every, p.checkpoint.every) if e > 0]
        due = [p.schedule.steps, *((n // e + 1) * e for e in every), *(edit.step for edit in self._edits[:1])]
        if (asked := self.steering.next_at(n + 1)) is not None:
            due.append(asked)
        return max(n + 1, min(due))

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

    def unfit(self) -> str:
        """Why these weights are no state to go back to; "" where they are one."""
        at = self.at
        if at.val_step == at.step and at.val_loss is not None and not math.isfinite(at.val_loss):
            return f"the validation loss is {at.val_loss}"
        if not all(bool(torch.isfinite(p).all()) for p in self._optimizer.parameters):
            return "weights are no longer finite"
        return ""

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
                self._stepping.inspect(command.id, args.get("top", 5))
                self.steering.acknowledge([command])
                return
            else:
                self._simple(name, args)
        except (UsageError, DataError) as error:
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
            self._gait.step(micro=args.get("micro", False), inside=self._stepping.inside)
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
        prompt = prompt_of(new.sample.prompt, self._corpus)
        if new.sample.every and not self.preset.sample.every:
            self._corpus.tokenizer.encode(prompt)  # which loads what encodes, if that is still to be had
        changes = {key: list(both) for key, both in presets.changes(self.preset, new).items()}
        if not changes:
            return
        if new.batch != self.preset.batch and (
            why := shortage.beyond(new, self._corpus.tokenizer.vocab_size, self._resolved)
        ):
            raise UsageError(why)
        try:
            self._journal.event(
                "edit", durable=True, step=self.at.step, id=edit.id, changes=changes, base=rows.base.to_json()
            )
        finally:  # told to leave while it waits for room: what the journal has taken counts, and a save says so too
            self._now.preset, self._now.rows, self.unsaved = new, rows, True
        self._journal.tell(steps=new.schedule.steps)


def _exp(loss: float) -> float:
    return math.inf if loss >= 700 else math.exp(loss)
