"""Looking into the worker: which steps it is asked to show, and what it answered."""

from typing import TYPE_CHECKING

from workbench.errors import WorkbenchError
from workbench.plan.arithmetic import tokens_per_step_of
from workbench.runs import inspections
from workbench.runs.inspections import Inspected
from workbench.screen.bench.follow import Followed

if TYPE_CHECKING:
    from workbench.screen.bench.bench import Bench

EVERY = 4.0
"""Seconds between two looks at a run at full speed: a look costs the worker a copy of its weights and the terminal
some kilobytes, and nobody reads faster."""
EVERY_WATCHED = 0.8
"""The same while the run is slow enough to be watched step by step."""
LARGEST = 1 << 26
"""Logits of a step (targets times vocabulary) up to which a look is taken unasked: a few milliseconds' work."""
KEPT, MOST = 4 << 20, 512
"""Bytes and number of answers that are remembered, the latest in any case, so that `[` finds the shading of steps gone
by."""


class Looking:
    """`wanted` is set by the panes that show answers, while they are visible."""

    def __init__(self, bench: "Bench") -> None:
        self._bench = bench
        self.wanted = False
        self.latest: Inspected | None = None
        self.error = ""
        self._answers: dict[int, Inspected] = {}
        self._asked: dict[str, float] = {}
        self._next = 0.0
        self._attempt = 0

    def of(self, step: int) -> Inspected | None:
        """The answer for a record, if it was looked at."""
        return self._answers.get(step)

    def ask(self) -> None:
        """Look at the next step."""
        bench = self._bench
        if self._asked or bench.read_only or not bench.alive:
            return
        if id := bench.send("inspect", quiet=True, top=5):
            self._asked[id] = bench.clock()

    def tick(self) -> None:
        """Ask unasked, where someone looks and it is cheap."""
        bench, run = self._bench, self._bench.run
        if not self.wanted or run is None or run.state != "running" or bench.step is not None:
            return
        slow = run.status is not None and 0 < run.status.pace <= 2
        if bench.clock() >= self._next and self.cheap:
            self._next = bench.clock() + (EVERY_WATCHED if slow else EVERY)
            self.ask()

    @property
    def cheap(self) -> bool:
        bench = self._bench
        corpus = bench.text.corpus
        vocab = corpus.tokenizer.vocab_size if corpus else 1
        return tokens_per_step_of(bench.now) * vocab <= LARGEST

    def hear(self, run: Followed) -> None:
        """Read the answers that have come. What a resume took back was told of steps that are made again."""
        attempt = run.status.attempt if run.status else 0
        if attempt != self._attempt:
            self._attempt, self.latest = attempt, None
            self._answers.clear()
        for id in list(self._asked):
            answer = run.answer(id)
            if answer is None or answer["state"] == "accepted":
                continue
            del self._asked[id]
            if answer["state"] != "applied":
                # A worker that began after it was asked (a rewind, a resume) was not asked: tick asks again.
                self.error = answer.get("reason", "") if answer["state"] != "expired" else ""
                continue
            try:
                self.remember(inspections.read(run.path, answer["file"]))
            except (WorkbenchError, OSError) as error:
                self.error = str(error)
                continue
            self.error = ""

    def remember(self, answer: Inspected) -> None:
        """It is the latest; the oldest are forgotten where all of them are more than KEPT or MOST."""
        self.latest = self._answers[answer.step] = answer
        while len(held := self._answers) > 1 and (len(held) > MOST or sum(map(_size, held.values())) > KEPT):
            del self._answers[next(iter(self._answers))]

    def forget(self) -> None:
        self.latest, self.error = None, ""
        self._answers.clear()
        self._asked.clear()


def _size(answer: Inspected) -> int:
    return sum(a.nbytes for a in (answer.x, answer.y, answer.losses, answer.guesses, answer.chances))
