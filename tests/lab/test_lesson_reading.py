"""A lesson's file: what it says, and what is told of a bad one."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.lab.own_lesson import LESSON
from workbench.errors import UsageError
from workbench.lab import lessons
from workbench.lab.lessons import LessonError, names, reading
from workbench.lab.lessons.document import LARGEST
from workbench.lab.lessons.expressions import FUNCTIONS
from workbench.lab.lessons.lesson import Expect


def problems(path: Path) -> list[str]:
    with pytest.raises(LessonError) as caught:
        lessons.load(str(path))
    assert isinstance(caught.value, UsageError)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return list(caught.value.problems)


def test_a_lesson_is_what_its_file_says(written: Any) -> None:
    lesson = lessons.load(str(written(LESSON)))
    assert (lesson.name, lesson.number, lesson.title) == ("mine", 0, "A lesson of my own")
    first, second = lesson.parts
    assert (first.number, first.say, first.show.starts, first.source) == (1, ("Look at the rows.",), (0, 2), "to-be")
    (run,) = first.runs
    assert run.preset.schedule.steps == 3000
    assert run.preset.name == "lesson-mine-one"
    assert (run.edits[0].at, run.edits[0].sets) == (2900, ("lr=1e-3",))
    assert second.uses == (run,)
    assert second.runs == ()
    assert first.expects[0] == Expect("loss at step 0", "one.loss[0]", "ln(corpus.vocab)", "within", "0.2")


def test_everything_that_is_wrong_is_told_at_once_with_its_place(written: Any) -> None:
    told = problems(
        written(
            """\
            format = 2
            titel = "x"
            preset = "chra"
            [[part]]
            title = 3
            seconds = -1
            show = { pane = "chart", starts = [-1], axis = "time" }
            [[part.ask]]
            question = "?"
            choices = ["a", "b"]
            answer = "c"
            [[part.ask]]
            question = "?"
            answer = "b1.los"
            [[part.run]]
            name = "b1"
            ends = "failed"
            edit = { at = 10000000, set = ["model.width=3"] }
            [[part.run]]
            name = "b1"
            [[part.run]]
            name = "corpus"
            [[part.word]]
            word = "chek"
            [[part.expect]]
            what = "no bound"
            figure = "b1.loss"
            [[part.expect]]
            what = "no theory"
            figure = "b2.loss"
            within = 0.1
            [[part.expect]]
            what = "two bounds"
            figure = "__import__('os')"
            at_least = 1
            at_most = 2
            """
        )
    )
    whole = "\n".join(told)
    for fragment in (
        "format = 2: expected 1", "titel = 'x': no such key; did you mean title?", "title: missing; expected text",
        "chra: no such file and no shipped preset; did you mean char?", "part[1].title = 3: expected text",
        "part[1].seconds = -1: expected a number of at least 0", "part[1].show.pane = 'chart': expected one of",
        "did you mean charts?", "part[1].show.starts = [-1]", "part[1].show.axis = 'time'",
        "part[1].ask[1].answer = 'c': expected one of a, b",
        "part[1].ask[2].answer = 'b1.los': b1.los: no such figure; did you mean b1.loss",
        "part[1].run[1].ends = 'failed': expected done or diverged", "part[1].run[1].edit[1].at = 10000000",
        "model.width: no live key", "part[1].run[2].name = 'b1': another run of this lesson has that name",
        "part[1].run[3].name = 'corpus'", "part[1].word[1].word = 'chek'", "did you mean check?",
        "part[1].expect[1].what = 'no bound': expected one bound",
        "part[1].expect[2].figure = 'b2.loss': b2.loss: nothing here is called b2; did you mean b1?",
        "part[1].expect[2].theory: missing", "part[1].expect[3].what = 'two bounds': expected one bound",
    ):  # fmt: skip
        assert fragment in whole, fragment
    assert all("mine.toml" in line for line in told)
    assert whole.count("no shipped preset") == 1  # once, though every run of the part has that preset


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "format: expected 1"),
        ("format = 1\ntitle = 'x'\npreset = 'char'", "a lesson has at least one [[part]]"),
        ("format = [", "not a lesson in TOML"),
        ("format = 1\npart = 3", "part[1] = 3: expected a table"),
        ("format = 1\ntitle = 'x'\n[[part]]\ntitle = 'y'", "preset: missing"),
        ("a = " + "[" * 3000, "lesson"),
        ("# " + "x" * LARGEST, "too long for a lesson"),
    ],
)
def test_what_is_no_lesson_is_refused_in_a_sentence(written: Any, text: str, told: str) -> None:
    found = problems(written(text))
    assert any(told in line for line in found), found


def test_what_is_not_there_is_told_with_the_nearest(tmp_path: Path) -> None:
    for source, told in (
        ("bach", "did you mean batch?"), ("L9", "no such lesson"), ("", "There are rows"),
        (str(tmp_path / "none.toml"), "No such file"),
    ):  # fmt: skip
        with pytest.raises(LessonError, match=told.replace("?", r"\?")):
            lessons.load(source)
    assert lessons.load("L3") == lessons.load("3") == lessons.load("batch")


def test_the_readme_for_teachers_names_every_key_and_figure_and_its_example_is_a_lesson(written: Any) -> None:
    readme = (Path(lessons.__file__).parent / "README.md").read_text(encoding="utf-8")
    example = readme.split("```toml\n")[1].split("```")[0]
    assert len(lessons.load(str(written(example))).parts[0].runs) == 2
    tables = (reading._TOP, reading._PART, reading._SHOW, reading._ASK, reading._RUN, reading._EDIT, reading._WORD)
    keys = {key for table in (*tables, reading._EXPECT) for key in table}
    words = set(re.findall(r"\w+", readme))
    assert keys | set(names.MEASURED) | set(names.SETTINGS) | set(names.CORPUS) | set(names.ROWS) <= words
    assert {*names.BY_STEP, *names.BY_EVAL, *names.SCHEDULE, *FUNCTIONS} <= words


def test_a_presets_path_is_taken_from_the_lessons_folder(written: Any, tmp_path: Path) -> None:
    written('[data]\ntext = "abcabc"\nval_fraction = 0.0\n[batch]\nT = 2\n', "own.toml")
    lesson = lessons.load(str(written(LESSON.replace('"to-be"', '"own.toml"').replace("[0, 2]", "[]"))))
    assert lesson.parts[0].preset.data.text == "abcabc"
    inside = written(LESSON.replace('"to-be"', '"../own.toml"'), "mine.toml")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "mine.toml").write_text(inside.read_text())
    assert lessons.load(str(tmp_path / "in" / "mine.toml")).parts[0].preset.data.text == "abcabc"
