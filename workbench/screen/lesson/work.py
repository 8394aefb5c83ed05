"""What a part of a lesson has to do: its runs as the screen's own, one after another, then its words."""

import re
import threading
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Literal

from workbench import preset as presets
from workbench.lab import lessons
from workbench.lab.lessons import Lesson, Part, Run, Word
from workbench.preset import Loaded, PresetError
from workbench.runs.launch import Launch
from workbench.screen.bench.bench import Bench
from workbench.screen.bench.follow import Followed
from workbench.screen.lab.asking import Asking, Told

State = Literal["going", "waiting", "failed", "over"]
"""`waiting`: the screen shows something else, so the next run is not started over it."""

Item = Run | Word

ANSWERS = ("plan", "fit", "scenarios", "check")
"""The types of the objects that a word's last one may be."""


@dataclass
class Kept:
    """What a lesson has come to so far, by the names that its expressions use."""

    runs: dict[str, Followed]
    told: dict[str, Told]
    """The last object of each word that is over."""
    heard: dict[str, list[Told]]
    """All that each word has told."""

    @property
    def paths(self) -> dict[str, Path]:
        return {name: run.path for name, run in self.runs.items()}

    def forget(self, part: Part) -> None:
        """What a part has run itself; what it uses of earlier ones stays."""
        for run in part.runs:
            self.runs.pop(run.name, None)
        for word in part.words:
            self.told.pop(word.name, None)
            self.heard.pop(word.name, None)

    def missing(self, part: Part) -> list[Item]:
        """What has still to be run before the part's figures are there."""
        runs: list[Item] = [run for run in part.all_runs if run.name not in self.runs]
        return [*runs, *(word for word in part.words if word.name not in self.told)]


LONGEST = 24
"""Characters of a lesson's name in those of its runs."""

ALL = frozenset({"lesson", "run", "status", "records", "events", "text", "knobs", "rows", "launch", "overlays"})
"""What has changed when something else is on the screen."""


class Work:
    """Call `tick` a few times a second from the application's thread. It is over, or has failed, or goes on."""

    def __init__(self, bench: Bench, lesson: Lesson, part: Part, kept: Kept) -> None:
        self._bench, self._lesson, self._part, self._kept = bench, lesson, part, kept
        self.items: tuple[Item, ...] = (*part.all_runs, *part.words)
        self.todo = kept.missing(part)
        self.state: State = "going" if self.todo else "over"
        self.why = ""
        """Why it has failed, or waits."""
        self.run: Followed | None = None
        """The run that is under way."""
        self._launch: Launch | None = None
        self._edits: Edits | None = None
        self._before: Followed | None = None
        """The run of it that ended last."""
        self._unasked = False
        """The next start is of its own: nobody has just asked for it."""
        self._asking: Asking | None = None
        self._clock: tuple[float, int] | None = None
        """When the run's first step was seen, and how many there were."""

    # ------------------------------------------------------------------------------- what is told of it

    @property
    def now(self) -> Item | None:
        """What is under way, or waits for its turn at once."""
        return self.todo[0] if self.todo else None

    @property
    def trains(self) -> bool:
        """A run of its own is on the screen and alive."""
        return self.run is not None and self.run is self._bench.run and self.run.alive

    @property
    def phase(self) -> str:
        """What takes its time; "" while a run trains."""
        if self._asking is not None:
            heard = self._kept.heard.get(self.now.name, []) if self.now else []
            parts = [self._asking.phase, f"{self._asking.seconds:.0f} s", *map(_told, heard[-1:])]
            return " · ".join(part for part in parts if part)
        if self.run is not None:
            return self.run.phase if self.run.phase != "training" else ""
        return self._launch.phase if self._launch else "waiting for another start" if self._bench.starting else ""

    @property
    def waits(self) -> str:
        """What has to be over before the lesson goes on by itself; "" where nobody need wait."""
        if self.state == "over":
            return "waits for the figures"
        if self.state != "going" or self.now is None:
            return ""
        if self.trains and self.run and self.run.state == "paused":
            return "waits: the run is paused"
        alike = [item for item in self.items if isinstance(item, Run) == isinstance(self.now, Run)]
        what = "run" if isinstance(self.now, Run) else "measurement"
        at = alike.index(self.now) + 1
        return f"waits for {what} {at} of {len(alike)}" if len(alike) > 1 else f"waits for the {what}"

    @property
    def seconds_left(self) -> float | None:
        """Of the run that trains, at the speed it has had."""
        run, clock = self.run, self._bench.clock()
        if run is None or run.state != "running" or not len(run.curves):
            return None
        if self._clock is None:
            self._clock = (clock, len(run.curves))
        since, first = self._clock
        done = len(run.curves) - first
        return (run.steps - len(run.curves)) * (clock - since) / done if done > 0 and clock - since > 1 else None

    # ------------------------------------------------------------------------------- as time goes by

    def tick(self) -> set[str]:
        """Go on if there is something to go on with. Returns what has changed, in the words of `Pane.heard`."""
        if self.state != "going":
            return set()
        item = self.now
        if item is None:
            self.state = "over"
            return {"lesson"}
        if isinstance(item, Word):
            return self._word(item)
        return self._watch(item) if self._launch else self._begin(item)

    def go_on(self) -> None:
        """It waits, or something failed: with the next one. What failed stays undone, and its figures missing."""
        if self.state == "failed":
            self.todo = self.todo[1:]
        self.why, self.state = "", "going" if self.todo else "over"
        self._unasked = False
        self._let_go()

    def stop(self) -> None:
        """Nothing of it goes on: a run stops and saves, a word is interrupted. What is over stays."""
        if self._asking is not None:
            self._asking.cancel()
        if self._launch is not None:
            if self._launch.run is None:
                self._launch.cancel()
            elif self.trains:
                self._bench.send("stop", quiet=True)
        self.state = "over" if self.state == "over" else "failed"
        self._let_go()

    def leave(self) -> None:
        """The lesson is left and the screen stays: a word is interrupted, a run goes on."""
        if self._asking is not None:
            self._asking.cancel()

    def close(self) -> None:
        """The screen goes. Its runs are like all others: they outlive it, unless whoever leaves says otherwise."""
        if self._asking is not None:
            self._asking.close()

    def _let_go(self) -> None:
        self._launch = self._asking = self.run = self._clock = self._edits = None

    def _next(self) -> None:
        self.todo = self.todo[1:]
        self._before, self._unasked = self.run, self.run is not None
        self._let_go()

    def _fail(self, why: str) -> set[str]:
        self.state, self.why = "failed", why
        return {"lesson"}

    # ------------------------------------------------------------------------------- a run

    def _begin(self, run: Run) -> set[str]:
        """Start it as `space` would, the part's other runs over it."""
        bench, shown = self._bench, self._bench.run
        if bench.starting:
            return set()
        if self._unasked and shown is not self._before:
            self.state, self.why = "waiting", "something else is on the screen"
            return {"lesson"}
        over = opened(self._part, self._kept)
        if shown is not None and shown.alive:
            bench.tell(f"{shown.name} goes on; Runs (8) opens it again")
        lesson = re.sub(r"[^A-Za-z0-9_-]+", "-", self._lesson.name)[:LONGEST].strip("-")
        named = run.preset.model_copy(update={"name": f"lesson-{lesson}-{run.name}"})
        bench.open_preset(Loaded(named, [], _path(self._part)), self._part.source)
        bench.overlays[:] = over
        bench.start()
        self._launch = bench.launch
        assert self._launch is not None
        self._edits = Edits(run, self._launch)
        return set(ALL)

    def _watch(self, run: Run) -> set[str]:
        launch, bench = self._launch, self._bench
        assert launch is not None
        if launch.run is None:
            if launch.ended is None:
                return {"lesson"}
            return self._fail(launch.error or f"the worker ended with exit code {launch.ended} and said nothing")
        if self.run is None:
            if bench.run is not None and bench.run.path == launch.run:
                self.run = bench.run
            elif bench.launch is not launch:  # something else was opened before it was there
                self.run = Followed(launch.run)
            return {"lesson"}
        if self.run.reading or not self.run.over:
            return set()
        self._kept.runs[run.name] = self.run
        if self.run.state not in run.ends:
            why = self.run.status.reason if self.run.status else ""
            return self._fail(f"it ended {self.run.state}{f' ({why})' if why else ''}, not {' or '.join(run.ends)}")
        if self._edits is not None and (why := self._edits.wrong(self.run)):
            return self._fail(why)
        self._next()
        return {"lesson", "overlays"}

    # ------------------------------------------------------------------------------- a word

    def _word(self, word: Word) -> set[str]:
        if self._asking is None:
            words = [text for text in word.command if text != "--json"]  # which is said anyway
            told = self._kept.heard[word.name] = []
            try:
                self._asking = Asking(words, word.toml, hear=told.append, over=lambda: None)
            except OSError as error:
                return self._fail(f"no process can be had ({error.strerror})")
        elif self._asking.code is not None:
            asking, heard = self._asking, self._kept.heard[word.name]
            if not heard or heard[-1].get("type") not in ANSWERS:
                return self._fail(asking.error or "it ended without an answer")
            self._kept.told[word.name] = heard[-1]
            self._next()
        return {"lesson"}


