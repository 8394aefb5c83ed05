"""The benchmark's steps are a run's, bit for bit; its parts add up; its choices are what was asked for.

Where a figure is asserted, the seconds are given: nothing here depends on how fast a machine is, or how busy.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_runs import GPT, MLP, document

from workbench.errors import UsageError
from workbench.plan.bound import Bound
from workbench.training import device, engines
from workbench.training.by_hand import ByHand
from workbench.training.step import Update, optimizer_step
from workbench.training.trials import bench, steps
from workbench.training.trials.bare import Bare
from workbench.training.trials.steps import Steps, Timed, Timing, multiplied

TINY = document(GPT, device={"threads": 1, "name": "cpu", "precision": "fp32"})


def silent(**told: Any) -> None: ...


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many steps as were asked for, however long they take here."""
    monkeypatch.setattr(steps, "LONG", math.inf)


Takes = Callable[[int], float]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[Takes, float], list[tuple[int, int]]]:
    """Steps that are not made, of known seconds: those of a micro-batch of B rows, and of an update.

    Returns the B and accum of each visit to come.
    """

    def known(micro: Takes, update: float) -> list[tuple[int, int]]:
        visits: list[tuple[int, int]] = []

        def time(self: Steps, seconds: float, *, least: int = 2, accum: int | None = None) -> Timing:
            B, accum = self._preset.batch.B, accum or self._preset.batch.accum
            visits.append((B, accum))
            whole = [accum * micro(B) + update] * least
            if self.whole:
                return Timing(whole, [], [])
            return Timing(whole, [micro(B)] * (least * accum), [update] * least)

        monkeypatch.setattr(Steps, "time", time)
        return visits

    return known


