"""One run in one process: attempts, from where each begins to the `end` it writes."""

import contextlib
import faulthandler
import os
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from workbench import preset as presets
from workbench.data.corpus import Corpus
from workbench.errors import WorkbenchError, out_of_memory, passing_over_refusals
from workbench.plan.arithmetic import steps_per_epoch, tokens_per_step
from workbench.preset import Preset
from workbench.runs import FORMAT
from workbench.runs.commands import Command, Inbox
from workbench.runs.events import event
from workbench.runs.files import FILE_MODE, replace_json
from workbench.runs.signals import Interrupted, Signals
from workbench.training import checkpoints, history, shortage
from workbench.training.device import Resolved
from workbench.training.evaluate import Evaluator
from workbench.training.history import Beginning
from workbench.training.journal import Journal, Narrator
from workbench.training.loop import Loop
from workbench.training.models import Model, build, fingerprint
from workbench.training.optimizers import Optimizer
from workbench.training.patience import what
from workbench.training.position import Leave, Rewind
from workbench.training.steering import Gait, Steering
from workbench.training.stepping import WORLD


@dataclass
class Prepared:
    """All that can be refused before a run directory exists: settings checked against the machine and the data."""

    preset: Preset
    corpus: Corpus
    resolved: Resolved
    model: Model
    optimizer: Optimizer

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())


@dataclass(frozen=True)
class Outcome:
    state: str
    exit_code: int
    reason: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    """More of the `end` event: an offer, a culprit."""


def work(
    run: Path, beginning: Beginning, prepared: Prepared, *, narrators: list[Narrator], signals: Signals
) -> Outcome:
    """Train until the run ends, through as many rewinds as are asked for. The caller holds the lock."""
    signals.training = True  # from here on a signal is noted, so that the run can say how it ended
    with _log(run):
        rewound: Command | None = None
        gait = Gait()
        while True:
            try:
                return _attempt(run, beginning, prepared, narrators, signals, gait, rewound)
            except Rewind as rewind:
                rewound = rewind.command
                gait = gait.again()
                shortage.released(rewind, prepared.optimizer, prepared.resolved)
            last = beginning
            try:  # the weights that it had are let go first: there may be no room for two
                del prepared.model, prepared.optimizer
                beginning = history.from_run(run, state="rewound", extra={}, forget_edits=True)
                prepared.model, prepared.optimizer = built(beginning, prepared.corpus, prepared.resolved)
            except Exception as error:  # noqa: BLE001 - whatever it was, the run says how it ended
                return _cannot_go_back(run, last, rewound, narrators, error)


def _cannot_go_back(
    run: Path, last: Beginning, command: Command, narrators: list[Narrator], error: Exception
) -> Outcome:
    """The last words of a run that was told to rewind and could not. Nothing was cut, so a resume can try again."""
    if out_of_memory(error):
        outcome, reason = Outcome("out-of-memory", 4), "out of memory while going back to the last checkpoint"
    else:
        outcome, reason = _told(error)
        if not isinstance(error, WorkbenchError | OSError):
            _log_traceback(run)
            reason = f"{type(error).__name__}: {error}; the traceback is in {run / 'worker.log'}"
    at = last.position
    end = {
        "state": outcome.state, "step": at.step, "val_loss": at.val_loss, "seconds": at.time,
        "exit_code": outcome.exit_code, "reason": reason,
    }  # fmt: skip
    try:
        journal = Journal(run, attempt=last.attempt, steps=last.preset.schedule.steps, narrators=narrators)
    except (OSError, MemoryError):  # who listens here hears it all the same
        for narrator in narrators:
            narrator.event(event("end", at.time, **end))
            narrator.flush()
        return replace(outcome, reason=reason)
    journal.time = at.time
    with passing_over_refusals():
        journal.event("answer", step=at.step, id=command.id, state="refused", reason=reason)
        Inbox(run).remove(command.id)
        journal.event("end", durable=True, **end)
    journal.close(state=outcome.state, phase="", step=at.step, exit_code=outcome.exit_code, reason=reason)
    return replace(outcome, reason=reason)


def built(beginning: Beginning, corpus: Corpus, resolved: Resolved) -> tuple[Model, Optimizer]:
    """The model and its optimizer where the attempt begins: drawn from the seed, or a checkpoint's."""
    preset = beginning.preset
    T = preset.model.context or preset.batch.T
    model = build(preset.model, vocab=corpus.tokenizer.vocab_size, T=T, seed=preset.seed, attention=resolved.attention)
    model.to(device=resolved.torch_device, dtype=resolved.dtype)
    optimizer = Optimizer(model, preset.optimizer)
    if beginning.checkpoint:
        checkpoints.load_into(beginning.checkpoint, model, optimizer)
    return model, optimizer


