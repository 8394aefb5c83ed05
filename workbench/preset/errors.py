"""How a preset's mistakes are worded: the source, the key, the value, and what was expected instead."""

import datetime
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workbench.errors import UsageError

# A value that is longer tells no more about the mistake and would bury the rest of the line.
LONGEST_VALUE = 60


class PresetError(UsageError):
    """A preset that cannot be used. `problems` holds one line for each thing that is wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


# No TOML value can be this one, so it can stand for "there is none to show".
NOTHING = object()


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, told by its dotted `key`; `others` are the keys that it also depends on."""

    key: str
    what: str
    others: tuple[str, ...] = ()
    value: object = NOTHING


def printable(text: str) -> str:
    """`text` with every character that a terminal would act on, or not show, written as its escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def show(value: object) -> str:
    """A TOML value on one short printable line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, str):
        # Only the head of a long text is looked at: it may be a whole corpus.
        shown = repr(value[: LONGEST_VALUE + 1])
    else:
        try:
            shown = repr(value)
        except ValueError:  # Python writes no whole number of more than 4,300 digits
            return "a very long number"
        except RecursionError:
            return "a very deep list"
    return shown if len(shown) <= LONGEST_VALUE else shown[: LONGEST_VALUE - 1] + "…"


def bare(key: str) -> str:
    """A key as the user wrote it, quoted where it is not plain."""
    plain = key and all(c.isalnum() or c in "_-" for c in key)
    return key if plain and len(key) <= LONGEST_VALUE else show(key)


def nearest(word: str, real: Iterable[str], *, cutoff: float = 0.55) -> str | None:
    """The real word that `word` was most likely meant to be, or None where none is near."""
    by_lower = {candidate.lower(): candidate for candidate in real}
    close = difflib.get_close_matches(word.lower()[:200], by_lower, n=1, cutoff=cutoff)
    return by_lower[close[0]] if close else None


def line(source: str, key: str, what: str, *, value: object = NOTHING) -> str:
    """The one line that a problem is told on; leave `key` or `value` away where there is none to show."""
    named = key if value is NOTHING else f"{key} = {show(value)}"
    return ": ".join(part for part in (printable(source), named, what) if part)
