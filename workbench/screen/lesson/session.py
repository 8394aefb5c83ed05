"""Where one stands in a lesson: the part, its pages, what was predicted, what came out. No Textual."""

from dataclasses import dataclass, field
from typing import Literal

from workbench.lab import lessons
from workbench.lab.lessons import Answer, Ask, Lesson, Outcome, Part, Show
from workbench.screen.bench.bench import Bench
from workbench.screen.bench.follow import Followed
from workbench.screen.frame.aside import Aside
from workbench.screen.lesson.work import ALL, Kept, Work, loaded, opened

Kind = Literal["say", "ask", "run", "found", "tell", "end"]
LOSS = "nats"
"""The unit of a prediction that is drawn on the chart."""
LONGEST = 20
"""Characters of a number that is typed."""
MOVED = frozenset({"lesson", "overlays"})
"""Another page: a prediction may stand on the charts now, and what it was of may be told."""


@dataclass(frozen=True)
class Page:
    """One thing to read or to do; `n` is its number among those of its kind."""

    kind: Kind
    n: int = 0


@dataclass
class Found:
    """What a part came to: its figures beside theory, the true answers, and what it tells of them."""

    outcomes: list[Outcome] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    tell: list[str] = field(default_factory=list)


class Session:
    """An open lesson. Keys call its methods, `tick` is called as time goes by: each returns what has changed, in the
    words of `Pane.heard`, or nothing. What a part has the panes show is `show`, anew whenever `shown` has grown."""

    def __init__(self, bench: Bench, lesson: Lesson, *, part: int = 1) -> None:
        self.lesson, self._bench = lesson, bench
        self.kept = Kept({}, {}, {})
        self.guesses: dict[tuple[int, int], str] = {}
        """By part and question; "" for one that was left out."""
        self.found: dict[int, Found] = {}
        self.typed = ""
        self.wrong = ""
        """What is wrong with what was typed."""
        self.rests = False
        """The open question was left for the moment: what is typed is no answer until `go_on` comes back to it."""
        self.work: Work | None = None
        self.shown = 0
        self._look: Aside[Found] | None = None
        self._part = min(max(part, 1), len(lesson.parts))
        self.page = 0
        self._prepare()

    # ------------------------------------------------------------------------------- where one stands

    @property
    def part(self) -> Part:
        return self.lesson.parts[self._part - 1]

    @property
    def pages(self) -> list[Page]:
        """What the part has to go through. What it came to is one page after another, as soon as it is there."""
        part = self.part
        pages = [Page("say", n) for n in range(len(part.say))] + [Page("ask", n) for n in range(len(part.asks))]
        if part.all_runs or part.words:
            pages.append(Page("run"))
        if part.expects or part.asks:
            pages.append(Page("found"))
        pages += [Page("tell", n) for n in range(len(part.tell))]
        return [*pages, Page("end")] if part.number == len(self.lesson.parts) else pages

    @property
    def now(self) -> Page:
        return self.pages[self.page]

    @property
    def _next(self) -> int | None:
        """The page that follows, None after the last; there is nothing to see of runs that are over."""
        pages, at = self.pages, self.page + 1
        at += at < len(pages) and pages[at].kind == "run" and self.results is not None
        return at if at < len(pages) else None

    @property
    def following(self) -> Kind | None:
        """What kind of page follows; None after the part's last."""
        return None if self._next is None else self.pages[self._next].kind

    @property
    def ask(self) -> Ask | None:
        """The question that is open; one that was asked before anything ran can be answered no more."""
        return self.part.asks[self.now.n] if self.now.kind == "ask" and not self.begun else None

    @property
    def answering(self) -> bool:
        """A question is open, and what is typed answers it."""
        return self.ask is not None and not self.rests

    @property
    def begun(self) -> bool:
        """The time for predictions is over."""
        return self.work is not None or self._part in self.found

    @property
    def results(self) -> Found | None:
        return self.found.get(self._part)

    @property
    def show(self) -> Show:
        """What to look at now."""
        return (self.part.then or self.part.show) if self.results else self.part.show

    def guess(self, n: int) -> str:
        """What was predicted for the part's n-th question; "" if nothing was."""
        return self.guesses.get((self._part, n), "")

    def right(self, n: int, part: int = 0) -> bool | None:
        """Whether that was right, in this part or another; None where nothing was predicted, or nobody can say."""
        guess, found = self.guesses.get((part or self._part, n), ""), self.found.get(part or self._part)
        if not guess or found is None or n >= len(found.answers):
            return None
        answer, value = found.answers[n], _number(guess)
        return answer.right(guess if answer.ask.choices or value is None else repr(value))

    def score(self, *parts: int) -> tuple[int, int, int, int]:
        """Of these parts: figures as expected, figures, predictions that were right, predictions."""
        outcomes = [it.ok for part in parts if part in self.found for it in self.found[part].outcomes]
        rights = [self.right(n, part) for part, n in self.guesses if part in parts]
        judged = [it for it in rights if it is not None]
        return sum(outcomes), len(outcomes), sum(judged), len(judged)

    @property
    def waits(self) -> str:
        """What it goes on after by itself, in words; "" where `go_on` does something."""
        return self.work.waits if self.work is not None and self.now.kind == "run" and not self.results else ""

    @property
    def left_at(self) -> int | None:
        """The part that comes next for someone who leaves now and comes back; None at the lesson's end."""
        if self.now.kind == "end":
            return None
        read = self._next is None and (self.results is not None or self.now.kind == "say")
        return self._part + read

    def followed(self) -> list[Followed]:
        """The run that it waits for, whatever the screen shows."""
        return [self.work.run] if self.work and self.work.run and self.work.state == "going" else []

    # ------------------------------------------------------------------------------- going through it

    def go_on(self) -> set[str]:
        """To the next page; an answer is taken; the runs are started; the next part. Nothing at the lesson's end."""
        kind = self.now.kind
        if self.ask is not None and self.rests:
            self.rests = False
            return {"lesson"}
        if self.ask is not None and not self._take():
            return {"lesson"}
        if kind == "run" and not self.results:
            return self._run()
        if self._next is None:
            return self.enter(self._part + 1) if self._part < len(self.lesson.parts) else set()
        self.page = self._next
        self._arrive()
        return {*MOVED, *self._run()} if self.now.kind == "run" else set(MOVED)

    def go_back(self) -> set[str]:
        """To the page before; from a part's first to the last of the part before."""
        if self.page:
            self.page -= 1
            if self.now.kind == "run" and self.results and self.page:
                self.page -= 1  # there is nothing to see
            self._arrive()
            return set(MOVED)
        if self._part == 1:
            return set()
        changed = self.enter(self._part - 1)
        self.page = len(self.pages) - 1 if self.results else 0
        self._arrive()
        return changed

    def enter(self, part: int) -> set[str]:
        """Another part, from its beginning. What trains for this one stops: nobody would see it."""
        if not 1 <= part <= len(self.lesson.parts) or part == self._part:
            return set()
        self._stop()
        self._part = part
        self._prepare()
        return set(ALL)

    def restart(self) -> set[str]:
        """The part from its beginning: its runs and answers are forgotten, and what trains for it stops."""
        self._stop()
        self.kept.forget(self.part)
        self.found.pop(self._part, None)
        for n in range(len(self.part.asks)):
            self.guesses.pop((self._part, n), None)
        self._prepare()
        return set(ALL)

    def _prepare(self) -> None:
        """The part's settings are the draft; where its runs are there already they are on the screen."""
        self.page, self.work = 0, None
        bench, part, there = self._bench, self.part, opened(self.part, self.kept)
        if bench.run is not None and bench.run.alive:
            bench.tell(f"{bench.run.name} goes on; Runs (8) opens it again")
        bench.open_preset(loaded(part), part.source)
        if there and len(there) == len(part.all_runs):
            bench.open_run(there.pop())
        bench.overlays[:] = there
        bench.predicted = (None, None)
        for n, ask in enumerate(part.asks):
            self._draw(ask, self.guess(n))
        self.shown += 1
        self._arrive()

    def _arrive(self) -> None:
        """On a page: what is typed begins anew. No chart tells a loss that is still to be predicted."""
        asks = [n for n, ask in enumerate(self.part.asks) if ask.unit == LOSS and (self._part, n) not in self.guesses]
        self._bench.lesson = "asks" if asks and not self.begun else "open"
        self.wrong, self.rests = "", False
        self.typed = self.guess(self.now.n) if self.now.kind == "ask" else ""

    def _run(self) -> set[str]:
        if self.work is None:
            self.work = Work(self._bench, self.lesson, self.part, self.kept)
        elif self.work.state in ("waiting", "failed"):
            self.work.go_on()
        return {"lesson"} | self.work.tick()

    def _stop(self) -> None:
        self._look = None
        if self.work is not None:
            self.work.stop()
            self.work = None

    def leave(self) -> None:
        """Another lesson is opened, or none: no word is left behind, a run goes on."""
        self._bench.lesson = ""
        if self.work is not None:
            self.work.leave()

    def close(self) -> None:
        """The screen goes: no word is left behind."""
        if self.work is not None:
            self.work.close()

    # ------------------------------------------------------------------------------- what came out

    def tick(self) -> set[str]:
        changed = self.work.tick() if self.work else set()
        if self._look is None and not self.results and self._is_over():
            self._read()
        look = self._look
        if look is not None and (look.found or look.error):
            self._look = None
            self.found[self._part] = look.found or Found(tell=[look.error])
            if self.now.kind == "run" and self.page + 1 < len(self.pages):
                self.page += 1
            self.shown += 1
            changed |= {"lesson"}
        return changed

    def _is_over(self) -> bool:
        """Nothing has to run any more, and the text that the figures are of is there or cannot be had."""
        over = self.work.state == "over" if self.work else self.now.kind in ("found", "tell", "end")
        return over and not self._bench.text.phase

    def _read(self) -> None:
        """Read the figures, which takes a moment: in a thread of its own."""
        part, paths, told = self.part, self.kept.paths, dict(self.kept.told)

        def look() -> Found:
            figures = lessons.Figures(part, runs=paths, told=told, read=False)
            return Found(
                [lessons.outcome(expect, figures) for expect in part.expects],
                [lessons.answer(ask, figures) for ask in part.asks],
                [figures.fill(text) for text in part.tell],
            )

        self._look = Aside(look, lambda: None)
        self._look.ask()

    # ------------------------------------------------------------------------------- predictions

    def type(self, character: str) -> None:
        """A character for the open question. One that is no part of an answer changes nothing but `wrong`."""
        ask = self.ask
        if ask is None:
            return
        self.wrong = ""
        if ask.choices:
            at = "abcdefghi".find(character) if character.isalpha() else "123456789".find(character)
            if 0 <= at < len(ask.choices):
                self.typed = ask.choices[at]
            else:
                self.wrong = f"a to {'abcdefghi'[len(ask.choices) - 1]} choose; esc leaves the question"
        elif character in "0123456789.,-+eE" and len(self.typed) < LONGEST:
            self.typed += character
        else:
            self.wrong = "a number is wanted here; esc leaves the question"

    def rub_out(self) -> bool:
        """The last character of the answer, or the whole choice; False if there is none."""
        if self.ask is None or not self.typed:
            return False
        self.typed = "" if self.ask.choices else self.typed[:-1]
        self.wrong = ""
        return True

    def choose(self, by: int) -> bool:
        """The choice below or above."""
        choices = self.ask.choices if self.ask else ()
        if not choices:
            return False
        self.rests, self.wrong = False, ""
        at = choices.index(self.typed) + by if self.typed in choices else 0 if by > 0 else len(choices) - 1
        self.typed = choices[min(max(at, 0), len(choices) - 1)]
        return True

    def rest(self) -> bool:
        """Leave the open question for the moment; False if none is being answered."""
        was, self.rests, self.wrong = self.answering, True, ""
        return was

    def _take(self) -> bool:
        """What was typed is the prediction; nothing typed, none."""
        ask = self.ask
        assert ask is not None
        if self.typed and not ask.choices and _number(self.typed) is None:
            self.wrong = f"{self.typed}: expected a number such as 4.17, or nothing"
            return False
        self.guesses[self._part, self.now.n] = self.typed
        self._draw(ask, self.typed)
        return True

    def _draw(self, ask: Ask, guess: str) -> None:
        """A predicted loss stands on the chart: at step 0 where it is asked of nothing that was trained."""
        value = _number(guess)
        if value is None or ask.choices or ask.unit != LOSS:
            return
        trained = any(f"{run.name}." in ask.answer for run in self.part.all_runs) and "[0]" not in ask.answer
        first, last = self._bench.predicted
        self._bench.predicted = (first, value) if trained and "loss_0" not in ask.answer else (value, last)


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", "" if "." in text or text.count(",") > 1 else "."))
    except ValueError:
        return None
