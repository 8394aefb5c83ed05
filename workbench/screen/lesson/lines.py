"""The pages of a lesson as lines: as many of them as there is room for, the one that is being read in full."""

import re
from dataclasses import dataclass

from rich.cells import cell_len

from workbench.lab.lessons import Ask
from workbench.screen.frame.lined import Run
from workbench.screen.frame.paragraph import paragraph
from workbench.screen.glyphs import fit, plain
from workbench.screen.lesson.session import Page, Session
from workbench.screen.lesson.work import Work, label_of

Line = list[Run]

HEADS = ("measured", "theory", "you said")
"""Over the columns of the table, after what is measured; whether theory holds is marked right after theory."""
TITLED = 12
"""Lines from which on the part's title stands above them; else the border says it."""
LEAST = 22
"""Columns that what was measured has in a table; with fewer the figures stand on a line of their own."""
MARKS = {True: ("✓", "good"), False: ("✗", "bad")}
_WRITTEN = re.compile(r"(?<=\S)\n(?=[^\s*-])")


@dataclass(frozen=True)
class Drawn:
    """What is seen of a page: its lines, and whether there is more of it below."""

    lines: list[Line]
    more: bool
    room: int
    """Lines of it that there is room for."""


def draw(session: Session, width: int, height: int, top: int) -> Drawn:
    """`height` lines: the part's title where it does not cost much, pages that were read before while there is room,
    this page from its line `top` on, and at the bottom what `enter` does."""
    titled = height >= TITLED
    room = max(height - 1 - 2 * titled, 1)
    page = block(session, session.now, width)
    if session.now.kind == "run" and session.work is not None and not session.work.why:
        under_way = len(session.work.items) - len(session.work.todo)
        start = max(min(under_way - room // 2, len(page) - room), 0)
        page = page[start : start + room]  # a list that moves along: nobody should have to turn to the run that trains
    more = len(page) - top > room
    shown = page[top : top + room]
    if not top and not more:
        for before in reversed(session.pages[: session.page]):
            answered = before.kind == "ask" and session.results is not None  # what came out tells it again
            read = [] if answered else block(session, before, width)
            if not read:
                continue
            if len(read) + 1 + len(shown) > room:
                break
            shown = [*read, [], *shown]
    lines: list[Line] = [[(fit(session.part.title, width).rstrip(), "title")], []] if titled else []
    lines += shown
    lines += [[]] * (height - 1 - len(lines))
    return Drawn([*lines[: height - 1], _prompt(session, width, more)], more, room)


# ----------------------------------------------------------------------------------- pages


def block(session: Session, page: Page, width: int) -> list[Line]:
    """The whole of one page; nothing of one that there is nothing to see of."""
    part, found = session.part, session.results
    if page.kind == "say":
        return _text(part.say[page.n], width)
    if page.kind == "ask":
        return _ask(session, page.n, width)
    if page.kind == "run":
        return [] if found else _runs(session, width)
    if page.kind == "found":
        return table(session, width) if found else [[("reading the figures …", "dim")]]
    if page.kind == "tell":
        told = found.tell if found else ()
        return _text(told[page.n], width) if page.n < len(told) else []
    return _end(session, width)


def _text(text: str, width: int, ink: str = "") -> list[Line]:
    """Running text in the pane's own lines: where its file begins a new line matters only before space, - or *."""
    return [[(line, ink)] for line in paragraph(_WRITTEN.sub(" ", text.strip()), max(width, 1))]


def _ask(session: Session, n: int, width: int) -> list[Line]:
    """The question, and what can be answered or was."""
    ask = session.part.asks[n]
    lines: list[Line] = [[(line, "value")] for line in paragraph(ask.question.strip(), max(width, 1))]
    open_here = session.ask is ask and session.now == Page("ask", n)
    if not open_here:
        guess = session.guess(n)
        return [*lines, [("you said ", "dim"), (fit(guess, max(width - 9, 1)).rstrip(), "staged")]] if guess else [
            *lines, [("no prediction", "dim")]]  # fmt: skip
    if ask.choices:
        for letter, choice in zip("abcdefghi", ask.choices, strict=False):
            here = choice == session.typed
            ink = "staged" if here else ""
            first, *rest = paragraph(choice, max(width - 5, 1))
            lines.append([("▸ " if here else "  ", "mark"), (f"{letter}  ", "key"), (first, ink)])
            lines += [[("     ", ""), (line, ink)] for line in rest]
        return [*lines, *_text(session.wrong, width, "bad")] if session.wrong else lines
    unit = f" {plain(ask.unit)}" if ask.unit else ""
    cursor = "" if session.rests else "cursor"
    lines.append([("▸ ", "mark"), (plain(session.typed), "staged"), (" ", cursor), (unit, "dim")])
    if session.wrong:
        lines += _text(session.wrong, width, "bad")
    return lines


# ----------------------------------------------------------------------------------- runs


def _runs(session: Session, width: int) -> list[Line]:
    """What has run, what runs and what is to come."""
    work = session.work
    if work is None:
        return []
    lines: list[Line] = []
    names = [plain(label_of(item)) for item in work.items]
    wide = min(max(map(cell_len, names), default=1), max(width // 2, 1))
    at = len(work.items) - len(work.todo)
    for n, (item, name) in enumerate(zip(work.items, names, strict=True)):
        mark: Run = ("✓ ", "good") if item not in work.todo else ("● ", "warn") if n == at else ("· ", "dim")
        if item in work.todo and item is work.now and work.state == "failed":
            mark = ("✗ ", "bad")
        line: Line = [mark, (fit(name, wide), "" if item in work.todo[1:] else "value")]
        told = _progress(work) if item is work.now else ""
        lines.append([*line, (f"  {fit(told, max(width - wide - 4, 1)).rstrip()}", "dim")] if told else line)
    if work.why:
        lines += _text(work.why, width, "bad" if work.state == "failed" else "warn")
    return lines


def _progress(work: Work) -> str:
    """How far the run or word is that is under way."""
    if work.state != "going":
        return ""
    run = work.run
    if run is None or not len(run.curves):
        return plain(work.phase)
    parts = [f"step {len(run.curves):,}/{run.steps:,}"]
    last = run.curves.last
    parts += [f"loss {last['loss']:.3f}"] if last else []
    left = work.seconds_left
    parts += ["paused"] if run.state == "paused" else [f"{left:.0f} s left"] if left is not None and left >= 1 else []
    parts += [plain(work.phase)] if work.phase and run.state != "paused" else []
    return " · ".join(parts)


# ----------------------------------------------------------------------------------- what came out


@dataclass(frozen=True)
class Row:
    """A figure of the table; `ok` is whether it is as expected, `right` whether the prediction was."""

    what: str
    measured: str
    theory: str = ""
    """What theory gives; where it gives no figure, what was expected."""
    exact: bool = True
    """It is a figure."""
    guess: str = ""
    ok: bool | None = None
    right: bool | None = None
    why: str = ""


def rows(session: Session) -> list[Row]:
    """The part's figures. A prediction stands beside the figure that it was of, else in a row of its own."""
    found = session.results
    if found is None:
        return []
    out, taken = [], set()
    for outcome, expect in zip(found.outcomes, session.part.expects, strict=True):
        asked = [
            n
            for n, ask in enumerate(session.part.asks)
            if n not in taken and not ask.choices and ask.answer in (expect.figure, expect.theory)
        ]
        guess, right = "", None
        if asked:
            taken.add(asked[0])
            guess, right = session.guess(asked[0]), session.right(asked[0])
        exact = outcome.theory is not None
        theory = outcome.theory_text if exact else outcome.bound
        out.append(Row(outcome.what, outcome.measured_text, theory, exact, guess, outcome.ok, right, outcome.why))
    asks = list(enumerate(zip(session.part.asks, found.answers, strict=True)))
    return [
        *(
            Row(ask.question, answer.text, guess=session.guess(n), right=session.right(n))
            for n, (ask, answer) in asks
            if n not in taken and not ask.choices
        ),
        *out,
    ]


def table(session: Session, width: int) -> list[Line]:
    """Choices as sentences; then what, measured, theory, your prediction, and whether theory holds."""
    found, lines = session.results, list[Line]()
    assert found is not None
    for n, (ask, answer) in enumerate(zip(session.part.asks, found.answers, strict=True)):
        if ask.choices:
            lines += _chosen(ask, answer.text, session.guess(n), width)
    shown = rows(session)
    if not shown:
        return lines
    columns = [[plain(row.measured), plain(row.theory), _guessed(row)] for row in shown]
    heads = [head if n != 2 or any(row[2] for row in columns) else "" for n, head in enumerate(HEADS)]
    wide = [max(cell_len(head), *(cell_len(row[n]) for row in columns)) for n, head in enumerate(heads)]
    room = width - sum(cells + 2 for cells in wide if cells) - 2
    if room < LEAST:
        return lines + [line for row in shown for line in _stacked(row, width)]
    what = min(room, max(cell_len(line) for row in shown for line in paragraph(row.what, room)))
    head: Line = [("  " + text.rjust(c), "dim") for text, c in zip(heads, wide, strict=True) if c]
    lines.append([(" " * what, ""), *head[:2], *([("  ", ""), *head[2:]] if head[2:] else [])])
    for row, cells in zip(shown, columns, strict=True):
        first, *rest = paragraph(row.what, what)
        line: Line = [(fit(first, what), "")]
        inks = ("value", "floor" if row.exact else "dim", _guess_ink(row))
        figures = [
            ("  " + " " * (c - cell_len(cell)) + cell, ink) for cell, c, ink in zip(cells, wide, inks, strict=True) if c
        ]
        mark = _mark(row) or ([("  ", "")] if figures[2:] else [])
        lines.append([*line, *figures[:2], *mark, *figures[2:]])
        lines += [[(more, "")] for more in rest]
        lines += _text(row.why, width, "dim") if row.why else []
    return lines


def _stacked(row: Row, width: int) -> list[Line]:
    """What was measured on lines of its own, the figures below it."""
    parts: list[Line] = [[(plain(row.measured), "value")]]
    if row.theory:
        parts.append([("theory ", "dim"), (plain(row.theory), "floor")] if row.exact else [(plain(row.theory), "dim")])
    parts[-1] += _mark(row)
    if row.guess:
        parts.append([("you ", "dim"), (_guessed(row), _guess_ink(row))])
    line: Line = [("  ", "")]
    for n, part in enumerate(parts):
        line += [*([("  ", "")] if n else []), *part]
    return [*_text(row.what, width), line, *(_text(row.why, width, "dim") if row.why else [])]


def _chosen(ask: Ask, answer: str, guess: str, width: int) -> list[Line]:
    lines = _text(ask.question, width, "dim")
    mark, ink = MARKS[guess == answer] if guess else (" ", "")
    said = f" (you said {guess})" if guess and guess != answer else ""
    return [*lines, *([(f"{mark} " if not n else "  ", ink), (line, "value")]
                      for n, line in enumerate(paragraph(f"{answer}{said}", max(width - 2, 1))))]  # fmt: skip


def _guessed(row: Row) -> str:
    """The prediction, and whether it was right in words: the mark is that of the figure."""
    mark = {True: " right", False: " wrong", None: ""}[row.right]
    return plain(row.guess) + mark if row.guess else ""


def _guess_ink(row: Row) -> str:
    return {True: "good", False: "warn", None: "staged"}[row.right]


def _mark(row: Row) -> list[Run]:
    if row.ok is None:
        return []
    mark, ink = MARKS[row.ok]
    return [(f" {mark}", ink)]


# ----------------------------------------------------------------------------------- the end, and the prompt


def _end(session: Session, width: int) -> list[Line]:
    """What the whole lesson came to, and each of its parts."""
    parts = session.lesson.parts
    held, of, right, said = session.score(*(part.number for part in parts))
    told = ([f"{held} of {of} figures as expected"] if of else []) + (
        [f"{right} of {said} predictions right"] if said else []
    )
    lines = _text(f"The end: {', '.join(told)}." if told else f"The end of {session.lesson.title}.", width, "value")
    if len(parts) == 1:
        return lines + (table(session, width) if session.results else [])
    scores = [_score(session, part.number) for part in parts]
    wide = max(cell_len(score) for score in scores)
    room = max(width - wide - 5, 1)
    for part, score in zip(parts, scores, strict=True):
        first, *rest = paragraph(part.title, room)
        lines.append([(f"{part.number}  ", "dim"), (fit(first, room), ""), ("  ", ""), (score.rjust(wide), "dim")])
        lines += [[(" " * (cell_len(str(part.number)) + 2) + line, "")] for line in rest]
    return lines


def _score(session: Session, part: int) -> str:
    """A part's figures and predictions in few cells."""
    if part not in session.found:
        return "left out"
    held, of, right, said = session.score(part)
    return ", ".join(([f"{held}/{of}"] if of else []) + ([f"{right}/{said} right"] if said else []))


def _prompt(session: Session, width: int, more: bool) -> Line:
    """What the keys do here, on one line."""
    found: list[tuple[str, str]] = []
    kind, work = session.now.kind, session.work
    if more:
        found.append(("enter", "reads on"))
    elif session.ask is not None and session.rests:
        found.append(("enter", "answers the question"))
    elif session.ask is not None:
        how = "a letter, then" if session.ask.choices else "type it, then"
        found += [("enter", _next(session))] if session.typed else [(f"{how} enter", ""), ("enter alone", "skips")]
    elif kind == "run" and work is not None and not session.results:
        if work.state in ("failed", "waiting"):
            found.append(("enter", "goes on without it" if work.state == "failed" else "goes on with the lesson"))
        elif work.state == "over":
            found.append(("", "reading the figures …"))
        else:
            if work.trains:
                found.append(("space", "goes on" if work.run and work.run.state == "paused" else "pauses"))
            found.append(("←", "reads again"))
    else:
        found.append(("enter", _next(session)))
    if kind in ("run", "found", "tell", "end") and not more:
        found.append(("r", "this part again"))
    line: Line = []
    for key, what in found:
        more_cells = sum(cell_len(text) for text, _ in line) + cell_len(key) + cell_len(what) + 3
        if more_cells > width and line:
            break
        line += [("   ", "")] if line else []
        line += [(f"{key} ", "key")] if key else []
        line.append((what, "dim"))
    used = sum(cell_len(text) for text, _ in line)
    return line if used <= width else [(fit("".join(text for text, _ in line), width), "dim")]


def _next(session: Session) -> str:
    """What `enter` leads to."""
    part, after = session.part, session.following
    here = session.now.kind == "run" and session.work is None
    if (here or (after == "run" and session.work is None)) and (missing := len(session.kept.missing(part))):
        what = f"{missing} run{'s' if missing > 1 else ''}" if part.all_runs else "the measurement"
        return f"starts {what}" + (f", about {part.seconds:.0f} s" if part.seconds else "")
    if after == "run" and session.work is not None:
        return "goes on to the runs"
    if after is None:
        last = part.number == len(session.lesson.parts)
        return "chooses another lesson" if last else f"goes on to part {part.number + 1}"
    to = {"ask": "goes on to the question", "run": "shows what came out", "found": "shows what came out"}
    return to.get(after, "goes on")
