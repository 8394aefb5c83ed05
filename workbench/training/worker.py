"""The worker: one process that trains one run in the foreground, whoever listens.

A new run, a resume and a replay differ in where they begin; all three check everything that can be refused before
they write anything.
"""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from workbench import preset as presets
from workbench.data.corpus import open_corpus
from workbench.data.prompts import prompt_of
from workbench.data.rows import Rows
from workbench.data.scan import Progress, silent
from workbench.errors import DataError, UsageError, WorkbenchError, out_of_memory
from workbench.plan import parameters
from workbench.preset import Preset
from workbench.runs import directory, settings, status
from workbench.runs.files import Lock, on_a_network
from workbench.runs.signals import Signals
from workbench.training import device, history, shortage
from workbench.training.attempt import Outcome, Prepared, built, work
from workbench.training.device import Resolved
from workbench.training.engines import settled
from workbench.training.history import Beginning
from workbench.training.journal import Narrator

Tell = Callable[[str], None]
"""Takes what the user should know about how the run came to be."""


__all__ = ["Busy", "OutOfMemory", "Outcome", "locked", "new", "replay", "resume"]


class Busy(UsageError):
    """Another worker has the run. Exit code 2."""


class OutOfMemory(WorkbenchError):
    """The model does not fit before the first step. Exit code 4."""

    exit_code = 4


def new(
    preset: Preset,
    folder: Path,
    *,
    narrators: Sequence[Narrator],
    signals: Signals,
    progress: Progress,
    tell: Tell,
) -> Outcome:
    """Train a preset to its end, in a run directory of its own."""
    beginning = Beginning(preset, preset)
    prepared = prepare(beginning, progress, tell)
    run = directory.create(folder, preset.name, presets.to_toml(preset))
    with locked(run):
        return work(run, beginning, prepared, narrators=list(narrators), signals=signals)


def resume(
    run: Path,
    extra: dict[str, Any],
    *,
    narrators: Sequence[Narrator],
    signals: Signals,
    progress: Progress,
    tell: Tell,
    re_resolve: bool = False,
) -> Outcome:
    """Go on from the last checkpoint, with `extra` (dotted key to value) edited at its step."""
    with locked(run, progress):
        beginning = history.from_run(run, state=history.state_of(run), extra=extra)
        live = presets.apply(beginning.preset, extra) if extra else beginning.preset
        dead = [key for key in extra if not presets.live_key(key)]
        if dead:
            raise UsageError(f"{', '.join(dead)}: not a live key, so it cannot change in a resume; start a new run")
        if live.schedule.steps < beginning.position.step:
            raise UsageError(
                f"schedule.steps = {live.schedule.steps:,}: {beginning.position.step:,} updates are done already"
            )
        for note in beginning.notes:
            tell(note)
        _check_edits(beginning)
        prepared = prepare(beginning, progress, tell, re_resolve=re_resolve)
        return work(run, beginning, prepared, narrators=list(narrators), signals=signals)


def _check_edits(beginning: Beginning) -> None:
    """Raise UsageError if an edit that will be made again does not fit what is set by then."""
    preset = beginning.preset
    for edit in beginning.edits:
        try:
            preset = presets.apply(preset, edit.changes, source=f"the edit at step {edit.step}")
        except UsageError as error:
            raise UsageError(f"{error}; it is to be made again: give its key another value with --set") from None


def replay(
    run: Path,
    folder: Path,
    *,
    narrators: Sequence[Narrator],
    signals: Signals,
    name: str | None = None,
    progress: Progress,
    tell: Tell,
    re_resolve: bool = False,
) -> Outcome:
    """The same run again as a new one, its edits made again at their steps."""
    preset = history.preset_of(run)
    if name is not None:
        preset = presets.apply(preset, {"name": name}, source="--name")
    beginning = Beginning(preset, preset, edits=history.edits_of(run))
    beginning.resolved = settings.resolved(run)
    beginning.fingerprint = history.corpus_of(run)
    prepared = prepare(beginning, progress, tell, re_resolve=re_resolve)
    again = directory.create(folder, preset.name, presets.to_toml(preset), history.of_replay(beginning.edits))
    with locked(again):
        return work(again, beginning, prepared, narrators=list(narrators), signals=signals)


