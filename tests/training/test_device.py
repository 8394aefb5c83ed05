"""What the machine decides: once, by a rule, recorded; and a resume that would give other bits is refused."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import psutil
import pytest
import torch
from tiny_runs import GPT, document

from workbench import preset as presets
from workbench.data import tuned
from workbench.errors import UsageError
from workbench.preset import Preset
from workbench.runs import settings
from workbench.training import device
from workbench.training.device import MOST_THREADS, Resolved, again, by_rule, resolve, take


def preset(kind: str = "gpt", **keys: Any) -> Preset:
    windows = {"data": {"dataset": "unicode-names", "split": "lines", "layout": "windows"}} if kind == "mlp" else {}
    return presets.from_document({"model": {"kind": kind}, "device": keys, **windows}, source="test")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a CPU alone, wherever the tests run."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch says where there are two, as far as resolving asks."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda name: f"GPU {name}")


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(("bf16", "precision", "attends"), [(True, "bf16", "plain"), (False, "fp32", "sdpa")])
def test_auto_on_a_cpu(monkeypatch: pytest.MonkeyPatch, bf16: bool, precision: str, attends: str) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    resolved = resolve(preset())
    assert (resolved.device, resolved.precision, resolved.compile) == ("cpu", precision, False)
    assert resolved.attention == attends
    assert resolve(preset("mlp")).precision == "fp32"  # too small to gain from it
    narrow = presets.from_document({"model": {"width": 120}}, source="test")
    assert resolve(narrow).precision == "fp32"
    assert resolved.torch_version == torch.__version__
    assert resolved.numpy_version == numpy.__version__
    assert len(resolved.device_model) > 5
    assert resolve(preset()) == resolved  # never from the machine's load


@pytest.mark.usefixtures("two_gpus")
def test_auto_on_a_gpu() -> None:
    resolved = resolve(preset())
    assert (resolved.device, resolved.precision, resolved.device_model) == ("cuda:0", "bf16", "GPU cuda:0")
    assert resolve(preset(name="cuda")).device == "cuda:0"
    assert resolve(preset(name="cuda:1")).device == "cuda:1"
    assert resolve(preset(name="cuda:1", precision="fp32")).precision == "fp32"
    assert resolve(preset("mlp", name="cpu")).precision == "fp32"
    with pytest.raises(UsageError, match=r"device\.name = 'cuda:2': this machine has 2 CUDA"):
        resolve(preset(name="cuda:2"))


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7"])
def test_cuda_where_there_is_none_says_what_to_do(name: str) -> None:
    with pytest.raises(UsageError) as raised:
        resolve(preset(name=name))
    told = str(raised.value)
    assert f"device.name = {name!r}" in told
    assert "finds no CUDA device here" in told
    assert "use 'auto' or 'cpu'" in told
    assert "workbench doctor" in told


@pytest.mark.usefixtures("no_gpu")
def test_metal_where_there_is_none_says_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"device\.name = 'mps': there is no Metal device here; use 'auto' or 'cpu'"):
        resolve(preset(name="mps"))


def test_metal_has_no_fp64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(UsageError, match=r"device\.precision = 'fp64': mps has no 64-bit floats"):
        resolve(preset(name="mps", precision="fp64"))


def test_what_is_asked_for_is_taken() -> None:
    resolved = resolve(preset(name="cpu", precision="fp64", compile="on", threads=3))
    assert (resolved.precision, resolved.compile, resolved.threads) == ("fp64", True, 3)
    assert resolved.dtype is torch.float64
    assert resolve(preset(name="cpu", precision="bf16")).dtype is torch.float32  # weights and moments stay fp32


@pytest.mark.parametrize(
    ("allowed", "cores", "kind", "expected"),
    [
        (2, 2, "gpt", 2),
        (16, 8, "gpt", 8),  # two threads a core gain nothing
        (4, 64, "gpt", 4),  # what the scheduler gave us, not what the machine has
        (128, 64, "gpt", MOST_THREADS),
        (3, None, "gpt", 3),
        (8, 8, "mlp", 1),
        (8, 8, "bigram", 1),
    ],
)
def test_the_rule_of_threads(
    monkeypatch: pytest.MonkeyPatch, allowed: int, cores: int | None, kind: str, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(allowed)), raising=False)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: cores)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)  # what torch would do by itself is no part of it
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert resolve(preset(kind, name="cpu")).threads == expected
    assert resolve(preset(kind, name="cpu", threads=7)).threads == 7


def test_matmuls_are_bf16_where_that_was_resolved() -> None:
    a = torch.randn(4, 4)
    for precision, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        with resolve(preset(name="cpu", precision=precision)).autocast():
            assert (a @ a).dtype is dtype
    resolved = resolve(preset(name="cpu", threads=1))
    before = torch.get_num_threads()
    try:
        take(resolved)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


# ------------------------------------------------------------------------------------- again


def recorded(**changes: Any) -> dict[str, Any]:
    return {"format": 1, "attempt": 1, **resolve(preset(name="cpu")).to_json(), **changes}


def test_the_same_machine_takes_the_recorded_choices_over() -> None:
    """Though the rule would choose otherwise now: fewer processors are free, say."""
    resolved, differing = again(recorded(threads=9, precision="bf16"), preset(name="cpu"), re_resolve=False)
    assert differing == {}
    assert (resolved.threads, resolved.precision) == (9, "bf16")
    assert again(recorded(), preset(name="cpu"), re_resolve=False)[0] == Resolved(
        **resolve(preset(name="cpu")).to_json()
    )


@pytest.mark.parametrize("name", ["device", "device_model", "torch_version", "numpy_version"])
def test_another_machine_is_refused_by_what_differs(name: str) -> None:
    with pytest.raises(UsageError) as raised:
        again(recorded(**{name: "another"}), preset(name="cpu"), re_resolve=False)
    is_ = getattr(resolve(preset(name="cpu")), name)
    assert f"{name} was another, is {is_}" in str(raised.value)
    assert "--re-resolve" in str(raised.value)
    resolved, differing = again(recorded(**{name: "another"}, threads=99), preset(name="cpu"), re_resolve=True)
    assert differing == {name: ["another", is_]}
    assert resolved == resolve(preset(name="cpu"))  # by the rule again


def test_all_that_differs_is_told_at_once() -> None:
    with pytest.raises(UsageError, match=r"device_model was a, is .*; torch_version was b"):
        again(recorded(device_model="a", torch_version="b"), preset(name="cpu"), re_resolve=False)


def test_another_python_or_workbench_changes_no_bit() -> None:
    _, differing = again(recorded(python="3.99", workbench="99"), preset(name="cpu"), re_resolve=False)
    assert differing == {}


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    ("kind", "keys", "changes"),
    [
        ("gpt", {}, {"steps": "by hand"}),
        ("mlp", {"compile": "on"}, {"steps": "by hand"}),
        ("mlp", {"precision": "bf16"}, {"steps": "by hand", "precision": "bf16"}),
        ("gpt", {}, {"steps": "replayed"}),
    ],
)
def test_steps_that_cannot_be_made_so_are_refused(kind: str, keys: dict[str, Any], changes: dict[str, Any]) -> None:
    p = preset(kind, name="cpu", **keys)
    with pytest.raises(UsageError, match=rf"steps is '{changes['steps']}', .* \(a {kind} in .* on cpu\); the file was"):
        again({**by_rule(p).to_json(), **changes}, p, re_resolve=False)


@pytest.mark.usefixtures("no_gpu")
def test_a_larger_micro_batch_goes_on_by_hand() -> None:
    """An edit of B takes a run past where the rule would begin it so; what makes its steps stays."""
    p = presets.apply(preset("mlp", name="cpu"), {"batch.B": 4096})
    assert by_rule(p).steps == "eager"
    assert again({**by_rule(p).to_json(), "steps": "by hand"}, p, re_resolve=False)[0].steps == "by hand"


def test_a_run_records_what_it_resolved(train: Any) -> None:
    import json

    ran = train(document(GPT, schedule__steps=5, device__precision="fp64", device__name="cpu"))
    told = json.loads((ran.path / "resolved.json").read_text())
    expected = device.resolve(preset(name="cpu", precision="fp64", threads=1)).to_json()
    assert {key: told[key] for key in expected} == expected
    assert (told["format"], told["attempt"]) == (1, 1)
    assert told["corpus"]["fingerprint"] == ran.of("start")[0]["fingerprint"]
    assert (ran.of("start")[0]["device"], ran.of("start")[0]["precision"]) == ("cpu", "fp64")


# ------------------------------------------------------------------------------------- what was tuned


@pytest.fixture
def keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Keep a choice for a preset on this machine, in a cache of its own."""
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))

    def go(p: Preset, **choice: Any) -> Path:
        facts = device.key(p, by_rule(p))
        fields = {"precision": "fp32", "attention": "plain", "threads": 1} | choice
        return tuned.write(facts["machine"], facts["shape"], tuned.Choice(**fields), [])

    return go


