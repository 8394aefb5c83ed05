"""What a lesson is: parts of what to read, what to show, what to ask first, what to run, and what must come out."""

from dataclasses import dataclass, field
from pathlib import Path

from workbench import preset as presets
from workbench.preset import Preset
from workbench.runs import commands

PANES = ("data", "batch", "step", "knobs", "charts", "samples", "system", "runs", "lab")
AXES = ("steps", "tokens", "seconds", "flops")
WORDS = ("plan", "fit", "check")
STATES = ("done", "diverged")
"""In which a lesson's run may end."""
BOUNDS = ("within", "ratio_within", "at_least", "at_most", "equals")


@dataclass(frozen=True)
class Show:
    """What to look at: a pane, the rows of a step or typed row starts, a chart's axis; "" and None leave it."""

    pane: str = ""
    step: int | None = None
    starts: tuple[int, ...] = ()
    axis: str = ""
    log: bool = False
    whole: bool = False
    """That pane over the whole screen."""


@dataclass(frozen=True)
class Ask:
    """What to predict before anything runs. Without `choices` a number is asked for."""

    question: str
    answer: str
    """One of the choices, else an expression."""
    choices: tuple[str, ...] = ()
    within: float = 0.1
    """A guess this close to the answer, as a share of it, is right."""
    unit: str = ""


@dataclass(frozen=True)
class Edit:
    """Live edits of a run, made when it has done `at` updates."""

    at: int
    sets: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """A run that a part starts. Its name is how expressions call it."""

    name: str
    label: str
    preset: Preset
    edits: tuple[Edit, ...] = ()
    ends: tuple[str, ...] = ("done",)

    @property
    def toml(self) -> str:
        """Its preset, for the stdin of `workbench --headless -`."""
        return presets.to_toml(self.preset)


@dataclass(frozen=True)
class Word:
    """One of the laboratory's words that a part runs; `name` is how expressions call its figures."""

    name: str
    word: str
    arguments: tuple[str, ...]
    preset: Preset

    @property
    def command(self) -> list[str]:
        """Behind `workbench`; its preset is on stdin."""
        at = next((i for i, text in enumerate(self.arguments) if text.startswith("-")), len(self.arguments))
        return [self.word, *self.arguments[:at], "-", *self.arguments[at:], "--json"]

    @property
    def toml(self) -> str:
        """Its preset, for stdin."""
        return presets.to_toml(self.preset)


@dataclass(frozen=True)
class Expect:
    """What must come out: a figure, what theory gives for it, and one bound, of the kinds in BOUNDS."""

    what: str
    figure: str
    theory: str
    bound: str
    limit: str
    """An expression; for `equals` the text itself."""


@dataclass(frozen=True)
class Part:
    """One part of a lesson: its runs are its own, so it can be started again at any time."""

    number: int
    title: str
    say: tuple[str, ...]
    source: str
    """What its preset is called: a shipped name or a path."""
    sets: tuple[str, ...]
    preset: Preset
    show: Show = field(default_factory=Show)
    then: Show | None = None
    asks: tuple[Ask, ...] = ()
    runs: tuple[Run, ...] = ()
    uses: tuple[Run, ...] = ()
    """Runs of earlier parts that it refers to; where they have not been run, they are run first."""
    words: tuple[Word, ...] = ()
    expects: tuple[Expect, ...] = ()
    tell: tuple[str, ...] = ()
    seconds: float = 0.0
    """About how long it runs on two cores; 0: nobody has said."""

    @property
    def all_runs(self) -> tuple[Run, ...]:
        """What its expressions may name."""
        return (*self.uses, *self.runs)


@dataclass(frozen=True)
class Lesson:
    """A lesson. Those that come with the program have a `number`; a teacher's own has 0."""

    name: str
    title: str
    about: str
    path: Path
    parts: tuple[Part, ...]
    number: int = 0

    @property
    def seconds(self) -> float:
        """About how long its runs take on two cores."""
        return sum(part.seconds for part in self.parts)


def send_edits(run: Run, directory: Path) -> list[str]:
    """Ask the worker of `run`, just begun in `directory`, for its edits at their steps. Returns the commands' ids."""
    return [
        commands.send(directory, "set", at=edit.at, changes=dict(presets.parse_assignment(text) for text in edit.sets))
        for edit in run.edits
    ]
