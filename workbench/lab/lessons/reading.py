"""From a lesson's TOML to a `Lesson`: everything that is wrong with it is told at once, each with its place."""

import keyword
import os
import re
from dataclasses import dataclass
from pathlib import Path

from workbench import preset as presets
from workbench.lab.lessons import names
from workbench.lab.lessons.document import LessonError, Problems, Table, document
from workbench.lab.lessons.expressions import ExpressionError, parsed, text_reference
from workbench.lab.lessons.lesson import (
    AXES,
    BOUNDS,
    PANES,
    STATES,
    WORDS,
    Ask,
    Edit,
    Expect,
    Lesson,
    Part,
    Run,
    Show,
    Word,
)
from workbench.lab.lessons.templates import pieces
from workbench.preset import Preset

FORMAT = 1
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,30}")
_UNFIT = re.compile(r"[^A-Za-z0-9._-]")
"""What a run directory's name cannot hold."""

_TOP = ("format", "title", "about", "preset", "set", "part")
_PART = ("title", "say", "seconds", "preset", "set", "uses", "show", "then", "ask", "run", "word", "expect", "tell")
_SHOW = ("pane", "step", "starts", "axis", "log", "whole")
_ASK = ("question", "choices", "answer", "within", "unit")
_RUN = ("name", "label", "preset", "set", "edit", "ends")
_EDIT = ("at", "set")
_WORD = ("name", "word", "arguments", "preset", "set")
_EXPECT = ("what", "figure", "theory", *BOUNDS)


def read(path: Path, *, source: str = "", number: int = 0) -> Lesson:
    """The lesson in a file; `source` is what errors call it. Raises LessonError with everything that is wrong."""
    source = source or str(path)
    problems = Problems(source)
    lesson = _Reader(Table(document(path, source), "", problems, _TOP), path).lesson(number)
    if problems:
        raise LessonError(problems)
    return lesson


@dataclass(frozen=True)
class _Settings:
    """A preset by name, and what is put over it: of the lesson, of a part, of a run."""

    source: str
    sets: tuple[str, ...]

    def under(self, table: Table) -> "_Settings":
        """What `table` makes of them: a preset of its own takes nothing from above."""
        own = table.text("preset")
        return _Settings(own, table.texts("set")) if own else _Settings(self.source, self.sets + table.texts("set"))


class _Reader:
    def __init__(self, top: Table, path: Path) -> None:
        self._top = top
        self._path = path
        self._runs: dict[str, Run] = {}
        self._refused: set[str] = set()

    def lesson(self, number: int) -> Lesson:
        if self._top.whole("format") != FORMAT:
            self._top.wrong("format", f"expected {FORMAT}: this workbench reads lessons of format {FORMAT}")
        title, about = self._top.text("title", needed=True), self._top.text("about")
        settings = _Settings(self._top.text("preset"), self._top.texts("set"))
        parts = [self._part(part, n, settings) for n, part in enumerate(self._top.tables("part", _PART), 1)]
        if not parts:
            self._top.wrong("part", "a lesson has at least one [[part]]")
        return Lesson(self._path.stem, title, about, self._path, tuple(parts), number)

    def _part(self, table: Table, number: int, above: _Settings) -> Part:
        settings = above.under(table)
        title, preset = table.text("title", needed=True), self._preset(table, settings)
        uses = [self._runs[name] for name in table.texts("uses") if self._known(table, name)]
        runs = [self._run(run, settings) for run in table.tables("run", _RUN)]
        words = [self._word(word, settings) for word in table.tables("word", _WORD)]
        scope = names.Scope(tuple(run.name for run in (*uses, *runs)), tuple(word.name for word in words))
        show, then = table.table("show", _SHOW), table.table("then", _SHOW)
        return Part(
            number=number,
            title=title,
            say=tuple(map(_paragraph, table.texts("say"))),
            source=settings.source,
            sets=settings.sets,
            preset=preset,
            show=_show(show) if show else Show(),
            then=_show(then) if then else None,
            asks=tuple(_ask(ask, scope) for ask in table.tables("ask", _ASK)),
            runs=tuple(runs),
            uses=tuple(uses),
            words=tuple(words),
            expects=tuple(_expect(expect, scope) for expect in table.tables("expect", _EXPECT)),
            tell=_templates(table, "tell", scope),
            seconds=table.number("seconds", 0.0),
        )

    # -------------------------------------------------------------------------------- what it starts

    def _run(self, table: Table, above: _Settings) -> Run:
        name = table.text("name", needed=True)
        settings = above.under(table)
        _check_name(table, name, taken=self._runs)
        preset = self._preset(table, settings, name=_UNFIT.sub("-", f"lesson-{self._path.stem}-{name}")[:64])
        ends = table.texts("ends") or ("done",)
        for state in ends:
            if state not in STATES:
                table.wrong("ends", f"expected {' or '.join(STATES)}")
        edits = tuple(_edit(edit, preset) for edit in table.tables("edit", _EDIT))
        run = Run(name, table.text("label") or name, preset, edits, ends)
        self._runs[name] = run
        return run

    def _word(self, table: Table, above: _Settings) -> Word:
        word = table.text("word", needed=True, choices=WORDS)
        name = table.text("name") or word
        _check_name(table, name, taken=self._runs)
        settings = above.under(table)
        return Word(name, word, table.texts("arguments"), self._preset(table, settings))

    def _known(self, table: Table, name: str) -> bool:
        if name not in self._runs:
            there = ", ".join(self._runs) or "none"
            table.wrong("uses", f"{name}: expected a run of an earlier part; there are {there}")
        return name in self._runs

    def _preset(self, table: Table, settings: _Settings, *, name: str | None = None) -> Preset:
        """The preset, or the default one where it has been told what is wrong with it."""
        if not settings.source:
            self._top.wrong("preset", "missing; expected a shipped preset's name or a path from the lesson's folder")
            return Preset()
        beside = self._path.parent / os.path.expanduser(settings.source)
        source = settings.source if settings.source in presets.shipped() else str(beside)
        try:
            return presets.load(source, sets=settings.sets, name=name).preset
        except presets.PresetError as error:
            for problem in error.problems:
                if problem not in self._refused:  # of the lesson's own preset, every part of it would tell it again
                    self._refused.add(problem)
                    table.told("preset and set", problem)
        return Preset()


