"""Lessons as TOML: what to show, what to ask first, what to run, what must come out. Those that come with the program
lie beside this file; a teacher writes others without Python.

lesson.py       what a lesson is
document.py     its TOML, taken table by table
reading.py      from TOML to a lesson; all that is wrong is told at once
names.py        which figures a lesson may name
expressions.py  arithmetic over figures, read with `ast` and never run
templates.py    sentences with figures in them
figures.py      where figures come from
outcome.py      what came out beside what was expected
unattended.py   `--check`: a lesson run to its end without anybody
"""

import re
from pathlib import Path

from workbench.lab.lessons.document import LessonError
from workbench.lab.lessons.expressions import Missing
from workbench.lab.lessons.figures import Figures
from workbench.lab.lessons.lesson import Ask, Edit, Expect, Lesson, Part, Run, Show, Word, send_edits
from workbench.lab.lessons.outcome import Answer, Outcome, answer, outcome
from workbench.lab.lessons.reading import read
from workbench.preset.errors import line, nearest

__all__ = [
    "Answer", "Ask", "Edit", "Expect", "Figures", "Lesson", "LessonError", "Missing", "Outcome", "Part", "Run", "Show",
    "Word", "answer", "load", "outcome", "send_edits", "shipped",
]  # fmt: skip

NAMES = ("rows", "floors", "batch", "examples", "accumulation", "critical", "schedule", "size")
"""The lessons that come with the program, in their order: L1 … L8."""


def shipped() -> list[Lesson]:
    """The lessons that come with the program, in their order."""
    return [_of_number(number) for number in range(1, len(NAMES) + 1)]


def load(source: str) -> Lesson:
    """The lesson that `source` means: a shipped one's name or number (3, L3), else a TOML file. LessonError if none."""
    if source in NAMES:
        return _of_number(NAMES.index(source) + 1)
    number = re.fullmatch(r"[Ll]?([0-9]{1,3})", source)
    if number and 1 <= int(number[1]) <= len(NAMES):
        return _of_number(int(number[1]))
    path = Path(source).expanduser()
    if path.is_file() or path.suffix == ".toml":
        return read(path.absolute(), source=source)
    near = nearest(source, NAMES, cutoff=0.0)
    hint = f"did you mean {near}? " if near and source else ""
    raise LessonError([line(source, "", f"no such lesson and no such file; {hint}There are {', '.join(NAMES)}")])


def _of_number(number: int) -> Lesson:
    name = NAMES[number - 1]
    return read(Path(__file__).parent / f"{name}.toml", source=name, number=number)
