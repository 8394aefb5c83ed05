"""Sentences from anywhere, in lines: harmless, and broken between words."""

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
