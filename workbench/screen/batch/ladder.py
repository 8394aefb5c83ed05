"""What one row asks: T predictions, each from what stands before it. The causal ladder, a rung of it in a sentence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from workbench.runs.inspections import Inspected
from workbench.screen.batch.grid import merged
from workbench.screen.batch.sheet import Sheet
from workbench.screen.frame.lined import Run
from workbench.screen.glyphs import ELLIPSIS, cell, width_of

BLOCKS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True)
class Question:
    """y[t] of a row: given x[:t+1], which token comes?"""

    t: int
    x: Sequence[str]
    """The whole row, token by token."""
    seen: int
    """How many of them the prediction may see: t+1, or all with the `windows` layout."""
    asked: str
    loss: float | None = None
    """In nats, once the worker has told it; so are the guesses."""
    guesses: tuple[tuple[str, float], ...] = ()
    """The likeliest tokens and their probabilities, the likeliest first."""

    @property
    def chance(self) -> float | None:
        """The probability that the model gave to the right token."""
        return None if self.loss is None else math.exp(-self.loss)

    def given(self, width: int) -> str:
        """What it sees, in at most `width` columns: its end, after `…` where there is more."""
        return ending(self.x, self.seen, width)


class Asks:
    """All that one row asks: T questions, or one with the `windows` layout."""

    def __init__(self, sheet: Sheet, x: Sequence[str], y: Sequence[str], row: int, told: Inspected | None) -> None:
        """`x` and `y` are the texts of its tokens, `row` its place among the step's."""
        self._sheet, self._x, self._y, self._row, self._told = sheet, x, y, row, told

    def __len__(self) -> int:
        return len(self._y)

    def __getitem__(self, t: int) -> Question:
        windows, told = self._sheet.windows, self._told
        seen = len(self._x) if windows else t + 1
        if told is None:
            return Question(t, self._x, seen, self._y[t])
        at = (self._row,) if windows else (self._row, t)
        ids, chances = told.guesses[at].tolist(), told.chances[at].tolist()
        guesses = zip(self._sheet.corpus.tokenizer.pieces(ids), chances, strict=True)
        return Question(t, self._x, seen, self._y[t], float(told.losses[at]) + 0.0, tuple(guesses))


def ending(pieces: Sequence[str], end: int, width: int) -> str:
    """The end of pieces[:end], as cells draw them, in at most `width` columns; `…` stands for what is left out."""
    kept: list[str] = []
    used = 0
    for n in range(end - 1, -1, -1):
        need = width_of(pieces[n])
        if used + need > width - (n > 0):
            return ELLIPSIS[: max(width, 0)] + "".join(reversed(kept))
        kept.append(cell(pieces[n], need) if need else "")
        used += need
    return "".join(reversed(kept))


def sentence(question: Question, width: int) -> list[Run]:
    """What is asked, in words: after `First Cit` comes `i`; and what it cost, once that is known."""
    asked = cell(question.asked, max(1, min(width_of(question.asked), 24)))
    tail: list[Run] = []
    if question.loss is not None:
        tail = [(f": {question.loss:.2f} nats, p = {question.chance:.2g}", "")]
    fixed = len("after `` comes ``") + width_of(question.asked) + sum(len(text) for text, _ in tail)
    given = question.given(max(4, width - fixed))
    told: list[Run] = [("after `", "dim"), (given, "past"), ("` comes `", "dim"), (asked, "target"), ("`", "dim")]
    return told + tail


def guesses_line(question: Question, width: int) -> list[Run]:
    """The likeliest tokens as small bars on one line; ✓ marks the right one."""
    runs: list[Run] = [("guesses ", "dim")]
    used = 8
    for piece, chance in question.guesses:
        shown = cell(piece, min(max(width_of(piece), 1), 8))
        right = piece == question.asked
        part = f"{'✓' if right else ' '}{chance:4.0%} {bar(chance, 5)}  "
        need = min(max(width_of(piece), 1), 8) + len(part)
        if used + need > width:
            break
        runs += [(shown, "target" if right else "bold"), (part, "good" if right else "")]
        used += need
    return merged(runs)


def guesses_list(question: Question, width: int) -> list[list[Run]]:
    """The same, one a line."""
    wide = min(max((width_of(piece) for piece, _ in question.guesses), default=1), 12)
    lines = []
    for piece, chance in question.guesses:
        right = piece == question.asked
        room = max(0, width - max(wide, 1) - 9)
        lines.append(
            [
                (cell(piece, max(wide, 1)), "target" if right else "bold"),
                (f"{'✓' if right else ' '}{chance:4.0%} ", "good" if right else ""),
                (bar(chance, room).rstrip(), "good" if right else "smooth"),
            ]
        )
    return lines


def bar(share: float, width: int) -> str:
    """A horizontal bar of a share of 1, in exactly `width` columns."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8) if share == share else 0
    full, rest = divmod(eighths, 8)
    return (BLOCKS[8] * full + (BLOCKS[rest] if rest else "")).ljust(width)


def rungs(asks: Asks, cursor: int, width: int, height: int) -> list[list[Run]]:
    """The ladder in `height` lines: given x[:1] → y[0], given x[:2] → y[1], …; around the cursor where it is longer."""
    begin = min(max(0, cursor - height // 2), max(0, len(asks) - height))
    shown = [asks[t] for t in range(begin, min(begin + height, len(asks)))]
    if not shown:
        return []
    number = len(str(shown[-1].seen))
    wide = min(max(1, *(width_of(q.asked) for q in shown)), 12)
    costs = shown[0].loss is not None
    room = max(6, width - (2 * number + 14) - wide - (12 if costs else 0))
    givens = [q.given(room) for q in shown]
    longest = max(map(cell_len, givens))
    lines = []
    for q, given in zip(shown, givens, strict=True):
        here = q.t == cursor
        line: list[Run] = [
            ("▸" if here else " ", "mark"),
            (f"x[:{q.seen}]".ljust(number + 5), "" if here else "dim"),
            (" " * (longest - cell_len(given)), ""),
            (given, "past" if here else ""),
            (f" → y[{q.t}] ".ljust(number + 7), "" if here else "dim"),
            (cell(q.asked, wide), "target" if here else "bold"),
        ]
        if q.loss is not None:
            line.append((f" {q.loss:5.2f} {bar(math.exp(-q.loss), 5)}", "" if here else "dim"))
        lines.append(line)
    return lines
