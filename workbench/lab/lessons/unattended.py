"""`--check`: a lesson run to its end without anybody; its figures are held against what it expects."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.lab.lessons.figures import Figures
from workbench.lab.lessons.lesson import Lesson, Part, Run, Word, send_edits
from workbench.lab.lessons.outcome import Outcome, outcome
from workbench.runs.events import read_events
from workbench.runs.launch import Launch, isolated
from workbench.runs.status import read as read_status

_PATIENCE = 10.0
"""Seconds that a cancelled worker gets to save before it is killed."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Checked:
    """A part that has been run, and what came out."""

    part: Part
    seconds: float
    outcomes: tuple[Outcome, ...]
    missing: tuple[str, ...]
    """What a question's answer or a sentence needs and is not there, and why."""

    @property
    def ok(self) -> bool:
        """Whether every expectation held, and every figure that is spoken of is there."""
        return all(one.ok for one in self.outcomes) and not self.missing


def check(lesson: Lesson, parts: Sequence[Part], folder: Path, tell: Tell = lambda text: None) -> Iterator[Checked]:
    """Run these parts of a lesson, one process at a time, their runs in `folder`; yield each as it is over.

    Raises WorkbenchError naming the lesson, the part and the run for one that does not end as it should. An exception
    here, KeyboardInterrupt among them, ends the process that runs.
    """
    done: dict[str, Path] = {}
    for part in parts:
        begun = time.monotonic()
        try:
            for run in part.all_runs:
                if run.name not in done:
                    tell(f"{lesson.name} {part.number}: {run.label}")
                    done[run.name] = _train(run, folder)
            told = {}
            for word in part.words:
                tell(f"{lesson.name} {part.number}: workbench {' '.join(word.command)}")
                told[word.name] = _told(word)
            figures = Figures(part, runs=done, told=told, read=True)
            outcomes = tuple(outcome(expect, figures) for expect in part.expects)
            answers = (ask.answer for ask in part.asks if not ask.choices)
            missing = (*(figures.lacking(f"{{{text}}}") for text in answers), *map(figures.lacking, part.tell))
        except WorkbenchError as error:
            error.args = (f"lesson {lesson.name}, part {part.number}: {error}",)
            raise
        yield Checked(part, time.monotonic() - begun, outcomes, tuple(filter(None, missing)))


def _train(run: Run, folder: Path) -> Path:
    """One run to its end, its edits made: where it lies."""
    asked: list[str] = []
    launch = Launch(["--headless", "-", "--runs-dir", str(folder)], stdin=run.toml)
    try:
        launch.wait()
        if launch.run is not None:
            asked = send_edits(run, launch.run)
        code = launch.wait_for_end()
    finally:
        if launch.ended is None:
            launch.cancel()
            if launch.wait_for_end(_PATIENCE) is None:
                launch.cancel()  # a second time: it leaves at once
    if launch.run is None:
        raise WorkbenchError(f"run {run.name} did not begin (exit {code}): {launch.error}")
    status = read_status(launch.run)
    state = status.state if status else "lost"
    if state not in run.ends:
        why = f": {launch.error}" if launch.error else ""
        raise WorkbenchError(f"run {run.name} ended {state} (exit {code}), expected {' or '.join(run.ends)}{why}")
    answers = {e["id"]: e for e in read_events(launch.run) if e["type"] == "answer"}
    for id, edit in zip(asked, run.edits, strict=True):
        if id not in answers or answers[id]["state"] != "applied":
            why = answers[id].get("reason", "") if id in answers else "the run was over before it was read"
            raise WorkbenchError(f"run {run.name}: its edit at step {edit.at:,} was not made: {why}")
    return launch.run


def _told(word: Word) -> dict[str, Any]:
    """The last object that one of the laboratory's words tells."""
    process = subprocess.Popen(
        [sys.executable, *isolated(None), "-m", "workbench", *word.command],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        errors="replace",
    )  # fmt: skip
    try:
        out, said = process.communicate(word.toml)
    finally:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE)
            process.kill()
            process.wait()
    try:
        last = json.loads(out.splitlines()[-1])
    except (IndexError, ValueError):
        last = None
    if not isinstance(last, dict) or "figures" not in last or process.returncode not in (0, 1):  # 1: it does not hold
        why = said.strip() or f"exit code {process.returncode}"
        raise WorkbenchError(f"workbench {' '.join(word.command)}: {why.removeprefix('workbench: ')}")
    return last
