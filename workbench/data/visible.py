"""Text made fit for a terminal: what would act on it is shown instead."""

import unicodedata

_PICTURES = {code: chr(0x2400 + code) for code in range(0x20)} | {0x7F: "␡"}


def visible(text: str, *, keep: str = "\n\t") -> str:
    """`text` with control, format and unassigned characters made visible; those in `keep` stay as they are.

    An escape sequence in a corpus, or in what a model makes of one, never reaches a terminal alive.
    """
    return "".join(c if c in keep or _harmless(c) else _PICTURES.get(ord(c), "�") for c in text)


def _harmless(character: str) -> bool:
    return (character.isascii() and character.isprintable()) or unicodedata.category(character)[0] != "C"
