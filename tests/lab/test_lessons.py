"""Lessons: what an expression may say, what is told of a bad file, and that every shipped one comes out as it says."""

import contextlib
import json
import math
import os
import re
import signal
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import UsageError
from workbench.lab import lessons
from workbench.lab.lessons import LessonError, Missing, expressions, names, reading
from workbench.lab.lessons.document import LARGEST
from workbench.lab.lessons.expressions import FUNCTIONS, ExpressionError, Index, Series, parsed
from workbench.lab.lessons.figures import Figures, shown
from workbench.lab.lessons.lesson import Ask, Expect
from workbench.lab.lessons.outcome import answer, outcome
from workbench.lab.lessons.templates import pieces

if TYPE_CHECKING:
    from conftest import Command


class Given:
    """Figures by name, for expressions alone."""

    def __init__(self, numbers: dict[str, float] | None = None, series: dict[str, list[float]] | None = None) -> None:
        self._numbers, self._series = numbers or {}, series or {}

    def number(self, name: str) -> float:
        if name not in self._numbers:
            raise Missing(f"{name}: not measured")
        return self._numbers[name]

    def series(self, name: str, at: Index) -> Series:
        found = self._series[name][at]
        return found if isinstance(found, list) else [found]


def value(text: str, **numbers: float) -> float:
    return parsed(text).value(Given(numbers))


# ---------------------------------------------------------------------------------------------- expressions


@st.composite
def arithmetic(draw: st.DrawFn, depth: int = 3) -> str:
    """Text that Python, too, takes for arithmetic."""
    if depth == 0 or draw(st.booleans()):
        return draw(st.sampled_from(["0", "1", "2.5", "0.125", "7", "1e3", "a", "b"]))
    left, right = draw(arithmetic(depth - 1)), draw(arithmetic(depth - 1))
    return draw(
        st.sampled_from([f"({left} + {right})", f"({left} - {right})", f"({left} * {right})", f"({left} / {right})",
                         f"-{left}", f"min({left}, {right})", f"max({left}, {right})", f"abs({left})"])
    )  # fmt: skip


@given(arithmetic())
def test_an_expression_comes_to_what_python_makes_of_it(text: str) -> None:
    named = {"a": 3.0, "b": -0.75}
    try:
        wanted = float(eval(text, {"__builtins__": {"min": min, "max": max, "abs": abs}}, named))  # noqa: S307
    except ZeroDivisionError:
        with pytest.raises(Missing):
            value(text, **named)
    else:
        assert value(text, **named) == pytest.approx(wanted, rel=1e-12)


