"""Which rows are shown: of a record gone by, under way or to come. No Textual."""

from typing import TYPE_CHECKING

from workbench import preset as presets
from workbench.data.rows import Rows
from workbench.errors import UsageError
from workbench.runs import settings
from workbench.runs.settings import Held

if TYPE_CHECKING:
    from workbench.screen.bench.bench import Bench


def shown_step(bench: "Bench") -> int:
    """The record whose rows are shown: the chosen one; else the one under way, the last trained, or the first.

    While a run flies past, the record that this screen has looked into last stands for it. One that is paused or over
    shows its own last record: every screen on it the same, whenever it was attached.
    """
    run = bench.run
    if bench.step is not None:
        return bench.step
    if run is None:
        return 0
    if run.status and run.status.inside:
        return len(run.curves)
    inspected = bench.looking.latest
    if inspected is not None and run.alive and run.state != "paused":
        return inspected.step
    return max(0, len(run.curves) - 1)


def held_at(bench: "Bench", step: int) -> Held:
    """The settings, base and first row of a record, past or to come."""
    if bench.run is not None and (bench.run.alive or not bench.changed_since):
        return settings.at(bench.run.path, step, events=bench.run.events)
    b = bench.draft.batch
    return Held(presets.pin_context(bench.draft), step * b.B * b.accum * bench.world)


def rows_of(bench: "Bench", held: Held) -> Rows | None:
    """The row function there; None while there is no corpus, or no row fits (`text.error` says why)."""
    if bench.text.corpus is None:
        return None
    try:
        return Rows.of(held.preset, tokens=bench.text.corpus.splits["train"].n, base=held.base)
    except UsageError as error:
        bench.text.misfit = str(error)
        return None