def test_its_steps_are_those_of_a_run(train: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    doc = document(TINY, batch__accum=2, model__dropout=0.1)
    made: list[Update] = []

    def noted(*args: Any, **more: Any) -> Update:
        made.append(optimizer_step(*args, **more))
        return made[-1]

    monkeypatch.setattr(engines, "optimizer_step", noted)
    bare = Bare.open(doc, silent)
    device.take(bare.resolved)
    timing, found = Steps(bare).time(0, least=5), list(made)
    records = train(document(doc, schedule__steps=40)).records
    assert [update.loss for update in found] == records["loss"][:6].tolist()
    assert [update.grad_norm for update in found] == records["grad_norm"][:6].tolist()
    assert len(timing.steps) == 5  # the first does not count
    assert len(timing.update) == 5
    assert len(timing.micro) == 5 * bare.preset.batch.accum
    assert sum(timing.micro) + sum(timing.update) == pytest.approx(sum(timing.steps))


def test_its_launches_are_those_of_a_run(train: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    doc, made, step = document(MLP, device={"threads": 1, "name": "cpu", "precision": "fp32"}), [], ByHand.step

    def noted(*args: Any, **more: Any) -> Update:
        made.append(step(*args, **more))
        return made[-1]

    monkeypatch.setattr(ByHand, "step", noted)
    bare = Bare.open(doc, silent)
    device.take(bare.resolved)
    assert bare.resolved.steps == "by hand"
    timing = Steps(bare).time(0, least=5)
    found, made[:] = [(update.loss, update.grad_norm) for update in made], []
    records = train(document(doc, schedule__steps=40)).records
    assert len(found) > len(timing.steps) >= 5
    assert found == list(zip(records["loss"], records["grad_norm"], strict=True))[: len(found)]
    assert not timing.micro
    assert not timing.update


def test_a_step_that_is_not_whole_is_not_timed() -> None:
    doc = document(TINY, optimizer={"kind": "sgd", "lr": 1e6, "weight_decay": 1.0, "clip": 0.0}, schedule__warmup=0)
    with pytest.raises(UsageError, match="training diverged: try a lower lr, as in --set lr=100000"):
        Steps(Bare.open(doc, silent)).time(0, least=20)


def test_two_micro_batches_tell_of_many(machine: Any) -> None:
    visits = machine(lambda B: 0.25 * B, 0.5)
    timed = Timed(Bare.open(document(TINY, batch__accum=3000), silent))
    rate = timed.visit(0)
    timed.visit(0)
    assert visits == [(4, 2)] * 2
    assert timed.steps == 4
    assert timed.parts == (1.0, 0.5)
    assert timed.seconds == 3000.5
    assert rate == 4 * 16 * 3000 / 3000.5
    assert timed.spread == 0


def launches(accum: int) -> Timed:
    """Replayed steps on a CPU: they are made as on a card, and nobody sees inside them."""
    bare = Bare.open(document(TINY, batch__accum=accum), silent)
    return Timed(replace(bare, resolved=replace(bare.resolved, steps="replayed")))


def test_the_parts_of_a_launch_are_told_by_two_numbers_of_micro_batches() -> None:
    timed = launches(2)
    timed.visit(0)
    micro, update = timed.parts
    assert 0 <= micro <= timed.seconds / 2
    assert 2 * micro + update == pytest.approx(timed.seconds)


@pytest.mark.parametrize(("accum", "visited"), [(1, [(4, 1), (4, 2)]), (2, [(4, 2), (4, 1)]), (9, [(4, 2), (4, 1)])])
def test_the_parts_of_a_launch_of_known_seconds(machine: Any, accum: int, visited: list[tuple[int, int]]) -> None:
    visits = machine(lambda B: 0.25 * B, 0.5)
    timed = launches(accum)
    timed.visit(0)
    assert visits == visited
    assert timed.parts == (1.0, 0.5)
    assert timed.seconds == accum + 0.5


@pytest.mark.parametrize("accum", [1, 2])
def test_more_micro_batches_in_less_time_are_noise(machine: Any, accum: int) -> None:
    machine(lambda B: -0.25, 4.0)
    timed = launches(accum)
    timed.visit(0)
    assert timed.parts == (0.0, timed.seconds)


def test_how_fast_it_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fastest of the sizes that there is time for, by a clock that products alone move."""
    rates, now, made = {256: 1e9, 512: 4e9, 1024: 1e6}, [0.0], []

    def mm(a: torch.Tensor, b: torch.Tensor, *, out: torch.Tensor) -> None:
        made.append((len(a), out.dtype))
        now[0] += 2 * len(a) ** 3 / rates[len(a)]

    monkeypatch.setattr(torch, "mm", mm)
    monkeypatch.setattr(steps, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    cpu = torch.device("cpu")
    assert multiplied(cpu, torch.float32, 1000.0) == pytest.approx(4e9)
    assert set(made) == {(n, torch.float32) for n in rates}
    made.clear()
    assert multiplied(cpu, torch.float64, 1.0) == pytest.approx(1e9)
    assert set(made) == {(256, torch.float64)}


def test_products_that_are_made() -> None:
    assert 0 < multiplied(torch.device("cpu"), torch.float32, 0.05) < math.inf


def test_all_its_figures() -> None:
    told = bench.run({"preset": TINY, "seconds": 0.5}, silent)
    parts = told["seconds_fixed"] + told["seconds_arithmetic"] + told["seconds_rest"] - told["seconds_both"]
    assert parts == pytest.approx(told["seconds_per_step"])
    assert 0 <= told["seconds_fixed"] <= told["seconds_per_step"]
    assert told["bound_by"] in ("fixed", "arithmetic", "rest")
    assert told["mfu"] == pytest.approx(told["flops_per_step"] / told["peak_flops_per_s"] / told["seconds_per_step"])
    assert told["mfu"] > 0
    assert (told["half_B"], told["half_accum"]) == (2, 2)
    assert (told["double_B"], told["double_accum"]) == (8, 1)
    assert told["peak_fp32_flops_per_s"] is told["other_precision"] is told["one_thread_tokens_per_s"] is None
    assert (told["precision"], told["made"], told["tuned"], told["notes"]) == ("fp32", "eager", False, [])


def test_the_figures_of_known_seconds(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where B costs next to nothing, more of it is nearly free."""
    machine(lambda B: 1e-3 + 1e-5 * B, 2e-3)
    monkeypatch.setattr(bench, "multiplied", lambda *_: 1e12)
    told = bench.run({"preset": TINY, "seconds": 0.5}, silent)
    assert told["seconds_per_step"] == pytest.approx(3.04e-3)
    assert (told["seconds_micro"], told["seconds_update"]) == pytest.approx((1.04e-3, 2e-3))
    assert told["seconds_fixed"] == pytest.approx(3e-3)
    assert (told["smallest_B"], told["seconds_smallest"]) == (1, pytest.approx(3.01e-3))
    assert told["bound_by"] == "fixed"
    assert told["seconds_arithmetic"] == told["flops_per_step"] / told["peak_flops_per_s"]
    assert told["half_tokens_per_s"] == pytest.approx(4 * 16 / 4.04e-3)
    assert told["double_tokens_per_s"] == pytest.approx(8 * 16 / 3.08e-3)
    assert told["half_gain"] == pytest.approx(3.04 / 4.04 - 1)
    assert told["double_gain"] == pytest.approx(2 * 3.04 / 3.08 - 1)
    assert told["spread"] == 0


def test_what_is_paid_for_each_micro_batch_is_fixed_too(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(lambda B: 1e-3 + 1e-3 * B, 2e-3)
    monkeypatch.setattr(bench, "multiplied", lambda *_: 1e12)
    told = bench.run({"preset": document(TINY, batch__accum=8), "seconds": 0.5}, silent)
    assert told["seconds_per_step"] == pytest.approx(8 * 5e-3 + 2e-3)
    assert told["seconds_fixed"] == pytest.approx(8 * 1e-3 + 2e-3)
    assert told["bound_by"] == "rest"
    assert (told["double_B"], told["double_accum"]) == (8, 4)
    assert told["double_tokens_per_s"] == pytest.approx(8 * 4 * 16 / (4 * 9e-3 + 2e-3))


def test_long_micro_batches_are_not_all_waited_for() -> None:
    doc = document(TINY, batch__accum=3000)
    told = bench.run({"preset": doc, "seconds": 0.3}, silent)
    assert told["tokens_per_step"] == 4 * 16 * 3000
    assert told["seconds_per_step"] > 2998 * told["seconds_micro"]
    assert (told["double_B"], told["double_accum"]) == (8, 1500)


def test_what_would_take_longer_than_was_asked_for_is_left_out() -> None:
    told = bench._Bench(Bare.open(TINY, silent), 0.1, silent)._others(Bound(whole=100.0, fixed=0.1, arithmetic=0.1))
    assert told["half_B"] == 2
    assert told["half_tokens_per_s"] is told["double_tokens_per_s"] is told["double_gain"] is None


def test_a_preset_that_multiplies_nothing() -> None:
    doc = document(TINY, model={"kind": "bigram"}, batch__B=1)
    told = bench.run({"preset": doc, "seconds": 0.2}, silent)
    assert told["seconds_arithmetic"] == told["mfu"] == 0
    assert told["half_B"] is told["attention"] is None


def test_a_choice_is_timed_as_it_was_asked_for() -> None:
    told = bench.run({"preset": TINY, "seconds": 0.1, "only": {"attention": "plain"}}, silent)
    assert (told["precision"], told["attention"], told["threads"]) == ("fp32", "plain", 1)
    assert told["choices"] == {"precision": ["fp32"], "attention": ["plain", "sdpa"], "threads": [1]}
    assert told["key"]["machine"]["torch_version"] == torch.__version__
    assert bench.run({"preset": TINY, "seconds": 0.1, "only": {}}, silent)["attention"] == "sdpa"


def test_what_no_memory_could_hold_is_told_before_it_is_tried() -> None:
    doc = document(TINY, batch__B=2**20, batch__T=1000)
    with pytest.raises(MemoryError, match="out of memory: B = 1048576"):
        bench.run({"preset": doc, "seconds": 0.1}, silent)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_steps_of_a_card_are_replayed() -> None:
    told = bench.run({"preset": document(TINY, device__name="cuda"), "seconds": 0.5}, silent)
    assert told["made"] == "replayed"
    assert 0 <= told["seconds_micro"] <= told["seconds_per_step"]
