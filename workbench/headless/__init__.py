"""A run in the foreground, told in plain text or JSON. Headless is the worker: the same process, the same pid.

stdout is data, stderr is narration. A reader that goes away ends the telling, not the training.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import preset as presets
from workbench import startup
from workbench.data.visible import visible
from workbench.errors import UsageError
from workbench.headless.lines import Preparing, narrate
from workbench.headless.narrators import JsonNarrator, TextNarrator
from workbench.runs import commands, directory, status
from workbench.runs.events import latest, read_events
from workbench.runs.files import dump
from workbench.runs.signals import Signals

if TYPE_CHECKING:
    from workbench.training.worker import Outcome

Start = Callable[..., "Outcome"]


__all__ = ["JsonNarrator", "Preparing", "Telling", "TextNarrator", "narrate", "replay", "resume", "train"]


@dataclass(frozen=True)
class Telling:
    """How a run is told: `--json`, `--quiet`, or text for whoever reads stdout."""

    json: bool = False
    quiet: bool = False

    def narrators(self, preset: presets.Preset) -> list[Any]:
        if self.json:
            return [JsonNarrator(windows=preset.data.layout == "windows")]
        return [] if self.quiet else [TextNarrator(preset)]


def train(loaded: presets.Loaded, *, runs: str | None = None, telling: Telling) -> int:
    """`workbench --headless PRESET`. Returns the exit code."""

    folder = directory.runs_folder(runs)  # refused before torch, which takes seconds

    def start(worker: Any, **common: Any) -> "Outcome":
        outcome: Outcome = worker.new(loaded.preset, folder, **common)
        return outcome

    return _foreground(start, loaded.preset, telling)


def resume(run: Path, changes: dict[str, Any], *, telling: Telling, re_resolve: bool = False) -> int:
    """`workbench resume RUN`: unpauses a paused run, continues an ended one. Returns the exit code."""
    there = status.read(run)
    state = status.observed(there)
    if there and state in (*status.LIVE, "unresponsive"):
        if state != "paused":
            raise UsageError(
                f"{run.name} is {state} (pid {there.pid}, step {there.step:,}): there is nothing to resume"
            )
        if there.phase.startswith("waiting"):
            raise UsageError(f"{run.name} waits, and there is nothing to resume: {there.reason}")
        if changes:
            raise UsageError(f"{run.name} is paused: change it with `workbench set`, then resume it")
        answer = commands.wait(run, commands.send(run, "unpause"), timeout=30)
        print(dump(answer) if telling.json else f"{visible(run.name)}: goes on at step {answer['step']:,}")
        return 0
    ended = latest(read_events(run), "end")
    if ended and there and state == "done" and changes.get("schedule.steps", 0) <= there.step:
        if changes.keys() - {"schedule.steps"}:
            raise UsageError(
                f"{run.name} is done: to go on with other settings, add --steps N with N over {there.step:,}"
            )
        print(dump(ended) if telling.json else f"{visible(run.name)}: done already, {there.step:,} steps")
        return 0

    def start(worker: Any, **common: Any) -> "Outcome":
        outcome: Outcome = worker.resume(run, changes, re_resolve=re_resolve, **common)
        return outcome

    return _foreground(start, presets.load(str(run / "preset.toml")).preset, telling)


def replay(run: Path, *, runs: str | None, name: str | None, telling: Telling, re_resolve: bool = False) -> int:
    """`workbench replay RUN`: the same run again, as a new one. Returns the exit code."""

    folder = directory.runs_folder(runs)

    def start(worker: Any, **common: Any) -> "Outcome":
        outcome: Outcome = worker.replay(run, folder, name=name, re_resolve=re_resolve, **common)
        return outcome

    return _foreground(start, presets.load(str(run / "preset.toml")).preset, telling)


def _foreground(start: Start, preset: presets.Preset, telling: Telling) -> int:
    """Enter the training room: only when a run is to be trained here, and in this process."""
    with Preparing(silent=telling.quiet) as preparing:
        signals = Signals()  # before anything is told, since whoever hears it may cancel; torch's import takes seconds
        preparing("loading torch", None)
        from workbench.training import worker

        startup.over()
        narrators = telling.narrators(preset)
        try:
            outcome = start(worker, narrators=narrators, signals=signals, progress=preparing, tell=narrate)
        finally:
            for narrator in narrators:
                narrator.close()
    if outcome.exit_code and (telling.json or telling.quiet):  # text has said it
        narrate(outcome.reason)
    return outcome.exit_code
