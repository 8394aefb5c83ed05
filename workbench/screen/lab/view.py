"""What a view of the Lab pane is: fields that are turned or typed, rows that are chosen, and lines. No Textual."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from workbench.screen.frame.lined import Run
from workbench.screen.glyphs import fit
from workbench.screen.lab.asking import Told

if TYPE_CHECKING:
    from workbench.screen.bench.bench import Bench

Line = list[Run]
Name = Literal["plan", "fit", "check", "sweep", "compare"]
LABEL = 14
"""Columns of a field's label, the cursor's among them."""


@dataclass
class Field:
    """A line that is turned: through `options`, the first one first. One with `words` can be typed as well."""

    label: str
    options: tuple[str, ...]
    words: str = ""
    """What is asked when it is typed; "" for one that is only turned."""
    empty: str = ""
    """What an empty value means."""
    check: Callable[[str], str] = field(default=lambda text: "")
    value: str = ""

    def __post_init__(self) -> None:
        self.value = self.value or (self.options[0] if self.options else "")

    def turn(self, by: int) -> None:
        if self.options:
            at = self.options.index(self.value) if self.value in self.options else (-1 if by > 0 else 0)
            self.value = self.options[(at + by) % len(self.options)]

    def line(self, width: int) -> Line:
        """Its label and value, and beside a value that is turned what the other ones are."""
        shown = self.value or self.empty
        line: Line = [
            (f" {self.label}".ljust(LABEL), "dim"),
            (fit(shown, min(len(shown), max(width - LABEL, 1))), "value"),
        ]
        others = [option for option in self.options if option != self.value and not self.words]
        rest = width - LABEL - len(shown)
        told = f"  or {', '.join(others)}" if others else "  enter types another" if self.words else ""
        return [*line, (told, "dim")] if len(told) <= rest else line


@dataclass
class Drawn:
    """The lines of a view, and on which of them the cursor may stand: its fields, then its rows. These begin with a
    blank, in whose place the cursor's mark stands: on a terminal without colours it is all that shows it."""

    lines: list[Line] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)
    lit: int = 0
    """Columns of a line that the cursor lights, where something stands beside it; 0: all of them."""

    def stop(self, line: Line) -> None:
        self.stops.append(len(self.lines))
        self.lines.append(line)


class View:
    """Subclasses say which words they ask, hear what is told, and draw."""

    name: ClassVar[Name]
    timed: ClassVar[bool] = False
    """Its figures are times: a run beside it disturbs them."""
    reads: ClassVar[bool] = False
    """It reads and trains nothing: a screen that only looks may ask it too."""

    def __init__(self, bench: "Bench") -> None:
        self.bench = bench
        self.fields: list[Field] = []
        self.at = 0
        """The stop that the cursor is on."""
        self.top = 0
        """The first line that is shown."""
        self.said: Line = []
        """What its process does, or why there is none: set by the pane."""

    @property
    def rows(self) -> int:
        """How many rows can be chosen, besides the fields."""
        return 0

    @property
    def last(self) -> int:
        """The last stop, whether it has been drawn yet or not: keys may have been typed ahead."""
        return max(len(self.fields) + self.rows - 1, 0)

    # ------------------------------------------------------------------------------- what it asks

    def words(self) -> list[str]:
        """The command line that is asked, without --json; [] where there is nothing to ask, and `why_not` says why."""
        return []

    def why_not(self) -> str:
        return ""

    def begin(self) -> None:
        """Its process has been started: what was told before is of another one."""

    def hear(self, told: Told) -> None:
        """One object that was told."""

    def doing(self) -> str:
        """What is being done, where what was told says it better than the process's phase."""
        return ""

    def conclusion(self) -> str:
        """The result in a sentence, once it is there."""
        return ""

    # ------------------------------------------------------------------------------- what keys do

    def turn(self, by: int) -> None:
        if self.at < len(self.fields):
            self.fields[self.at].turn(by)

    def take(self) -> Mapping[str, Any]:
        """The changes that the line under the cursor would make of the settings; none where it is no such line."""
        return {}

    def leave(self) -> bool:
        return False

    # ------------------------------------------------------------------------------- drawing

    def draw(self, width: int, height: int) -> Drawn:
        raise NotImplementedError

    def head(self, width: int) -> Drawn:
        """The fields, and under them what the process does."""
        drawn = Drawn()
        for one in self.fields:
            drawn.stop(one.line(width))
        if self.said:
            drawn.lines.append(self.said)
        return drawn


def number(told: Mapping[str, Any], name: str) -> float | None:
    """A number of an object that a process told, None where it is none."""
    value = told.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value == value else None


def whole(told: Mapping[str, Any], name: str) -> int | None:
    value = told.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def texts(told: Mapping[str, Any], name: str) -> list[str]:
    found = told.get(name)
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []


def objects(told: Mapping[str, Any], name: str) -> list[Told]:
    found = told.get(name)
    return [it for it in found if isinstance(it, dict)] if isinstance(found, list) else []


def an_object(told: Mapping[str, Any], name: str) -> Told:
    found = told.get(name)
    return found if isinstance(found, dict) else {}


def joined(parts: Sequence[str], width: int, between: str = " · ") -> str:
    """As many parts as fit into `width` columns, the first one first."""
    out = ""
    for part in parts:
        longer = f"{out}{between}{part}" if out else part
        if len(longer) > width:
            break
        out = longer
    return out
