"""Arithmetic over figures that have names, as lessons write it: `b1.noise / b64.noise`, `mean(run.loss[-100:])`.

An expression is read with `ast` and walked by hand: nothing of it is ever run. It knows numbers, `+ - * / **`, dotted
names, one index or slice behind a name, and the functions in FUNCTIONS. Everything is a float.
"""

import ast
import math
import operator
import re
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn, Protocol

from workbench.errors import WorkbenchError

LONGEST = 300
"""Characters of an expression: a formula, not a program."""

Series = list[float]
Index = int | slice

_ONE: dict[str, Callable[[float], float]] = {"ln": math.log, "exp": math.exp, "sqrt": math.sqrt, "abs": abs}
_MANY: dict[str, Callable[[Series], float]] = {
    "max": max,
    "mean": statistics.fmean,
    "median": statistics.median,
    "min": min,
    "sum": math.fsum,
}
FUNCTIONS = (*_ONE, *_MANY)
_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,  # of floats alone: no number grows without limit, and none becomes complex
}


class ExpressionError(ValueError):
    """What is wrong with an expression as it is written, in words."""


class Missing(WorkbenchError):
    """A figure that is not there (yet): which one, and why."""


@dataclass(frozen=True)
class Reference:
    """A name in an expression, with its index: a whole number, a pair of bounds for a slice, or None without one."""

    name: str
    index: int | tuple[int | None, int | None] | None = None

    @property
    def bounds(self) -> Index:
        """The index as a list takes it; of a name without one, everything."""
        if isinstance(self.index, int):
            return self.index
        return slice(*(self.index or (None, None)))


class Source(Protocol):
    """Where the figures of an expression come from. Both raise Missing."""

    def number(self, name: str) -> float: ...

    def series(self, name: str, at: Index) -> Series: ...


@dataclass(frozen=True)
class Expression:
    """A checked expression. `references` are the names that it needs."""

    text: str
    tree: ast.expr
    references: tuple[Reference, ...]

    def value(self, source: Source) -> float:
        """What it comes to. Raises Missing where a figure is, or where the arithmetic has no finite answer."""
        try:
            value = _number(self.tree, source)
        except (ArithmeticError, ValueError, RecursionError) as error:
            raise Missing(f"{self.text}: {error}") from None
        if not math.isfinite(value):
            raise Missing(f"{self.text}: not finite")
        return value


@lru_cache(maxsize=512)
def parsed(text: str) -> Expression:
    """The expression that `text` is. Raises ExpressionError, whose words say what was expected."""
    if len(text) > LONGEST:
        raise ExpressionError(f"{len(text):,} characters; an expression has at most {LONGEST}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ExpressionError("not arithmetic; expected figures, numbers, + - * / ** and parentheses") from None
    try:
        return Expression(text, tree, tuple(_references(tree)))
    except RecursionError:
        raise ExpressionError("nested too deeply") from None


def text_reference(text: str) -> Reference | None:
    """The one name with a whole index that `text` is, as in `rows.x[0]`; None if it is anything else."""
    found = re.fullmatch(r"\s*([A-Za-z_][A-Za-z0-9_.]*)\[(-?[0-9]{1,9})\]\s*", text)
    return Reference(found[1], int(found[2])) if found else None


# ------------------------------------------------------------------------------------------ reading


def _references(tree: ast.expr, *, in_call: bool = False) -> Iterator[Reference]:
    """Every name below `tree`, in order; raises ExpressionError at the first thing that is no arithmetic."""
    if isinstance(tree, ast.Constant):
        _constant(tree)
    elif isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub | ast.UAdd):
        yield from _references(tree.operand)
    elif isinstance(tree, ast.BinOp) and type(tree.op) in _BINARY:
        yield from _references(tree.left)
        yield from _references(tree.right)
    elif isinstance(tree, ast.Call):
        yield from _arguments(tree)
    elif isinstance(tree, ast.Name | ast.Attribute | ast.Subscript):
        reference = _reference(tree)
        if isinstance(reference.index, tuple) and not in_call:
            raise ExpressionError(f"{ast.unparse(tree)} is many numbers: put it in mean(), median(), min() or max()")
        yield reference
    else:
        _refuse(tree)


def _arguments(call: ast.Call) -> Iterator[Reference]:
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    if name not in FUNCTIONS or call.keywords:
        raise ExpressionError(f"{ast.unparse(call.func)[:40]}(): no such function; there are {', '.join(FUNCTIONS)}")
    if (len(call.args) != 1) if name in _ONE else not call.args:
        raise ExpressionError(f"{name}() takes {'one number' if name in _ONE else 'numbers'}, not {len(call.args)}")
    for argument in call.args:
        yield from _references(argument, in_call=name in _MANY)


def _constant(tree: ast.Constant) -> float:
    if type(tree.value) not in (int, float):
        _refuse(tree)
    try:
        value = float(tree.value)  # type: ignore[arg-type]
    except OverflowError:
        raise ExpressionError("a number too large for arithmetic") from None
    if not math.isfinite(value):
        raise ExpressionError("a number too large for arithmetic")
    return value


def _reference(tree: ast.expr) -> Reference:
    if isinstance(tree, ast.Subscript):
        return Reference(_dotted(tree.value), _index(tree.slice))
    return Reference(_dotted(tree))


def _dotted(tree: ast.expr) -> str:
    if isinstance(tree, ast.Name):
        return tree.id
    if not isinstance(tree, ast.Attribute):
        _refuse(tree)
    return f"{_dotted(tree.value)}.{tree.attr}"


def _index(tree: ast.expr) -> int | tuple[int | None, int | None]:
    if isinstance(tree, ast.Slice):
        if tree.step is not None:
            raise ExpressionError("a slice is [first:past the last], without a third number")
        return (
            None if tree.lower is None else _whole(tree.lower),
            None if tree.upper is None else _whole(tree.upper),
        )
    return _whole(tree)


def _whole(tree: ast.expr) -> int:
    sign = 1
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        sign, tree = -1, tree.operand
    if isinstance(tree, ast.Constant) and type(tree.value) is int and tree.value < 10**12:
        return sign * tree.value
    raise ExpressionError("an index is a whole number, as in loss[0] or loss[100:200]")


def _refuse(tree: ast.AST) -> NoReturn:
    raise ExpressionError(f"{ast.unparse(tree)[:40]!r} is no arithmetic; expected figures, numbers, + - * / **")


# ------------------------------------------------------------------------------------------ walking


def _number(tree: ast.expr, source: Source) -> float:
    match tree:
        case ast.Constant():
            return _constant(tree)
        case ast.UnaryOp():
            value = _number(tree.operand, source)
            return -value if isinstance(tree.op, ast.USub) else value
        case ast.BinOp():
            return _BINARY[type(tree.op)](_number(tree.left, source), _number(tree.right, source))
        case ast.Call(func=ast.Name(id=name)):
            if name in _ONE:
                return _ONE[name](_number(tree.args[0], source))
            return float(_MANY[name]([value for argument in tree.args for value in _numbers(argument, source)]))
    reference = _reference(tree)
    if reference.index is None:
        return source.number(reference.name)
    return source.series(reference.name, reference.bounds)[0]


def _numbers(tree: ast.expr, source: Source) -> Series:
    """An argument of a function of many: a slice is all its numbers."""
    if isinstance(tree, ast.Subscript):
        reference = _reference(tree)
        return source.series(reference.name, reference.bounds)
    return [_number(tree, source)]
