"""Sentences with figures in them: "noise fell {b1.noise / b64.noise:.1f} times"."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from string import Formatter

from workbench.lab.lessons.expressions import ExpressionError, parsed

_SPEC = re.compile(r"(,?(\.[0-9])?[fge%])?")


@dataclass(frozen=True)
class Piece:
    """Text as it stands, then an expression ("" at the end) and how its number is written."""

    literal: str
    expression: str
    spec: str


@lru_cache(maxsize=512)
def pieces(template: str) -> tuple[Piece, ...]:
    """The pieces of a template. Raises ExpressionError for what is in braces and no figure."""
    found = []
    try:
        split = list(Formatter().parse(template))
    except ValueError as error:
        raise ExpressionError(f"braces hold a figure, {{{{ is a brace by itself ({error})") from None
    for literal, name, spec, conversion in split:
        expression = (name or "").strip()
        if name is not None:
            if conversion or not _SPEC.fullmatch(spec or ""):
                raise ExpressionError(f"{{{name}:{spec}}}: a figure is written as .3f, ,.0f, .2g or .0%")
            parsed(expression)
        found.append(Piece(literal, expression, spec or ""))
    return tuple(found)


def filled(template: str, written: Callable[[str, str], str]) -> str:
    """The sentence, each figure as `written(expression, spec)` has it."""
    return "".join(p.literal + (written(p.expression, p.spec) if p.expression else "") for p in pieces(template))
