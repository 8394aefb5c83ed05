"""A lesson's TOML, table by table: each value is taken by its kind, and what is wrong is told with its place."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.errors import UsageError
from workbench.lab.lessons.expressions import ExpressionError, parsed
from workbench.preset.errors import NOTHING, line, nearest, printable

LARGEST = 2**18
"""Bytes of a lesson: a few pages."""

Document = dict[str, Any]


class LessonError(UsageError):
    """A lesson that cannot be used. `problems` holds one line for each thing that is wrong."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class Problems(list[str]):
    """What is wrong with one file, a line each."""

    def __init__(self, source: str) -> None:
        self.source = source

    def tell(self, key: str, what: str, value: object = NOTHING) -> None:
        self.append(line(self.source, key, what, value=value))


class Table:
    """One table of the document. What is not there, or is wrong and was told, reads as its default."""

    def __init__(self, given: object, place: str, problems: Problems, keys: Sequence[str]) -> None:
        self._given: Document = {}
        self._place = place
        self._problems = problems
        if not isinstance(given, dict):
            problems.tell(place, f"expected a table with {', '.join(keys)}", given)
            return
        self._given = given
        for key in given:
            if key not in keys:
                near = nearest(key, keys, cutoff=0.0)
                self.wrong(key, f"no such key; did you mean {near}? There are {', '.join(keys)}")

    def __contains__(self, key: str) -> bool:
        return key in self._given

    def at(self, key: str) -> str:
        return f"{self._place}.{key}" if self._place else key

    def wrong(self, key: str, what: str) -> None:
        self._problems.tell(self.at(key), what, self._given.get(key, NOTHING))

    def told(self, key: str, what: str) -> None:
        """Something is wrong with `key` that another reader has worded whole."""
        self._problems.tell(self.at(key), what)

    def text(self, key: str, *, needed: bool = False, choices: Sequence[str] = ()) -> str:
        value = self._given.get(key)
        if value is None and not needed:
            return ""
        if not isinstance(value, str) or not value.strip():
            expected = f"expected one of {', '.join(choices)}" if choices else "expected text"
            self.wrong(key, expected if key in self._given else f"missing; {expected}")
            return ""
        if choices and value not in choices:
            near = nearest(value, choices, cutoff=0.0)
            self.wrong(key, f"expected one of {', '.join(choices)}; did you mean {near}?")
            return ""
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """One text or a list of them."""
        value = self._given.get(key, [])
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, list) or not all(isinstance(text, str) and text.strip() for text in found):
            self.wrong(key, "expected a text or a list of texts")
            return ()
        return tuple(found)

    def number(self, key: str, default: float) -> float:
        value = self._given.get(key, default)
        if type(value) not in (int, float) or not 0 <= value < float("inf"):
            self.wrong(key, "expected a number of at least 0")
            return default
        return float(value)

    def whole(self, key: str) -> int | None:
        value = self._given.get(key)
        if value is not None and (type(value) is not int or value < 0):
            self.wrong(key, "expected a whole number of at least 0")
            return None
        return value

    def flag(self, key: str) -> bool:
        value = self._given.get(key, False)
        if not isinstance(value, bool):
            self.wrong(key, "expected true or false")
        return value is True

    def wholes(self, key: str) -> tuple[int, ...]:
        value = self._given.get(key, [])
        if not isinstance(value, list) or not all(type(n) is int and n >= 0 for n in value):
            self.wrong(key, "expected a list of whole numbers, as in [0, 2, 10, 2]")
            return ()
        return tuple(value)

    def expression(self, key: str, *, needed: bool = False) -> str:
        """An expression; a plain number may stand for one."""
        value = self._given.get(key)
        if type(value) in (int, float):
            value = repr(value)
        if value is None and not needed:
            return ""
        if not isinstance(value, str):
            self.wrong(key, 'expected a number or arithmetic over figures, as in "b1.noise / b64.noise"')
            return ""
        try:
            parsed(value)
        except ExpressionError as error:
            self.wrong(key, str(error))
            return ""
        return value

    def tables(self, key: str, keys: Sequence[str]) -> list["Table"]:
        """The tables of [[key]]; one table may stand for a list of it."""
        value = self._given.get(key, [])
        found = value if isinstance(value, list) else [value]
        return [
            Table(given, f"{self.at(key)}[{number}]", self._problems, keys) for number, given in enumerate(found, 1)
        ]

    def table(self, key: str, keys: Sequence[str]) -> "Table | None":
        return Table(self._given[key], self.at(key), self._problems, keys) if key in self._given else None


def document(path: Path, source: str) -> Document:
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
        if len(raw) > LARGEST:
            raise ValueError(f"over {LARGEST:,} bytes, too long for a lesson")
        return tomllib.loads(raw.decode("utf-8-sig"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise LessonError([line(source, "", f"this lesson cannot be read: {reason}")]) from None
    except RecursionError:
        raise LessonError([line(source, "", "lists or tables nested too deeply")]) from None
    except ValueError as error:  # not UTF-8, not TOML, too long
        raise LessonError([line(source, "", f"not a lesson in TOML: {printable(str(error))}")]) from None