def _check_name(table: Table, name: str, *, taken: dict[str, Run]) -> None:
    if name and (not _NAME.fullmatch(name) or keyword.iskeyword(name) or name in names.RESERVED):
        table.wrong(
            "name", "expected letters, digits and _, the first a letter, and none of the names that figures have"
        )
    elif name in taken:
        table.wrong("name", "another run of this lesson has that name")


def _edit(table: Table, preset: Preset) -> Edit:
    at = table.whole("at")
    if at is None or at >= preset.schedule.steps:
        table.wrong("at", f"expected a step of the run, below schedule.steps = {preset.schedule.steps:,}")
    sets = table.texts("set")
    for text in sets:
        try:
            key, _ = presets.parse_assignment(text)
            if not presets.live_key(key):
                table.wrong("set", f"{key}: no live key; put it into the run's own set")
        except presets.PresetError as error:
            table.told("set", str(error))
    return Edit(at or 0, sets)


# ------------------------------------------------------------------------------------------ what it shows and says


def _paragraph(text: str) -> str:
    """A screenful as one paragraph: whoever shows it breaks its lines."""
    return " ".join(text.split())


def _show(table: Table) -> Show:
    return Show(
        pane=table.text("pane", choices=PANES),
        step=table.whole("step"),
        starts=table.wholes("starts"),
        axis=table.text("axis", choices=AXES),
        log=table.flag("log"),
        whole=table.flag("whole"),
    )


def _ask(table: Table, scope: names.Scope) -> Ask:
    choices = table.texts("choices")
    question = table.text("question", needed=True)
    if choices:
        answer = table.text("answer", needed=True, choices=choices)
    else:
        answer = table.expression("answer", needed=True)
        _check_figures(table, "answer", answer, scope)
    return Ask(question, answer, choices, table.number("within", 0.1), table.text("unit"))


def _expect(table: Table, scope: names.Scope) -> Expect:
    bounds = [bound for bound in BOUNDS if bound in table]
    bound = bounds[0] if bounds else ""
    if len(bounds) != 1:
        table.wrong("what", f"expected one bound beside the figure: {', '.join(BOUNDS)}")
    figure = table.text("figure", needed=True) if bound == "equals" else table.expression("figure", needed=True)
    theory = table.expression("theory")
    if bound == "equals":
        limit = table.text("equals")
        reference = text_reference(figure)
        if figure and (reference is None or reference.name not in names.TEXTS):
            table.wrong("figure", f"equals goes with a text, {' or '.join(f'{name}[0]' for name in names.TEXTS)}")
    else:
        limit = table.expression(bound) if bound else ""
        for key, text in (("figure", figure), ("theory", theory), (bound, limit)):
            _check_figures(table, key, text, scope)
    if bound in ("within", "ratio_within") and not theory:
        table.wrong("theory", f"missing; {bound} says how far the figure may be from it")
    return Expect(table.text("what", needed=True), figure, theory, bound, limit)


def _templates(table: Table, key: str, scope: names.Scope) -> tuple[str, ...]:
    found = tuple(map(_paragraph, table.texts(key)))
    for text in found:
        try:
            for piece in pieces(text):
                _check_figures(table, key, piece.expression, scope, texts=True)
        except ExpressionError as error:
            table.wrong(key, str(error))
    return found


def _check_figures(table: Table, key: str, text: str, scope: names.Scope, *, texts: bool = False) -> None:
    if not text:
        return
    reference = text_reference(text)
    if reference and reference.name in names.TEXTS:
        if not texts:
            table.wrong(key, f"{text} is a text: compare it with equals")
        return
    for problem in scope.problems(parsed(text)):
        table.wrong(key, problem)
