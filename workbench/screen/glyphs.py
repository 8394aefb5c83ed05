"""Hostile text made fit for cells: nothing acts on the terminal, and every column is where it is counted to be.

A character stands as it is only where its width is beyond doubt: Unicode's East Asian width and Rich's tables,
today's and 2021's, agree. Anything else becomes `�`, one column wide: what joins or varies its neighbours (ZWJ,
variation selectors, skin tones, regional indicators), bidi controls, private and unassigned code points, and the
spacing vowel signs of Indic scripts, which take a column in some terminals and none in others.
"""

import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from rich.cells import cell_len

from workbench.data.visible import visible

REPLACEMENT = "�"
ELLIPSIS = "…"
MOST_MARKS = 2  # combining marks on one base: enough for every living script, too few to climb into other lines

_CARRIER = "◌"  # what a combining mark without a base stands on
_SPACE, _STRANGE_SPACE, _NEWLINE, _TAB = "·", "␣", "↵", "→"
_RECENT = "14.0.0"  # of Unicode: what a terminal of the last years knows, and what the oldest Python here knows

# Fillers are letters that nobody can see; the circled numbers are narrow or wide by the terminal's locale; a keycap
# and a regional indicator change their neighbour's width.
_NEVER = frozenset(map(chr, (0x115F, 0x1160, 0x3164, 0xFFA0, 0x20E3, *range(0x3248, 0x3250), *range(0x1F1E6, 0x1F200))))
# Marks by category, but invisible or acting on what they follow: joiners and selectors.
_NO_MARKS = frozenset(
    map(chr, (0x034F, 0x17B4, 0x17B5, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)

Glyph = tuple[str, int]  # what is drawn, and in how many columns


@lru_cache(maxsize=1 << 14)
def _of_character(character: str) -> Glyph:
    """A character by itself; 0 columns for a combining mark, which goes onto what stands before it."""
    category = unicodedata.category(character)
    if character == " " or category == "Zs":
        return " ", 1
    if category[0] == "C":
        return visible(character, keep=""), 1
    width = cell_len(character)
    if width != cell_len(character, _RECENT) and not (category == "Mn" and width == 0):
        return REPLACEMENT, 1
    if category in ("Mn", "Me"):
        return (REPLACEMENT, 1) if width or character in _NO_MARKS or character in _NEVER else (character, 0)
    by_unicode = 2 if unicodedata.east_asian_width(character) in "WF" else 1
    if category[0] in "MZ" or width != by_unicode or character in _NEVER:
        return REPLACEMENT, 1
    return character, width


def _glyphs(text: str, *, spaces: bool, newlines: bool) -> Iterator[Glyph]:
    """Text as what is drawn, base and marks together. `spaces` shows them; `newlines` lets them through."""
    base, columns, marks = "", 0, 0  # an empty base carries no mark
    drawn = ""
    for character in text:
        glyph, width = _of_character(character)
        if width == 0:
            if not base:
                if drawn:
                    yield drawn, columns
                base, drawn, columns, marks = _CARRIER, _CARRIER, 1, 0
            if marks < MOST_MARKS:
                drawn, marks = drawn + glyph, marks + 1
            continue
        if drawn:
            yield drawn, columns
        base, drawn, columns, marks = "", glyph, width, 0
        if glyph == " ":
            drawn = (_SPACE if character == " " else _STRANGE_SPACE) if spaces else " "
        elif character == "\n":
            drawn, columns = ("\n", 0) if newlines else (_NEWLINE, 1)
        elif character == "\t":
            drawn = _TAB
        elif glyph == character:
            base = character
    if drawn:
        yield drawn, columns


def _plain_already(text: str) -> bool:
    return text.isascii() and text.isprintable()


@lru_cache(maxsize=1 << 14)
def cell(piece: str, width: int) -> str:
    """A token's text in exactly `width` ≥ 1 terminal columns: cropped with `…` or padded with spaces.

    Spaces show as `·` (others than U+0020 as `␣`), newlines as `↵`, tabs as `→`, controls as their pictures.
    """
    return _fitted(_glyphs(piece, spaces=True, newlines=False), width)


@lru_cache(maxsize=1 << 14)
def width_of(piece: str) -> int:
    """Columns that `cell` needs to draw the whole of a token's text."""
    return sum(columns for _, columns in _glyphs(piece, spaces=True, newlines=False))


def plain(text: str, *, newlines: bool = False) -> str:
    """Running text for any pane: what could act on a terminal, or has no certain width, is replaced.

    Newlines and tabs show as `↵` and `→`; `newlines` lets newlines through. At most two combining marks stay on
    a base; a mark without one stands on `◌`. Right-to-left text stays, without the controls that reorder it.
    """
    if _plain_already(text):
        return text
    return "".join(drawn for drawn, _ in _glyphs(text, spaces=False, newlines=newlines))


def fit(text: str, width: int) -> str:
    """`plain` text on one line of exactly `width` columns: cropped with `…`, or padded with spaces."""
    if _plain_already(text) and len(text) <= width:
        return text.ljust(width)
    return _fitted(_glyphs(text, spaces=False, newlines=False), width)


def middle(name: str, width: int) -> str:
    """A name in at most `width` columns, cut in its middle: what it is stands at its beginning, when it began at its
    end."""
    name = plain(name)
    if cell_len(name) <= width:
        return name
    tail = min(7, width // 2)
    head = width - tail - 1
    begin, end = len(name), 0
    while begin and cell_len(name[begin - 1 :]) <= tail:
        begin -= 1
    while cell_len(name[: end + 1]) <= head:
        end += 1
    return name[:end] + ELLIPSIS + name[begin:]


def _fitted(glyphs: Iterator[Glyph], width: int) -> str:
    if width <= 0:
        return ""
    kept: list[Glyph] = []
    used = 0
    for glyph in glyphs:
        kept.append(glyph)
        used += glyph[1]
        if used > width:
            while used > width - 1:
                used -= kept.pop()[1]
            kept.append((ELLIPSIS, 1))
            used += 1
            break
    return "".join(drawn for drawn, _ in kept) + " " * (width - used)


def wrap(text: str, width: int) -> list[str]:
    """`plain` text in lines of at most `width` ≥ 1 columns, broken at newlines and wherever a line is full.

    As with `str.split`, text that ends with a newline has an empty last line.
    """
    lines: list[str] = []
    line: list[str] = []
    used = 0
    for drawn, columns in _glyphs(text, spaces=False, newlines=True):
        if columns > width:
            drawn, columns = ELLIPSIS, 1
        if drawn == "\n" or used + columns > width:
            lines.append("".join(line))
            line, used = [], 0
        if drawn != "\n":
            line.append(drawn)
            used += columns
    return [*lines, "".join(line)]