@pytest.mark.usefixtures("no_gpu")
def test_what_was_tuned_takes_the_place_of_the_rule(keep: Callable[..., Path]) -> None:
    p = preset(name="cpu", precision="fp32")
    assert by_rule(p).attention == "sdpa"
    path = keep(p)
    told: list[str] = []
    resolved = resolve(p, told.append)
    assert (resolved.tuned, resolved.attention, resolved.threads) == (True, "plain", 1)
    assert told == ["fp32, plain attention, 1 thread: measured by `workbench bench --tune`"]
    assert resolve(p) == resolved
    assert by_rule(p).tuned is False
    other = preset(name="cpu", precision="fp64")  # another arithmetic was asked for
    assert resolve(other) == by_rule(other)
    path.unlink()
    assert resolve(p) == by_rule(p)


@pytest.mark.usefixtures("no_gpu")
def test_no_file_brings_bf16_to_where_auto_would_not_choose_it(
    keep: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    p = preset(name="cpu")
    keep(p, precision="bf16")
    assert resolve(p).precision == "bf16"
    assert device.choices(p)["precision"] == ["fp32", "bf16"]
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    told: list[str] = []
    assert resolve(p, told.append) == by_rule(p)
    assert told == ["what `workbench bench --tune` kept, bf16, is no choice here; it was not used"]
    assert device.choices(p)["precision"] == ["fp32"]


@pytest.mark.usefixtures("two_gpus")
def test_what_a_choice_is_kept_by_is_one_of_the_machines_that_are_here() -> None:
    """What doctor goes by."""
    found = [device.key(p, by_rule(p))["machine"] for p in (preset(name="cpu"), preset(name="cuda:1"))]
    assert [machine["device_model"] for machine in device.machines()][1:] == ["GPU cuda:0", "GPU cuda:1"]
    assert all(machine in device.machines() for machine in found)


@pytest.mark.usefixtures("no_gpu")
def test_a_damaged_choice_is_told_and_the_rule_holds(keep: Callable[..., Path]) -> None:
    p = preset(name="cpu", precision="fp32")
    keep(p).write_text("\x1b[2J{")
    told: list[str] = []
    assert resolve(p, told.append) == by_rule(p)
    assert "damaged" in told[0]


def test_only_what_is_left_open_is_tuned() -> None:
    found = device.choices(preset(name="cpu", precision="fp64", threads=7))
    assert (found["precision"], found["threads"]) == (["fp64"], [7])
    assert found["attention"] == ["plain", "sdpa"]
    assert device.choices(preset("mlp", name="cpu"))["attention"] == ["sdpa"]


def test_a_run_goes_on_by_what_it_recorded(train: Any, resume: Any, keep: Callable[..., Path]) -> None:
    doc = document(GPT, schedule__steps=40, device__precision="fp32", device__name="cpu", model__dropout=0.0)
    path = keep(presets.from_document(doc, source="test"))
    ran = train(doc, at_start=[{"command": "stop", "at": 20}])
    before = settings.resolved(ran.path)
    assert before is not None
    assert (before["tuned"], before["attention"]) == (True, "plain")
    path.unlink()
    assert resume(ran.path).outcome.state == "done"
    after = settings.resolved(ran.path)
    assert after is not None
    assert {name: after[name] for name in device.TUNED} == {name: before[name] for name in device.TUNED}
    assert after["tuned"]