class Edits:
    """The live edits of a run, asked for by a thread as soon as it has begun: a small run is over in a moment."""

    def __init__(self, run: Run, launch: Launch) -> None:
        self._run, self._launch = run, launch
        self._ids: list[str] = []
        self._error = ""
        if run.edits:
            threading.Thread(target=self._go, name="edits", daemon=True).start()

    def _go(self) -> None:
        self._launch.wait()
        if self._launch.run is None:
            return
        try:
            self._ids = lessons.send_edits(self._run, self._launch.run)
        except OSError as error:
            self._error = f"the command cannot be written ({error.strerror})"

    def wrong(self, run: Followed) -> str:
        """Why an edit was not made, of a run that is over; "" if all were."""
        if self._error:
            return f"its edit was not made: {self._error}"
        for edit, id in zip_longest(self._run.edits, self._ids):  # a run may be over before it could be asked
            answer = run.answer(id) if id else None
            if answer is None or answer["state"] != "applied":
                why = answer["reason"] if answer else "the run was over before it was read"
                return f"its edit at step {edit.at:,} was not made: {why}"
        return ""


def loaded(part: Part) -> Loaded:
    """The part's own settings, as a preset that was opened."""
    return Loaded(part.preset, [], _path(part))


def _path(part: Part) -> Path | None:
    """The file that its preset is from: what the headless line of the screen names."""
    try:
        return presets.find(part.source)
    except PresetError:  # it has gone since the lesson was read
        return None


def _told(it: Told) -> str:
    """What a word says on its way, in a few words."""
    if it.get("type") == "probe":
        return f"B = {it.get('B')} {'fits' if it.get('fits') else 'does not fit'}"
    return f"scenario {it.get('name')}: {it.get('state')}" if it.get("type") == "scenario" else ""


def label_of(item: Item) -> str:
    return item.label if isinstance(item, Run) else f"{item.word} {' '.join(item.arguments)}".strip()


def opened(part: Part, kept: Kept) -> list[Followed]:
    """Those of the part's runs that are there, in its order."""
    return [kept.runs[run.name] for run in part.all_runs if run.name in kept.runs]
