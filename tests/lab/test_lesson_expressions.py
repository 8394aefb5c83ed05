"""Expressions and templates of a lesson: what they may say, and that no text of one is ever run."""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.lab.lessons import Missing, expressions, names
from workbench.lab.lessons.expressions import FUNCTIONS, ExpressionError, Index, Series, parsed
from workbench.lab.lessons.figures import shown
from workbench.lab.lessons.templates import pieces


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


def test_functions_cannot_be_names_of_runs() -> None:
    assert set(FUNCTIONS) <= set(names.RESERVED)
    assert expressions.LONGEST < 1000  # the walk's recursion stays within Python's
