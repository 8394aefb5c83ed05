"""Sentences from anywhere, in lines: harmless, and broken between words. And lines beside lines."""

from collections.abc import Sequence
from itertools import zip_longest

from rich.cells import cell_len

from workbench.screen.glyphs import plain, wrap


def paragraph(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` ≥ 1 columns. A word that is longer than a line is broken where it must be."""
    lines: list[str] = []
    for part in plain(text, newlines=True).split("\n"):
        line = ""
        for word in part.split(" "):
            longer = f"{line} {word}" if line else word
            if cell_len(longer) <= width:
                line = longer
                continue
            if line:
                lines.append(line)
            *full, line = wrap(word, width)
            lines += full
        lines.append(line)
    return lines


def told(text: str, width: int, ink: str) -> list[list[tuple[str, str]]]:
    """A paragraph as lines of a drawing, in one style."""
    return [[(line, ink)] for line in paragraph(text, max(width, 1))]


def beside(
    left: Sequence[Sequence[tuple[str, str]]], width: int, right: Sequence[Sequence[tuple[str, str]]], between: str = ""
) -> list[list[tuple[str, str]]]:
    """Lines beside lines, as many as the longer side has: the left ones filled up to `width` columns."""
    return [
        [*a, (" " * (width - sum(cell_len(text) for text, _ in a)), ""), (between, "axis"), *b]
        for a, b in zip_longest(left, right, fillvalue=())
    ]
