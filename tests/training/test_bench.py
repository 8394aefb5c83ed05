"""The benchmark's steps are a run's, bit for bit; its parts add up; its choices are what was asked for."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_runs import GPT, MLP, document

from workbench.errors import UsageError
from workbench.plan.bound import Bound
from workbench.training import device, engines
from workbench.training.by_hand import ByHand
from workbench.training.step import Update, optimizer_step
from workbench.training.trials import bench
from workbench.training.trials.bare import Bare
from workbench.training.trials.steps import Steps, Timed, multiplied

TINY = document(GPT, device={"threads": 1, "name": "cpu", "precision": "fp32"})


def silent(**told: Any) -> None: ...


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


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


def test_two_micro_batches_tell_of_many() -> None:
    bare = Bare.open(document(TINY, batch__accum=3000), silent)
    timed = Timed(bare)
    timed.visit(0)
    timed.visit(0)
    micro, update = timed.parts
    assert timed.steps == 4
    assert timed.seconds == pytest.approx(3000 * micro + update, rel=0.5)
    assert timed.seconds > 100 * micro
    assert timed.spread >= 0


def test_the_parts_of_a_launch_are_told_by_two_numbers_of_micro_batches() -> None:
    """Replayed steps on a CPU: they are made as on a card, and nobody sees inside them."""
    bare = Bare.open(document(TINY, batch__accum=2), silent)
    timed = Timed(replace(bare, resolved=replace(bare.resolved, steps="replayed")))
    timed.visit(0.3)
    micro, update = timed.parts
    assert 0 < micro < timed.seconds
    assert 2 * micro + update == pytest.approx(timed.seconds)


def test_how_fast_it_multiplies() -> None:
    """More than a loop could, less than any processor does; a double takes longer than a float."""
    cpu = torch.device("cpu")
    single = multiplied(cpu, torch.float32, 0.2)
    assert 1e8 < single < 1e14
    assert multiplied(cpu, torch.float64, 0.2) < 1.5 * single


def test_all_its_figures() -> None:
    told = bench.run({"preset": TINY, "seconds": 0.5}, silent)
    parts = told["seconds_fixed"] + told["seconds_arithmetic"] + told["seconds_rest"] - told["seconds_both"]
    assert parts == pytest.approx(told["seconds_per_step"])
    assert told["bound_by"] == "fixed"  # of 64 tokens and a width of 16, on any machine
    assert told["mfu"] == pytest.approx(told["flops_per_step"] / told["peak_flops_per_s"] / told["seconds_per_step"])
    assert told["mfu"] < 0.5
    assert (told["half_B"], told["half_accum"]) == (2, 2)
    assert (told["double_B"], told["double_accum"]) == (8, 1)
    assert told["double_tokens_per_s"] > 1.2 * told["half_tokens_per_s"]  # where B costs nothing, more of it is free
    assert told["peak_fp32_flops_per_s"] is told["other_precision"] is told["one_thread_tokens_per_s"] is None
    assert (told["precision"], told["tuned"], told["notes"]) == ("fp32", False, [])


def test_long_micro_batches_are_not_all_waited_for() -> None:
    doc = document(TINY, batch__accum=3000)
    told = bench.run({"preset": doc, "seconds": 0.3}, silent)
    assert told["tokens_per_step"] == 4 * 16 * 3000
    assert told["seconds_per_step"] > 100 * told["seconds_micro"]
    assert (told["double_B"], told["double_accum"]) == (8, 1500)
    assert told["double_tokens_per_s"] > told["half_tokens_per_s"]


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
    assert told["replay"]
    assert 0 < told["seconds_micro"] < told["seconds_per_step"]
