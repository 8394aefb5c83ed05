"""Figures of three rows, to be read from the last bench: half blocks, which every terminal font has."""

_ROWS = {
    "0": ("█▀█", "█ █", "▀▀▀"), "1": ("▀█ ", " █ ", "▀▀▀"), "2": ("▀▀█", "█▀▀", "▀▀▀"), "3": ("▀▀█", " ▀█", "▀▀▀"),
    "4": ("█ █", "▀▀█", "  ▀"), "5": ("█▀▀", "▀▀█", "▀▀▀"), "6": ("█▀▀", "█▀█", "▀▀▀"), "7": ("▀▀█", "  █", "  ▀"),
    "8": ("█▀█", "█▀█", "▀▀▀"), "9": ("█▀█", "▀▀█", "▀▀▀"), ".": (" ", " ", "▀"), ",": (" ", " ", "█"),
    "-": ("  ", "▀▀", "  "), "–": ("   ", "▀▀▀", "   "), "+": ("   ", "▀█▀", " ▀ "), "e": ("   ", "█▀▀", "▀▀▀"),
    "n": ("   ", "█▀█", "▀ ▀"), "a": ("   ", "▀▀█", "▀▀▀"), "i": ("▀", "█", "▀"), "f": ("█▀", "█▀", "▀ "),
}  # fmt: skip


def figures(text: str) -> list[str]:
    """`text`, a number as Python writes it, in three rows of equal width."""
    return [" ".join(_ROWS[character][row] for character in text) for row in range(3)]


def room_for(text: str) -> int:
    """The columns that `figures` takes for it."""
    return len(figures(text)[0])