def _attempt(
    run: Path,
    beginning: Beginning,
    prepared: Prepared,
    narrators: list[Narrator],
    signals: Signals,
    gait: Gait,
    rewound: Command | None,
) -> Outcome:
    preset = presets.pin_context(beginning.preset)
    corpus, resolved, model, optimizer = prepared.corpus, prepared.resolved, prepared.model, prepared.optimizer
    answered = history.answered_ids(run)
    try:
        journal = Journal(run, attempt=beginning.attempt, steps=preset.schedule.steps, narrators=narrators)
    except OSError as error:
        raise WorkbenchError(
            f"{run}: cannot be written ({what(error)}); nothing was changed: mend that, then `workbench resume` it"
        ) from None
    outcome = Outcome("failed", 1)
    reason = ""
    loop: Loop | None = None
    try:
        _resolve_once(run, beginning, resolved, corpus)
        checkpoints.forget_after(run, beginning.position.step)
        journal.cut(beginning.records)
        position = beginning.position
        journal.time = position.time
        journal.tell(step=position.step)
        inbox = Inbox(run)
        stale = inbox.poll()  # before anyone hears that it has begun, and asks
        if beginning.attempt > 1:
            _say_resume(journal, run, beginning)
        else:
            _say_start(journal, run, prepared, beginning)
        for note in beginning.notes:
            journal.event("warning", message=note)

        def answer(**fields: Any) -> None:
            journal.event("answer", step=position.step, **fields)

        if rewound:
            answer(id=rewound.id, state="applied", reason="")
            answered.append(rewound.id)
        windows = preset.data.layout == "windows"
        evaluator = Evaluator(
            train=corpus.splits["train"],
            val=corpus.splits.get("val"),
            T=beginning.started.batch.T,
            tokens=preset.eval.tokens,
            newline=corpus.newline if windows else None,
            device=resolved.torch_device,
            autocast=resolved.autocast,
        )
        loop = Loop(
            preset=preset, corpus=corpus, resolved=resolved, model=model, optimizer=optimizer, evaluator=evaluator,
            journal=journal, signals=signals,
            steering=Steering(inbox, answer, stale=stale, answered=answered, made=beginning.made),
            position=position, edits=beginning.edits, gait=gait,
        )  # fmt: skip
        journal.tell(state="paused" if gait.paused else "running", phase="training", pace=gait.pace)
        signals.leave_if_asked()
        outcome, reason = _train(loop)
    except Rewind:
        journal.close(phase="going back")
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it was, the run says how it ended
        if out_of_memory(error):
            phase, tried, at = journal.phase, loop.preset if loop else preset, loop.at if loop else beginning.position
            held = shortage.released(error, optimizer, resolved)
            reason, fields = shortage.told(
                run, tried, resolved, vocab=corpus.tokenizer.vocab_size, parameters=prepared.parameters, phase=phase,
                step=at.step, held=held, error=error,
            )  # fmt: skip
            outcome = Outcome("out-of-memory", 4, fields=fields)
        else:
            outcome, reason = _told(error)
        if outcome.state == "failed" and not isinstance(error, WorkbenchError | OSError):
            _log_traceback(run)
            reason = f"{type(error).__name__}: {error}; the traceback is in {run / 'worker.log'}"
    at = loop.at if loop else beginning.position
    if loop:
        loop.hurry()
    with passing_over_refusals():  # no room for its last words: the exit code and stderr still say them
        journal.event(
            "end", durable=True, state=outcome.state, step=at.step, val_loss=at.val_loss, seconds=journal.time,
            exit_code=outcome.exit_code, reason=reason, **outcome.fields,
        )  # fmt: skip
    journal.close(state=outcome.state, phase="", step=at.step, exit_code=outcome.exit_code, reason=reason)
    return replace(outcome, reason=reason)


def _train(loop: Loop) -> tuple[Outcome, str]:
    """Run the loop, and save where its end is one to go on from."""
    outcome, reason, command = Outcome("done", 0), "", None
    try:
        loop.run()
    except Leave as leave:
        outcome = Outcome(leave.state, leave.exit_code, fields=leave.fields)
        reason, command = leave.reason, leave.command
    except Interrupted as interrupted:
        outcome, reason = Outcome("interrupted", interrupted.exit_code), str(interrupted)
    if outcome.state in ("done", "stopped", "interrupted") and loop.unsaved and not loop.unfit():
        outcome, reason = _save_last(loop, outcome, reason)
    if command:
        loop.steering.finish(command.id, "applied")
    loop.steering.close(loop.at.step)
    return outcome, reason


