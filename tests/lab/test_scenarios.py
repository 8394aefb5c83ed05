"""Three ways to read the same tokens under one limit, run for real: all at once, small, small and accumulated."""

import json
import sys
from typing import Any

import pytest
from tiny_runs import FP32, MLP, document

from workbench import preset as presets
from workbench.lab.scenarios import _split

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="on a CPU, memory is counted by Linux alone")


def test_the_three_under_a_limit_between(workbench: Any) -> None:
    """2,048 tokens of a micro-batch hold what they do in the texts; the network is small."""
    preset = presets.from_document(document(FP32, batch__T=64, model__width=64), source="test")
    (workbench.folder / "tiny.toml").write_text(presets.to_toml(preset))
    done = workbench("fit", "tiny.toml", "--scenarios", "--json", timeout=120)
    assert done.returncode == 0, done.stderr
    *lines, told = (json.loads(line) for line in done.stdout.splitlines())
    A, B, C = (o for o in lines if o["type"] == "scenario")
    assert [o["name"] for o in (A, B, C)] == ["A", "B", "C"]
    assert [(o["B"], o["accum"]) for o in (A, B, C)] == [(512, 1), (32, 1), (32, 16)]
    assert [o["tokens_per_step"] for o in (A, B, C)] == [32_768, 2_048, 32_768]
    assert [o["state"] for o in (A, B, C)] == ["out-of-memory", "done", "done"]
    assert C["memory_bytes"] == pytest.approx(B["memory_bytes"], rel=0.05)
    assert max(B["memory_bytes"], C["memory_bytes"]) < told["limit_bytes"] < told["figures"]["expected_A_bytes"]
    # 16 losses: a spread is known to about a fifth, so a ratio of 4 is found between 2 and 8.
    assert 2 < told["figures"]["B_over_C_spread"] < 8
    assert f"losses spread by {B['loss_spread']:.4f} nats" in B["sentence"]
    assert "out of memory" in A["sentence"]
    assert any("in B's memory" in s for s in told["sentences"])


def test_how_a_step_is_split() -> None:
    gpt = presets.from_document(document(FP32, batch__T=256), source="test")
    assert _split(gpt, 32_768, "tokens") == (128, 8, 16)
    windows = presets.from_document(MLP, source="test")
    assert _split(windows, 32_768, "examples") == (32_768, 2_048, 16)


def test_a_limit_too_small_for_b_is_no_success(workbench: Any) -> None:
    (workbench.folder / "tiny.toml").write_text(presets.to_toml(presets.from_document(FP32, source="test")))
    done = workbench("fit", "tiny.toml", "--scenarios", "--tokens", "64", "--memory-limit", "1B", "--json")
    assert done.returncode == 4
    assert "not even B = 1: out of memory" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["type"] == "scenarios"


def test_tokens_that_cannot_be_split(workbench: Any) -> None:
    (workbench.folder / "tiny.toml").write_text(presets.to_toml(presets.from_document(FP32, source="test")))
    for tokens, said in (("100", "expected at least two whole rows of T = 16"), ("272", "17 rows cannot be split")):
        done = workbench("fit", "tiny.toml", "--scenarios", "--tokens", tokens)
        assert done.returncode == 2
        assert said in done.stderr
