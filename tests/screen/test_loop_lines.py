"""The loop that is shown is the loop that runs."""

import ast
import textwrap

from workbench.screen.step.loop_lines import SOURCE, STAGES, cut, loop_lines, window


def test_every_stage_finds_its_line_in_the_real_source() -> None:
    loop = loop_lines()
    assert loop.at.keys() == STAGES.keys()
    order = [loop.at[stage] for stage in STAGES]
    assert order == sorted(order), "the stages come in the order of the loop"
    for stage, text in STAGES.items():
        assert text in loop.lines[loop.at[stage]]


def test_the_lines_are_the_sources_own() -> None:
    source = SOURCE.read_text()
    lines = loop_lines().lines
    assert lines[0].startswith("optimizer.zero_grad()")
    assert lines[-1].startswith("optimizer.step()")
    assert not any("type: ignore" in line for line in lines)
    for line in lines:
        assert line.partition("  # ")[0].strip() in source
    body = "def loop():\n" + textwrap.indent("\n".join(lines), "    ")
    assert ast.parse(body), "cut out, it is still Python"


def test_a_source_without_the_loop_shows_nothing() -> None:
    assert cut("print(1)\n").lines == ()


def test_the_window_holds_the_lit_line() -> None:
    for lit in range(30):
        begin, end = window(30, lit, 7)
        assert begin <= lit < end
        assert end - begin == 7
    assert window(3, 2, 7) == (0, 3)
