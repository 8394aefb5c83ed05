"""What a row asks, in words."""

import pytest

from workbench.screen.batch.ladder import Asks, Question, bar, ending, guesses_line, rungs, sentence
from workbench.screen.batch.sheet import Sheet, Sheets
from workbench.screen.bench.bench import Bench


def text(runs: object) -> str:
    return "".join(t for t, _ in runs)  # type: ignore[attr-defined]


@pytest.fixture
def asks(bench: object) -> Asks:
    made: Bench = bench("to-be")  # type: ignore[operator]
    made.starts = (0,)
    sheet = Sheets(made).now()
    assert isinstance(sheet, Sheet)
    page = sheet.page(0, 1)
    x, y = ([page.pieces[i] for i in ids[0]] for ids in (page.x, page.y))
    return Asks(sheet, x, y, 0, None)


def test_a_row_asks_T_questions_each_from_what_stands_before(asks: Asks) -> None:
    lines = [text(line) for line in rungs(asks, 2, 60, 8)]
    assert [line.split()[-1] for line in lines] == list("o·be·or·")
    assert lines[0].split() == ["x[:1]", "T", "→", "y[0]", "o"]
    assert lines[2].split() == ["▸x[:3]", "To·", "→", "y[2]", "b"]
    assert lines[7].split() == ["x[:8]", "To·be·or", "→", "y[7]", "·"]


def test_a_ladder_that_is_too_long_is_shown_around_the_cursor(asks: Asks) -> None:
    for cursor in range(8):
        assert sum("▸" in text(line) for line in rungs(asks, cursor, 60, 3)) == 1


def test_the_question_is_a_sentence(asks: Asks) -> None:
    assert text(sentence(asks[3], 60)) == "after `To·b` comes `e`"
    assert text(sentence(asks[7], 24)) == "after `…be·or` comes `·`"


def test_what_it_cost_and_what_was_guessed_are_told() -> None:
    asked = Question(1, "ab", 2, "c", 0.5, (("c", 0.61), ("\n", 0.2), ("\x1b", 0.1)))
    assert text(sentence(asked, 60)) == "after `ab` comes `c`: 0.50 nats, p = 0.61"
    line = text(guesses_line(asked, 76))
    assert "c✓ 61% ███" in line
    assert "↵  20% █" in line
    assert "␛  10%" in line


def test_the_end_of_a_text_is_cut_at_tokens() -> None:
    assert ending(["First", " Cit"], 2, 20) == "First·Cit"
    assert ending(["First", " Cit"], 2, 6) == "…·Cit"
    assert ending(["First", " Cit"], 1, 20) == "First"


def test_bars_are_exact() -> None:
    assert bar(0.5, 4) == "██  "
    assert bar(1 / 16, 2) == "▏ "
    assert bar(float("nan"), 2) == "  "
