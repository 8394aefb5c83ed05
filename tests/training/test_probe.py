"""What a probe measures: memory that is linear in B, a limit that holds, seconds, and who can measure at all."""

import sys
from functools import cache
from typing import Any

import pytest
import torch
from tiny_runs import GPT, MLP, document

from workbench import preset as presets
from workbench.errors import UsageError, out_of_memory
from workbench.lab.trial import OutOfMemory, Told, trial
from workbench.training.trials import meter

linux = pytest.mark.skipif(sys.platform != "linux", reason="on a CPU, memory is counted by Linux alone")


def probe(base: dict[str, Any] = GPT, *, limit: int | None = None, steps: int = 3, **changes: Any) -> Told:
    more = {key: changes.pop(key) for key in ("timed", "spread") if key in changes}
    preset = presets.from_document(document(base, **changes), source="test")
    return trial("probe", {"preset": presets.to_document(preset), "limit_bytes": limit, "steps": steps, **more})


@cache
def peak(B: int, accum: int = 1) -> int:
    return int(probe(batch__B=B, batch__accum=accum)["memory_bytes"])


@linux
def test_memory_is_linear_in_B() -> None:
    small, middle, large = peak(512), peak(768), peak(1024)
    assert middle == pytest.approx((small + large) / 2, rel=0.02)
    # At the very least what the backward pass keeps of two blocks: 20 numbers of 4 bytes for each of width and token.
    assert (large - small) / 512 > 16 * 16 * 4 * 20


@linux
def test_what_was_measured_is_where_the_limit_binds() -> None:
    most = peak(768)
    assert probe(batch__B=768, limit=int(1.03 * most), steps=20)["memory_bytes"] == pytest.approx(most, rel=0.03)
    with pytest.raises(OutOfMemory):
        probe(batch__B=768, limit=int(0.94 * most))


@linux
def test_two_micro_batches_hold_what_many_do() -> None:
    assert peak(512, accum=6) == pytest.approx(peak(512, accum=2), rel=0.01)


@linux
def test_the_spread_of_losses_falls_as_the_root_of_the_examples() -> None:
    """Sixteen times as many, a quarter of it: a standard deviation of 20 is known to a sixth."""
    few = probe(MLP, batch__B=8, spread=20, limit=10**9)
    many = probe(MLP, batch__B=8, batch__accum=16, spread=20, limit=10**9)
    assert 2 < few["loss_spread"] / many["loss_spread"] < 8


@linux
def test_batch_norm_has_no_batch_of_one() -> None:
    """The warm-up runs as few rows as can be."""
    assert probe(MLP, batch__B=512, model__norm="batch", limit=10**9)["memory_bytes"] > 0


def test_who_cannot_measure_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        UsageError, match=r"memory on mps cannot be measured: expected a CUDA device, or a CPU on Linux"
    ):
        meter.check(torch.device("mps"))
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UsageError, match="memory of a CPU on darwin cannot be measured"):
        meter.check(torch.device("cpu"))
    meter.check(torch.device("cuda"))


def test_memory_refused_is_known_whoever_says_it() -> None:
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert out_of_memory(MemoryError())
    assert out_of_memory(RuntimeError("std::bad_alloc"))
    assert out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"))
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not out_of_memory(ValueError("out of memory"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_a_card_is_measured_and_limited() -> None:
    changes = {"device__name": "cuda", "batch__B": 2048}
    most = probe(**changes)["memory_bytes"]
    assert probe(batch__B=1024, device__name="cuda")["memory_bytes"] == pytest.approx(most / 2, rel=0.2)
    with pytest.raises(OutOfMemory):
        probe(limit=most // 2, **changes)