@given(st.text(max_size=60) | st.text(alphabet="()[]{}.,:*+-/ab1_ \"'\\\n", max_size=60))
def test_any_text_is_an_expression_or_an_expression_error(text: str) -> None:
    with contextlib.suppress(ExpressionError, Missing, KeyError):  # KeyError: a series that Given does not have
        assert math.isfinite(parsed(text).value(Given({"a": 1.0, "b": 2.0}, {"a": [1.0]})))


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')", "().__class__", "a.b()", "(lambda: 1)()", "[1, 2]", "a if b else c",
        "a < b", "'text'", "True", "None", "1j", "a and b", "f'{a}'", "open('x')", "max(*a)", "sqrt(1, 2)",
        "max(x=1)", "max()", "a[b]", "a[1.5]", "a[1:2:3]", "a[:10]", "a[0][1]", "a.b[0].c", "1 // 2", "1 % 2", "~1",
        "1 @ 2", "a := 1", "await a", "1\n2", "", "   ", "a;b", "9" * 5000, "1e999", "(" * 220 + "1" + ")" * 220,
        "a\0b", "x" * 301, "a[99999999999999999999]",
    ],
)  # fmt: skip
def test_what_is_no_arithmetic_is_refused_and_never_run(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parsed(text).value(Given({"exp": 1.0}))
    assert len(str(caught.value)) < 200


def test_no_number_is_complex_endless_or_infinite() -> None:
    for text in ("(-8) ** 0.5", "9 ** 9 ** 9", "10 ** 400", "1 / 0", "ln(0)", "sqrt(-1)", "exp(1000)", "0 ** -1",
                 "1e308 * 10"):  # fmt: skip
        with pytest.raises(Missing, match=r"[a-z]"):
            value(text)


def test_functions_names_indices_and_slices() -> None:
    source = Given({"corpus.vocab": 65.0, "b1.noise": 1.5}, {"b1.loss": [4.0, 3.0, 2.0, 1.0, 9.0]})
    for text, wanted in {
        "ln(corpus.vocab)": math.log(65),
        "sqrt(2) * exp(1)": math.sqrt(2) * math.e,
        "-2 ** 2": -4.0,
        "2 ** -1": 0.5,
        "b1.loss[0] - b1.loss[-1]": -5.0,
        "mean(b1.loss[1:4])": 2.0,
        "median(b1.loss[:])": 3.0,
        "max(b1.loss[-2:], 100)": 100.0,
        "sum(b1.loss[:2]) / b1.noise": 7 / 1.5,
    }.items():
        assert parsed(text).value(source) == pytest.approx(wanted), text
    references = parsed("mean(a.b[1:]) + c - a.b[3]").references
    assert [(it.name, it.index) for it in references] == [("a.b", (1, None)), ("c", None), ("a.b", 3)]
    with pytest.raises(Missing, match=r"b2\.noise"):
        parsed("b2.noise").value(source)


def test_a_template_holds_figures_and_nothing_else() -> None:
    assert [(p.literal, p.expression, p.spec) for p in pieces("x {a.b / 2:.2f} of {mean(c.d[1:5])}, {{so}}")] == [
        ("x ", "a.b / 2", ".2f"), (" of ", "mean(c.d[1:5])", ""), (", {", "", ""), ("so}", "", ""),
    ]  # fmt: skip
    for bad in ("{", "{}", "{a!r}", "{a:>9999999999}", "{a:{b}}", "{a.__class__()}", "{a:.99f}", "}"):
        with pytest.raises(ExpressionError):
            pieces(bad)


def test_figures_are_written_as_a_person_reads_them() -> None:
    written = {
        0.0: "0",
        4.1744: "4.174",
        418473.0: "418,473",
        1e-7: "1e-07",
        12345.6: "12,346",
        -3.0: "-3",
        math.inf: "–",
    }
    assert {number: shown(number) for number in written} == written


# ---------------------------------------------------------------------------------------------- reading


LESSON = """\
format = 1
title = "A lesson of my own"
about = "what it is about"
preset = "to-be"
set = ["model.kind=bigram", "steps=3000", "schedule.kind=constant", "schedule.warmup=0", "eval.every=0"]

[[part]]
title = "One run"
say = "Look at the rows."
show = { pane = "batch", starts = [0, 2] }
tell = "It starts at {one.loss[0]:.3f}; ln V is {ln(corpus.vocab):.3f}."

[[part.ask]]
question = "Where does it start?"
answer = "one.loss[0]"

[[part.run]]
name = "one"
edit = { at = 2900, set = ["lr=1e-3"] }

[[part.expect]]
what = "loss at step 0"
figure = "one.loss[0]"
theory = "ln(corpus.vocab)"
within = 0.2

[[part.expect]]
what = "lr from the edit on"
figure = "one.lr[2900] / one.lr[2899]"
theory = "1 / 3"
ratio_within = 1.001

[[part]]
title = "The same run again"
uses = "one"
tell = "{one.steps:.0f} steps"
[[part.expect]]
what = "first row"
figure = "rows.x[0]"
equals = "be or no"
"""


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(text: str, name: str = "mine.toml") -> Path:
        path = tmp_path / name
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write


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


# ---------------------------------------------------------------------------------------------- the shipped ones


SHIPPED = lessons.shipped()


def test_there_are_eight_in_their_order() -> None:
    assert [lesson.number for lesson in SHIPPED] == list(range(1, 9))
    assert {path.stem for path in SHIPPED[0].path.parent.glob("*.toml")} == {lesson.name for lesson in SHIPPED}


@pytest.mark.parametrize("lesson", SHIPPED, ids=lambda lesson: lesson.name)
def test_a_shipped_lesson_can_be_taught(lesson: lessons.Lesson) -> None:
    """Every part says something, asks before it runs and expects a figure; texts fit a projector at 80×24."""
    assert lesson.about
    for part in lesson.parts:
        assert all((part.say, part.asks, part.expects, part.tell)), part.title
        assert part.show.pane
        assert 0 < part.seconds <= 60
        assert any(expect.theory or expect.bound == "equals" for expect in part.expects), part.title
        for text in (*part.say, *part.tell):
            assert len(textwrap.wrap(text, 76)) <= 6, text
        for expect in part.expects:
            assert len(expect.what) <= 56, expect.what
        for run in part.runs:
            assert run.preset.data.dataset in ("python-docs", "unicode-names", "markov", "")
        spoken = " ".join((*part.say, *part.tell, part.title, *(ask.question for ask in part.asks))).lower()
        for banned in ("iteration", "overfit", "generalis", "generaliz", "regularis", "regulariz", "unstable"):
            assert banned not in spoken


def test_every_figure_of_a_run_that_may_be_named_is_measured(workbench_of_module: "Command") -> None:
    """`names` lists what `lab.figures` gives: neither more nor less, on a run that has everything."""
    wb = workbench_of_module
    done = wb(
        "--headless", "unicode-names", "--steps", "40", "--set", "eval.tokens=3000", "--set", "eval.every=20",
        "--set", "optimizer.clip=1.0", "--set", "eval.target=9.0", "--set", "sample.every=0", "--quiet",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    from workbench.lab import figures as measured

    there = measured.figures(wb.run())
    assert set(there) | {"reached"} == set(names.MEASURED)


# ---------------------------------------------------------------------------------------------- figures


@pytest.fixture
def rows_figures() -> Figures:
    return Figures(SHIPPED[0].parts[0], read=True)


def test_rows_and_corpus_of_a_typed_sentence(rows_figures: Figures) -> None:
    assert rows_figures.value("rows.starts") == 11
    assert rows_figures.value("corpus.train") == 19
    assert rows_figures.value("rows.start[2] + rows.repeats") == 11
    assert rows_figures.text("rows.x[3]") == " be or n"
    assert rows_figures.fill("x = {rows.x[0]}, {rows.predictions:.0f}, {rows.start[9]}") == "x = To be or, 32, –"
    with pytest.raises(Missing, match="the step has 4 rows"):
        rows_figures.text("rows.x[4]")


def test_a_figure_that_is_not_there_fails_what_is_expected_of_it_and_says_why(rows_figures: Figures) -> None:
    failed = outcome(Expect("floor", "corpus.floor", "", "at_least", "1"), rows_figures)
    assert not failed.ok
    assert "corpus.floor: not measured" in failed.sentence
    assert answer(Ask("?", "corpus.floor"), rows_figures).text == "–"


@pytest.mark.parametrize(
    ("bound", "limit", "ok"),
    [
        ("within", "2", True), ("within", "0.9", False), ("ratio_within", "1.11", True),
        ("ratio_within", "1.05", False), ("at_least", "11", True), ("at_least", "11.5", False),
        ("at_most", "11", True), ("at_most", "10", False),
    ],
)  # fmt: skip
def test_a_bound_holds_or_does_not(rows_figures: Figures, bound: str, limit: str, ok: bool) -> None:
    assert outcome(Expect("starts", "rows.starts", "10", bound, limit), rows_figures).ok is ok


def test_a_guess_is_right_within_its_share_or_as_the_choice(rows_figures: Figures) -> None:
    number = answer(Ask("?", "rows.starts", within=0.1), rows_figures)
    assert [number.right(guess) for guess in ("11", "12", "12.2", "x", "1,100")] == [True, True, False, None, False]
    choice = answer(Ask("?", "b", choices=("a", "b")), rows_figures)
    assert [choice.right(guess) for guess in ("a", "b")] == [False, True]


def test_whether_the_largest_batch_is_the_fastest_is_answered_by_what_was_measured() -> None:
    part = lessons.load("size").parts[1]
    (ask,) = part.asks
    for largest, right, wrong in ((1000.0, "1", "0.5"), (500.0, "0.5", "1")):
        figures = {"largest_tokens_per_s": largest, "fastest_tokens_per_s": 1000.0}
        it = answer(ask, Figures(part, told={"fit": {"figures": figures}}))
        assert (it.value, it.right(right), it.right(wrong)) == (largest / 1000, True, False)
        assert f"{largest / 10:.0f}% of that" in Figures(part, told={"fit": {"figures": figures}}).fill(part.tell[1])


def test_escape_sequences_of_a_corpus_are_written_visibly(written: Any) -> None:
    written('[data]\ntext = "a\\u001b[31mb\\nc"\nval_fraction = 0.0\n[batch]\nT = 7\nB = 1\n', "own.toml")
    text = (
        LESSON.replace('"to-be"', '"own.toml"')
        .replace("[0, 2]", "[0]")
        .replace('"{one.steps:.0f} steps"', '"{rows.x[0]}"')
    )
    part = lessons.load(str(written(text))).parts[1]
    told = Figures(part, read=True).fill(part.tell[0])
    assert "\x1b" not in told
    assert "[31m" in told


# ---------------------------------------------------------------------------------------------- unattended


@pytest.mark.parametrize("lesson", SHIPPED, ids=lambda lesson: lesson.name)
def test_a_shipped_lesson_comes_out_as_it_says(lesson: lessons.Lesson, workbench: "Command") -> None:
    done = workbench("lesson", lesson.name, "--check", "--json", timeout=240)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert not [it for it in told if it["type"] == "expect" and not it["ok"]]
    assert done.returncode == 0, done.stderr
    parts = [it for it in told if it["type"] == "part"]
    assert [it["part"] for it in parts] == [part.number for part in lesson.parts]
    assert told[-1]["type"] == "lesson"
    assert told[-1]["ok"]
    assert not workbench.runs.exists()


def test_a_teachers_own_lesson_is_checked_and_its_runs_are_kept_where_asked(workbench: "Command", written: Any) -> None:
    path = written(LESSON)
    done = workbench("lesson", str(path), "--check", "--runs-dir", "mine")
    assert done.returncode == 0, done.stderr
    assert "mine 1: One run" in done.stdout
    assert "mine: as expected" in done.stdout
    (run,) = (workbench.folder / "mine").iterdir()  # the second part used the first one's
    assert run.name.startswith("lesson-mine-one")


def test_a_lessons_file_name_reaches_the_terminal_visibly(workbench: "Command", written: Any) -> None:
    done = workbench("lesson", str(written(LESSON, "a\x1b[2Jb.toml")), "--check", "--part", "1")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stdout.count("a␛[2Jb") == 2


def test_a_part_alone_runs_what_it_uses(workbench: "Command", written: Any) -> None:
    done = workbench("lesson", str(written(LESSON)), "--check", "--part", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["type"] for line in done.stdout.splitlines()] == ["expect", "part", "lesson"]


def test_a_figure_that_is_not_as_expected_exits_1_and_is_named(workbench: "Command", written: Any) -> None:
    path = written(LESSON.replace('theory = "ln(', 'theory = "1 + ln('))
    done = workbench("lesson", str(path), "--check", "--part", "1")
    assert done.returncode == 1
    assert "lesson mine, part 1: one.loss[0]: loss at step 0: " in done.stderr
    assert "within 0.2" in done.stderr
    assert "✗" in done.stdout


def test_a_run_that_ends_otherwise_is_told_with_its_part(workbench: "Command", written: Any) -> None:
    path = written(LESSON.replace('"model.kind=bigram"', '"lr=100000.0", "optimizer.clip=0"'))
    done = workbench("lesson", str(path), "--check", "--part", "1")
    assert done.returncode == 1
    assert "lesson mine, part 1: run one ended diverged" in done.stderr


def test_an_interrupt_ends_the_worker_too(workbench: "Command", written: Any) -> None:
    path = written(LESSON.replace("steps=3000", "steps=100000000"))
    process = workbench.start("lesson", str(path), "--check", "--runs-dir", "runs")
    workbench.until(lambda: any((run / "status.json").exists() for run in workbench.runs.iterdir()), timeout=60)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    state = json.loads((workbench.run() / "status.json").read_text())
    assert state["state"] == "interrupted"
    with pytest.raises(ProcessLookupError):
        os.kill(state["pid"], 0)


def test_the_list_and_what_is_refused(workbench: "Command") -> None:
    listed = workbench("lesson")
    assert listed.returncode == 0
    assert [line.split()[:2] for line in listed.stdout.splitlines()[::2]] == [
        [f"L{lesson.number}", lesson.name] for lesson in SHIPPED
    ]
    told = [json.loads(line) for line in workbench("lesson", "--json").stdout.splitlines()]
    assert [it["lesson"] for it in told] == [lesson.name for lesson in SHIPPED]
    for arguments in (
        ["bach"],
        ["rows", "--part", "99"],
        ["rows", "--json"],
        ["--check"],
        ["rows", "--check", "--big"],
    ):
        refused = workbench("lesson", *arguments)
        assert refused.returncode == 2, arguments
        assert "Traceback" not in refused.stderr


def test_functions_cannot_be_names_of_runs() -> None:
    assert set(FUNCTIONS) <= set(names.RESERVED)
    assert expressions.LONGEST < 1000  # the walk's recursion stays within Python's
