"""One optimizer step as far as anyone has told: from the worker that waits inside it, its inspection, or its record."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench import preset as presets
from workbench.plan.schedule import lr_of
from workbench.preset import Preset
from workbench.runs import settings
from workbench.runs.inspections import Inspected
from workbench.runs.status import Inside
from workbench.screen.bench.rows import shown_step

if TYPE_CHECKING:
    from workbench.screen.bench.bench import Bench
    from workbench.screen.bench.follow import Followed


@dataclass(frozen=True)
class OneStep:
    """A step's micro-batches and its update; None for what nobody has told."""

    step: int
    preset: Preset
    accum: int
    losses: tuple[float | None, ...] = ()
    """Each micro-batch's own mean loss in nats, in their order, those that are done."""
    norms: tuple[float | None, ...] = ()
    """After each: the norm of the gradient added up so far, every part divided by accum."""
    under_way: bool = False
    """The worker waits inside it: the micro-batches that are not listed are still to come."""
    stage: str | None = None
    """The line of the loop that it stands at; None while it runs, or has ended."""
    loss: float | None = None
    grad_norm: float | None = None
    """Before clipping."""
    clip_coefficient: float | None = None
    lr: float | None = None
    update_ratio: float | None = None
    first: int | None = None
    """The number of its first row."""

    @property
    def done(self) -> int:
        return len(self.losses)

    @property
    def sum(self) -> float:
        """Of the micro-batches' losses; NaN where one of them is not finite."""
        return math.fsum(math.nan if loss is None else loss for loss in self.losses)

    @property
    def mean(self) -> float:
        """Of those that are done: the step's loss, once all are."""
        return self.sum / self.done if self.done else math.nan


def splitting_matters(preset: Preset) -> str:
    """Why this model's result depends on how a step is split into micro-batches; "" where it does not."""
    if preset.model.kind == "mlp" and preset.model.norm == "batch":
        return "batch norm takes its statistics from each micro-batch alone: another B·accum is another result"
    if preset.model.kind == "gpt" and preset.model.dropout > 0:
        return "dropout draws its masks micro-batch by micro-batch: another B·accum is another result"
    return ""


class Steps:
    """The step that is shown, from a bench."""

    def __init__(self, bench: "Bench") -> None:
        self._bench = bench
        self._record: tuple[tuple[object, ...], dict[str, Any] | None] = ((), None)
        self._settings: tuple[tuple[object, ...], Preset] = ((), bench.draft)

    def now(self) -> OneStep:
        bench, run = self._bench, self._bench.run
        if run is None:
            step, draft = bench.step or 0, bench.draft
            return OneStep(step, draft, draft.batch.accum, stage="zero", lr=lr_of(draft, step))
        inside = run.status.inside if run.status else None
        if inside is not None and bench.step in (None, len(run.curves)):
            return _inside(run, inside)
        step = shown_step(bench)
        stage = "update" if run.state == "paused" and step == len(run.curves) - 1 else None
        told = bench.looking.of(step)
        if told is not None:
            return _inspected(told, self._held(run, step), stage)
        record = self._recorded(run, step)
        if record is None:
            begins = "zero" if not len(run.curves) else None
            return OneStep(step, run.live, run.live.batch.accum, stage=begins, lr=lr_of(run.live, step))
        held = self._held(run, step)
        grad_norm, clip = record["grad_norm"], held.optimizer.clip
        return OneStep(
            step,
            held,
            record["accum"],
            stage=stage,
            loss=record["loss"],
            grad_norm=grad_norm,
            clip_coefficient=clip / grad_norm if 0 < clip < grad_norm else 1.0,
            lr=record["lr"],
            first=record["rows_before"],
        )

    def _held(self, run: "Followed", step: int) -> Preset:
        """The settings of a step that is over: an edit since then was none of its own."""
        key = (run, step, len(run.events))
        if key != self._settings[0]:
            edits = (e for e in run.of("edit") if e["step"] <= step)
            self._settings = (key, settings.live(edits, presets.pin_context(run.preset)))
        return self._settings[1]

    def _recorded(self, run: "Followed", step: int) -> dict[str, Any] | None:
        """A step's record. Only one that was chosen is read from the file, once."""
        last = run.curves.last
        if last is not None and last["step"] == step:
            return last
        key = (run, step, step < len(run.curves), run.status and run.status.attempt)
        if key != self._record[0]:
            self._record = (key, run.curves.at(step))
        return self._record[1]


def _inside(run: "Followed", inside: Inside) -> OneStep:
    last, step = run.curves.last, len(run.curves)
    unlisted: tuple[None, ...] = (None,) * inside["first"]
    return OneStep(
        step,
        run.live,
        inside["accum"],
        losses=(*unlisted, *inside["losses"]),
        norms=(*unlisted, *inside["norms"]),
        under_way=True,
        stage="wait",
        lr=lr_of(run.live, step),
        first=last["rows_before"] + last["B"] * last["accum"] * last["world"] if last else 0,
    )


def _inspected(told: Inspected, preset: Preset, stage: str | None) -> OneStep:
    return OneStep(
        told.step,
        preset,
        told.accum,
        losses=tuple(told.micro_losses.tolist()),
        norms=tuple(told.micro_norms.tolist()),
        stage=stage,
        loss=told.loss,
        grad_norm=told.grad_norm,
        clip_coefficient=told.clip_coefficient,
        lr=told.lr,
        update_ratio=told.update_ratio,
        first=told.rows_before,
    )
