"""Launches of many steps: how many at once, what is heard while they run, and that none follows one that failed."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_runs import GPT, MLP, Train, bits, document

from workbench import preset as presets
from workbench.runs import commands
from workbench.runs.events import read_events
from workbench.runs.records import NOT_FINITE
from workbench.training import by_hand, device, engines, stepping
from workbench.training.by_hand import ByHand
from workbench.training.models import MLP as Mlp
from workbench.training.models import build
from workbench.training.optimizers import Optimizer
from workbench.training.replays import Shape
from workbench.training.step import Update

FP32 = {"device": {"threads": 1, "precision": "fp32"}}
LONG = document(MLP, **FP32, schedule__steps=600, eval__every=600, sample__every=600, checkpoint__every=600)

BEYOND = {"kind": "sgd", "lr": 1e6, "weight_decay": 1.0, "clip": 0.0}
"""Each step multiplies the weights by a million."""


class Watched:
    """An engine's launches, noted: their sizes by B, and how many were on their way at most."""

    def __init__(self, many: engines.Many, over: Callable[[], bool]) -> None:
        self._many, self._over = many, over
        self.depth = many.depth
        self.sizes: dict[int, list[int]] = {}
        self.now = self.most = 0

    def launch(self, shape: Shape, first: int, lrs: Any, offsets: Any) -> "OneOfThem":
        self.now += 1
        self.most = max(self.most, self.now)
        launched = self._many.launch(shape, first, lrs, offsets)
        self.sizes.setdefault(shape.B, []).append(launched.n)
        return OneOfThem(self, launched, self._over)


class OneOfThem:
    def __init__(self, of: Watched, launched: engines.OnTheirWay, over: Callable[[], bool]) -> None:
        self._of, self._launched, self._over = of, launched, over
        self.n = launched.n

    def over(self) -> bool:
        return self._over() and self._launched.over()

    def wait(self) -> Any:
        self._of.now -= 1
        return self._launched.wait()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Watched]]:
    """`watched()`: from now on engines are noted in the list that it returns. `steps`: how they are made."""

    def go(*, over: Callable[[], bool] = lambda: True, steps: str = "") -> list[Watched]:
        made: list[Watched] = []
        real, resolve = engines.engine, device.resolve

        def engine(*args: Any, **more: Any) -> engines.Engine:
            found = real(*args, **more)
            assert found.many
            made.append(Watched(found.many, over))
            return found._replace(many=made[-1])

        monkeypatch.setattr(stepping, "engine", engine)
        if steps:
            monkeypatch.setattr(device, "resolve", lambda p, tell=print: replace(resolve(p), steps=steps))
        return made

    return go


def test_after_a_step_that_is_not_finite_none_is_made(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows to blame are searched with the weights that the step had."""
    made: list[Update] = []
    real = ByHand.step

    def step(*args: Any, **more: Any) -> Update:
        made.append(real(*args, **more))
        return made[-1]

    monkeypatch.setattr(ByHand, "step", step)
    monkeypatch.setattr(stepping, "A_LAUNCH", 100.0)  # as many as the tables hold
    ran = train(document(LONG, optimizer=BEYOND))
    assert ran.outcome.state == "diverged"
    assert [update.applied for update in made] == [True] * (len(made) - 1) + [False]
    assert len(made) == len(ran.records) < 600
    assert ran.records["flags"][-1] & NOT_FINITE
    assert ran.outcome.fields["culprit"]["rows"]


def test_what_overflows_by_hand_is_told_by_the_run_alone(train: Train, recwarn: pytest.WarningsRecorder) -> None:
    ran = train(document(LONG, optimizer=BEYOND))
    assert ran.outcome.state == "diverged"
    assert not recwarn.list


def test_a_new_shape_begins_with_one_step_a_launch(train: Train, watched: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """How long its steps take is not known yet, and nothing is heard until a launch is over."""
    monkeypatch.setattr(stepping, "A_LAUNCH", 10.0)  # more than one of any machine's steps
    made = watched()
    ran = train(LONG, at_start=[{"command": "set", "at": 300, "changes": {"batch.B": 64}}])
    assert ran.outcome.state == "done"
    (engine,) = made
    assert engine.sizes[8][0] == engine.sizes[64][0] == 1
    assert sum(engine.sizes[8]) == sum(engine.sizes[64]) == 300
    assert max(engine.sizes[8]) > 1


def test_a_launch_draws_a_bounded_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_hand, "MOST_IDS", 100)
    drawn: list[int] = []

    def batch(split: Any, offsets: Any, T: int, newline: int | None) -> Any:
        drawn.append(len(offsets))
        return np.zeros((len(offsets), T), np.int64), np.zeros(len(offsets), np.int64)

    monkeypatch.setattr(by_hand, "batch", batch)
    preset = presets.from_document(MLP, source="test")
    model = build(preset.model, vocab=5, T=3, seed=1)
    assert isinstance(model, Mlp)
    optimizer = Optimizer(model, preset.optimizer)
    maker = ByHand(model, optimizer, None, newline=0, preset=preset)  # type: ignore[arg-type]  # rows come from here
    for B, n in ((8, 3), (25, 1), (1000, 1)):
        launched = maker.launch(Shape(B, 3, 1, 0.0, 0.0), 0, [0.1] * 50, np.zeros((50, B), np.int64))
        assert launched.n == n
    assert drawn == [24, 25, 1000]


@pytest.mark.parametrize(("long", "most"), [(math.inf, 2), (0.0, 1)])
def test_a_second_launch_waits_behind_short_ones_alone(
    train: Train, watched: Any, monkeypatch: pytest.MonkeyPatch, long: float, most: int
) -> None:
    doc = document(GPT, **FP32, optimizer={"clip": 0.5})
    eager = train(doc)
    monkeypatch.setattr(stepping, "LONG", long)
    monkeypatch.setattr(stepping, "A_LAUNCH", 0.0)  # one step a launch, however fast the machine
    made = watched(steps="replayed")
    ran = train(doc)
    assert made[0].most == most
    assert bits(ran.records) == bits(eager.records)


def test_no_launch_follows_while_the_run_cannot_be_written(train: Train) -> None:
    """What was launched is made and recorded; the rest waits, as any step would."""

    def away(run: Path) -> None:
        run.rename(aside := run.with_name("aside"))
        time.sleep(1.3)  # a heartbeat, which finds it out
        threading.Timer(0.3, aside.rename, [run]).start()

    ran = train(LONG, call={20: away})
    assert ran.outcome.state == "done"
    waits = next(e for e in ran.of("warning") if e["message"].startswith("training waits"))
    assert waits["time"] in ran.records["time"][20:-1]


def test_commands_are_acknowledged_while_a_launch_runs(train: Train, watched: Any) -> None:
    """A launch that is not over before the command that was sent meanwhile is acknowledged."""
    run: list[Path] = []
    sent: list[str] = []
    seen: list[str] = []
    deadline = time.monotonic() + 60

    def over() -> bool:
        if run and not sent:
            sent.append(commands.send(run[0], "set", changes={"optimizer.lr": 1e-4}, at=30))
        if sent and not seen:
            assert time.monotonic() < deadline
            seen.extend(e["state"] for e in read_events(run[0]) if e["type"] == "answer")
        return not run or bool(seen)

    watched(over=over, steps="replayed")
    ran = train(document(GPT, **FP32), call={0: run.append})
    assert seen == ["accepted"]
    assert [e["state"] for e in ran.of("answer")] == ["accepted", "applied"]
    assert [e["step"] for e in ran.of("edit")] == [30]