def prepare(beginning: Beginning, progress: Progress, tell: Tell, *, re_resolve: bool = False) -> Prepared:
    """Open the corpus, resolve the machine, build the model. Raises WorkbenchError; nothing has been written."""
    try:
        return _prepared(beginning, progress, tell, re_resolve)
    except Exception as error:
        if isinstance(error, WorkbenchError) or not out_of_memory(error):
            raise
        raise OutOfMemory(shortage.too_large(error)) from None


def _prepared(beginning: Beginning, progress: Progress, tell: Tell, re_resolve: bool) -> Prepared:
    preset = beginning.preset
    if beginning.resolved:
        resolved, beginning.differing = device.again(beginning.resolved, preset, re_resolve=re_resolve, tell=tell)
    else:
        resolved = device.resolve(preset, tell)
    device.take(resolved)
    corpus = open_corpus(preset.data, progress=progress)
    for note in corpus.notes:
        tell(note)
    if beginning.fingerprint and beginning.fingerprint != corpus.fingerprint:
        raise DataError(
            f"the corpus has changed since the run began: its fingerprint was {beginning.fingerprint[:16]}…, is "
            f"{corpus.fingerprint[:16]}…; put the same text back, or start a new run"
        )
    resolved = settled(resolved, corpus.splits["train"])
    Rows.of(preset, tokens=corpus.splits["train"].n)  # refuses a T that is too large
    prompt = prompt_of(preset.sample.prompt, corpus)
    if preset.sample.every or any(edit.changes.get("sample.every") for edit in beginning.edits):
        corpus.tokenizer.encode(prompt)  # which loads what encodes, if that is still to be had
    progress("building the model", None)
    T = preset.model.context or preset.batch.T
    _settle_memory(beginning, resolved, corpus.tokenizer.vocab_size, T)
    return Prepared(preset, corpus, resolved, *built(beginning, corpus, resolved))


def _settle_memory(beginning: Beginning, resolved: Resolved, vocab: int, T: int) -> None:
    """Raise OutOfMemory for what this computer cannot hold: filling it block by block would bring it down.

    Lay out the heap for what it can.
    """
    preset = beginning.preset
    count = parameters.total(parameters.itemise(preset.model, vocab, T))
    there = shortage.in_all()
    if 4 * count > there:  # they are drawn on the CPU in fp32, wherever they go
        raise OutOfMemory(
            f"the model does not fit into memory: its {count:,} weights take {4 * count / 2**30:,.0f} GiB, this "
            f"computer has {there / 2**30:,.0f}; a smaller model.width, fewer model.layers or a smaller vocabulary "
            "needs less"
        )
    for edit in beginning.edits:
        if edit.step <= beginning.position.step:
            preset = presets.apply(preset, edit.changes)
    if why := shortage.beyond(preset, vocab, resolved):
        raise OutOfMemory(f"the run does not fit into memory: {why}")
    shortage.heap_for(preset, vocab, resolved)


@contextlib.contextmanager
def locked(run: Path, progress: Progress = silent) -> Iterator[None]:
    """Hold the run's lock, or raise Busy: two workers must never write one directory.

    A worker on another host may not be held off by it: the file system has no locks, or each host has its own (NFS with
    nolock, Lustre with localflock). It is heard by its heartbeat, whatever the two wall clocks say.
    """
    directory.check_own(run)
    lock = Lock(run / "lock")
    there = status.read(run)
    if not lock.acquire():
        raise Busy(f"{run.name}: another worker has it (pid {there.pid if there else 'unknown'})")
    try:
        if there and there.state in status.LIVE:
            alive = there.alive()
            if alive is None and (not lock.supported or on_a_network(run)):
                progress(f"listening for a worker on {there.host}", None)
                alive = _heard(run)
            if alive and (there.host != socket.gethostname() or not lock.supported):
                raise Busy(f"{run.name}: a worker on {there.host} has it (pid {there.pid})")
        directory.sweep(run)
        yield
    finally:
        lock.release()


def _heard(run: Path) -> bool:
    """Whether a worker on another host goes on telling its status: a dead one is silent for half a minute."""
    watch = status.Watch(run)
    watch.state()
    first = watch.status
    while watch.state() in status.LIVE:
        if watch.status and first and watch.status.heartbeat != first.heartbeat:
            return True
        time.sleep(0.2)
    return False