def _save_last(loop: Loop, outcome: Outcome, reason: str) -> tuple[Outcome, str]:
    """Save where the run ends. One that is done waits for room; whoever told it to leave does not wait."""
    if outcome.state != "done":
        loop.hurry()
    try:
        loop.save()
    except OSError as error:
        why = what(error)
    except Leave as leave:
        outcome, why = Outcome(leave.state, leave.exit_code), "told to leave before there was room"
        if leave.command:
            loop.steering.finish(leave.command.id, "applied")
    except Interrupted as interrupted:
        outcome, reason, why = Outcome("interrupted", interrupted.exit_code), str(interrupted), "there was no room"
    else:
        return outcome, reason
    return outcome, "; ".join(filter(None, (reason, f"step {loop.at.step:,} could not be saved: {why}")))


def _told(error: BaseException) -> tuple[Outcome, str]:
    if isinstance(error, Interrupted):
        return Outcome("interrupted", error.exit_code), str(error)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return Outcome("failed", 1), f"{where}{error.strerror or error}; mend it, then `workbench resume` the run"
    if isinstance(error, WorkbenchError):
        return Outcome("failed", error.exit_code), str(error)
    return Outcome("failed", 1), ""


def _resolve_once(run: Path, beginning: Beginning, resolved: Resolved, corpus: Corpus) -> None:
    about = {
        "fingerprint": corpus.fingerprint,
        "characters": corpus.characters,
        "vocab": corpus.tokenizer.vocab_size,
    }
    replace_json(
        run / "resolved.json",
        {"format": FORMAT, "attempt": beginning.attempt, **resolved.to_json(), "corpus": about},
        durable=True,
    )


def _say_start(journal: Journal, run: Path, prepared: Prepared, beginning: Beginning) -> None:
    p, corpus = prepared.preset, prepared.corpus
    step_tokens = tokens_per_step(B=p.batch.B, T=p.batch.T, accum=p.batch.accum, world=WORLD, layout=p.data.layout)
    sizes = {f"{name}_tokens": corpus.splits[name].n if name in corpus.splits else 0 for name in ("train", "val")}
    if p.data.layout == "windows" or p.data.split == "lines":
        for name in ("train", "val", "test"):
            sizes[f"{name}_examples"] = corpus.splits[name].n if name in corpus.splits else 0
    journal.event(
        "start",
        durable=True,
        run=str(run),
        params=prepared.parameters,
        vocab=corpus.tokenizer.vocab_size,
        **sizes,
        tokens_per_step=step_tokens,
        steps_per_epoch=steps_per_epoch(corpus.splits["train"].n, step_tokens),
        steps=p.schedule.steps,
        device=prepared.resolved.device,
        precision=prepared.resolved.precision,
        fingerprint=corpus.fingerprint,
        weights=fingerprint(prepared.model),
        **({"edits_again": [e.to_json() for e in beginning.edits]} if beginning.edits else {}),  # of a replay
    )


def _say_resume(journal: Journal, run: Path, beginning: Beginning) -> None:
    journal.event(
        "resume",
        durable=True,
        run=str(run),
        attempt=beginning.attempt,
        step=beginning.position.step,
        checkpoint=beginning.checkpoint.path.name if beginning.checkpoint else None,
        records=beginning.records,
        events_bytes=beginning.events_bytes,
        steps=beginning.preset.schedule.steps,
        edits_again=[e.to_json() for e in beginning.edits],
        edits_dropped=[e.to_json() for e in beginning.dropped],
        **({"re_resolved": beginning.differing} if beginning.differing else {}),
    )


@contextlib.contextmanager
def _log(run: Path) -> Iterator[None]:
    """worker.log takes the dump of a crash that Python cannot report."""
    with _open_log(run) as file:
        faulthandler.enable(file)
        try:
            yield
        finally:
            faulthandler.disable()


def _open_log(run: Path) -> TextIO:
    fd = os.open(run / "worker.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    return os.fdopen(fd, "w")


def _log_traceback(run: Path) -> None:
    with contextlib.suppress(OSError), _open_log(run) as file:
        traceback.print_exc(file=file)
