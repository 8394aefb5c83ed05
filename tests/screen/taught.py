"""A lesson of three parts that tests go through, on a screen of its own, and what they press and read of it."""

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from strips import drawn, until
from textual.pilot import Pilot

from workbench.lab import lessons
from workbench.runs import status
from workbench.screen.app import Workbench
from workbench.screen.bench.bench import Bench
from workbench.screen.lesson.session import Session
from workbench.screen.lesson.work import loaded

PRESET = """\
name = "small"
[data]
text = '''
one times one is one.
two times two is four.
three times three is nine.
four times four is sixteen.
five times five is twenty-five.
'''
[batch]
B = 4
T = 8
[model]
layers = 1
heads = 1
width = 16
[schedule]
steps = 60
warmup = 0
[eval]
every = 60
[checkpoint]
every = 60
[sample]
every = 0
[device]
name = "cpu"
threads = 1
"""
TAUGHT = """\
format = 1
title = "Four and sixteen"
about = "rows, then two runs"
preset = "small.toml"

[[part]]
title = "Rows"
say = ["A row is T characters\\nfrom anywhere.", "y is x, one character later."]
show = { pane = "batch", starts = [0, 1, 2, 3] }
tell = "A step makes {rows.predictions:.0f} predictions."
[[part.ask]]
question = "How many predictions does a step make?"
answer = "rows.predictions"
[[part.expect]]
what = "predictions a step"
figure = "rows.predictions"
theory = "4 * 8"
within = 0

[[part]]
title = "Two batches, the same steps"
say = "Both begin with the same weights."
seconds = 8
show = { pane = "charts", axis = "steps" }
then = { pane = "charts", axis = "tokens" }
tell = "It began at {b4.loss[0]:.2f}."
[[part.ask]]
question = "The loss at step 0?"
answer = "ln(corpus.vocab)"
unit = "nats"
[[part.ask]]
question = "Which has seen more at the end?"
choices = ["B = 4", "B = 16", "both as much"]
answer = "B = 16"
[[part.run]]
name = "b4"
label = "four at a time"
set = ["B=4", "steps=400"]
edit = { at = 300, set = ["lr=2e-3"] }
[[part.run]]
name = "b16"
label = "sixteen at a time"
set = ["B=16"]
[[part.expect]]
what = "loss of B = 4 at step 0"
figure = "b4.loss[0]"
theory = "ln(corpus.vocab)"
within = 0.2
[[part.expect]]
what = "steps of B = 16, which are too few"
figure = "b16.steps"
at_least = 61

[[part]]
title = "What is planned"
say = "No run: arithmetic alone."
uses = ["b16"]
show = { pane = "knobs", whole = true }
[[part.word]]
word = "plan"
[[part.expect]]
what = "tokens a step"
figure = "plan.tokens_per_step"
theory = "4 * 8"
within = 0
"""

Taught = Callable[..., AbstractAsyncContextManager[Pilot[int]]]


@pytest.fixture
def lesson_folder(tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text(PRESET)
    (tmp_path / "four.toml").write_text(TAUGHT)
    return tmp_path


@pytest.fixture
def taught(lesson_folder: Path, runs_folder: Path) -> Iterator[Taught]:
    """`async with taught(lesson="four.toml", size=(120, 35), part=1, big=False) as pilot`: a screen with it open."""

    @asynccontextmanager
    async def start(
        lesson: str = "four.toml", *, size: tuple[int, int] = (120, 35), part: int = 1, big: bool = False
    ) -> AsyncIterator[Pilot[int]]:
        it = lessons.load(str(lesson_folder / lesson) if lesson.endswith(".toml") else lesson)
        first = it.parts[part - 1]
        bench = Bench(loaded(first), source=first.source, runs=runs_folder)
        async with Workbench(bench, look="dark", big=big, lesson=Session(bench, it, part=part)).run_test(
            size=size
        ) as pilot:
            await until(pilot, lambda: bench.text.corpus is not None)
            yield pilot
        bench.close()

    yield start
    for run in runs_folder.glob("*"):
        found = status.read(run)
        if found and found.alive():
            os.kill(found.pid, signal.SIGKILL)


def text(pilot: Pilot[int]) -> str:
    """What the Lesson pane says."""
    return "\n".join(drawn(pilot.app.screen.lesson))  # type: ignore[attr-defined]


def session(pilot: Pilot[int]) -> Session:
    return pilot.app.screen.lesson.session  # type: ignore[attr-defined, no-any-return]


async def press(pilot: Pilot[int], *keys: str) -> None:
    await pilot.press(*keys)
    await pilot.pause()
