"""Lessons: the shipped ones, their figures, and that every one comes out as it says."""

import json
import os
import signal
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.own_lesson import LESSON
from workbench.lab import lessons
from workbench.lab.lessons import Missing, names
from workbench.lab.lessons.figures import Figures
from workbench.lab.lessons.lesson import Ask, Expect
from workbench.lab.lessons.outcome import answer, outcome

if TYPE_CHECKING:
    from conftest import Command

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
