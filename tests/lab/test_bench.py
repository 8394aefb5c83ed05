"""`workbench bench`: one flat object or a few lines, every recommendation with the figure that was measured."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tiny_runs import GPT, document

from workbench import preset as presets
from workbench.data import tuned
from workbench.lab import bench, tune
from workbench.lab.trial import Told
from workbench.words.bench import lines
from workbench.words.telling import doctor

if TYPE_CHECKING:
    from conftest import Command

TOLD: Told = {
    "preset": "shakespeare", "device": "cpu", "device_model": "a CPU", "threads": 2, "precision": "bf16",
    "attention": "plain", "compile": False, "made": "eager", "tuned": True, "torch_version": "2.13.0", "B": 64, "T": 64,
    "accum": 1, "tokens_per_step": 4096, "unit": "tokens",
    "tokens_per_s": 40_960.0, "steps_per_s": 10.0, "seconds_per_step": 0.1,
    "spread": 0.02, "steps": 30, "seconds_micro": 0.097, "seconds_update": 0.003, "seconds_fixed": 0.009,
    "seconds_arithmetic": 0.031, "seconds_rest": 0.06, "seconds_both": 0.0, "bound_by": "rest", "mfu": 0.31,
    "peak_flops_per_s": 6.8e11, "peak_fp32_flops_per_s": 7.2e10, "memory_bytes": 118 * 2**20,
    "half_B": 32, "half_accum": 2, "half_tokens_per_s": 40_000.0, "half_gain": -0.02,
    "double_B": 128, "double_accum": 1, "double_tokens_per_s": 44_012.0, "double_gain": 0.07,
    "other_precision": None, "other_precision_tokens_per_s": None, "other_precision_gain": None,
    "one_thread_tokens_per_s": None, "one_thread_gain": None,
}  # fmt: skip


def said(**changes: Any) -> list[str]:
    return list(bench.sentences(TOLD | changes))


def test_what_is_recommended_has_been_measured() -> None:
    assert said() == [
        "It is bound by memory traffic and kernels that do not multiply, 60% of the step.",
        "Measured, B = 128 makes 44,000 tokens/s, +7%: --set B=128 (another step: lr may go with it).",
        "Measured, B = 32 with accum = 2 makes 40,000 tokens/s, -2%.",
    ]
    assert said(half_gain=0.22)[1].endswith("+22%: --set B=32 --set accum=2 (the same step).")
    alone = {"half_tokens_per_s": None, "double_tokens_per_s": None}
    assert len(said(**alone)) == 1
    assert said(**alone, bound_by="fixed", one_thread_tokens_per_s=82_000.0, one_thread_gain=1.0) == [
        "It is bound by what it costs whatever B is, 9% of the step.",
        "Measured, one thread makes 82,000 tokens/s, +100%: --set device.threads=1.",
    ]
    other = said(other_precision="fp32", other_precision_tokens_per_s=20_000.0, other_precision_gain=-0.51)
    assert other[-1] == "Measured, fp32 makes 20,000 tokens/s, -51%."


def test_noise_is_no_gain_and_is_told() -> None:
    assert said(double_gain=0.02)[1] == "Measured, B = 128 makes 44,000 tokens/s, +2%."
    assert said(spread=0.5)[0].startswith("Steps are far apart: something else ran here")


def test_it_is_said_in_a_few_lines() -> None:
    found = list(lines(TOLD | {"sentences": said()}))
    assert found[:8] == [
        "shakespeare  a CPU",
        "  2 threads, bf16, plain attention, torch 2.13.0, tuned",
        "  41,000 tokens/s  10 steps/s  100 ms a step (median of 30, half of them within 2%)",
        "  B = 64, T = 64, accum = 1: 97 ms a micro-batch, 3 ms an update",
        "       9 ms  whatever B is: Python, launches, the update's 3 ms (9%)",
        "      31 ms  arithmetic at the measured peak of 0.68 TFLOP/s (fp32: 72 GFLOP/s) (31% MFU)",
        "      60 ms  memory traffic and kernels that do not multiply (60%)",
        "  peak memory 118.0 MiB, besides Python and torch",
    ]
    assert "both at once" in "\n".join(lines(TOLD | {"sentences": [], "seconds_rest": 0.0, "seconds_both": 0.02}))


@pytest.mark.parametrize(
    ("value", "text"), [(40_960, "41,000"), (999.6, "1,000"), (1.94, "1.94"), (1_234_567, "1,230,000")]
)
def test_three_digits_count(value: float, text: str) -> None:
    assert bench.rate(value) == text


def test_clearly_faster_is_more_than_noise() -> None:
    slow, fast = {"seconds_per_step": 1.0, "spread": 0.02}, {"seconds_per_step": 0.9, "spread": 0.02}
    assert tune.clearly_faster(fast, slow)
    assert not tune.clearly_faster(slow | {"seconds_per_step": 0.99}, slow)
    assert not tune.clearly_faster(fast, slow | {"spread": 0.5})


# ------------------------------------------------------------------------------------------ as one types it


@pytest.fixture
def tiny(workbench: "Command") -> "Command":
    doc = document(GPT, device={"threads": 1, "name": "cpu", "precision": "fp32"})
    (workbench.folder / "tiny.toml").write_text(presets.to_toml(presets.from_document(doc, source="test")))
    return workbench


def test_one_flat_object(tiny: "Command") -> None:
    done = tiny("bench", "tiny.toml", "--seconds", "0.3", "--json")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    told = json.loads(line)
    assert (told["format"], told["type"]) == (1, "bench")
    assert set(told) >= set(TOLD)
    assert not [key for key, value in told.items() if isinstance(value, dict)]
    assert told["tokens_per_s"] == pytest.approx(64 / told["seconds_per_step"])
    assert told["sentences"][-1].startswith("Measured, B = ")
    assert not tiny.runs.exists()


def test_tuned_used_and_forgotten(tiny: "Command") -> None:
    cache = {"WORKBENCH_CACHE": str(tiny.folder / "cache")}
    done = tiny("bench", "--tune", "tiny.toml", "--seconds", "0.1", "--json", env=cache)
    assert done.returncode == 0, done.stderr
    *tried, told = map(json.loads, done.stdout.splitlines())
    assert {(row["precision"], row["attention"], row["threads"]) for row in tried} == {
        ("fp32", "plain", 1), ("fp32", "sdpa", 1),
    }  # fmt: skip
    path = Path(told["path"])
    assert json.loads(path.read_text())["choice"]["attention"] == told["attention"]

    trained = tiny("--headless", "tiny.toml", "--steps", "5", env=cache)
    assert trained.returncode == 0, trained.stderr
    resolved = json.loads((tiny.run() / "resolved.json").read_text())
    assert (resolved["tuned"], resolved["attention"]) == (True, told["attention"])
    assert "measured by `workbench bench --tune`" in trained.stderr
    (kept,) = [line for line in tiny("doctor", env=cache).stdout.splitlines() if "  tuned " in line]
    assert f"{told['attention']} attention" in kept
    assert kept.startswith("ok  ")

    gone = tiny("bench", "--tune", "--forget", "tiny.toml", env=cache)
    assert gone.stdout == f"removed {path}\n"
    assert not path.exists()
    assert tiny("bench", "--tune", "--forget", "tiny.toml", env=cache).stdout == "nothing was kept for this shape\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--forget"], "--forget goes with --tune"),
        (["--seconds", "0"], "expected seconds from 0.1 to 3,600"),
        (["--set", "T=100000"], "batch.T = 100000 is too large"),
        (["--set", "device.name=cuda:99"], "device.name = 'cuda:99'"),
    ],
)
def test_what_cannot_be_is_told(tiny: "Command", arguments: list[str], message: str) -> None:
    done = tiny("bench", "tiny.toml", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


HERE = {"device": "cpu", "device_model": "a CPU (AVX9)", "processors": 8, "torch_version": "2.13.0+cu130"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"torch_version": "2.13.0"}, "torch 2.13.0"),
        ({"device_model": "another (AVX9)", "processors": 4}, "another (AVX9), 4 processors"),
        ({"device": "cuda"}, "a cuda device"),
        ({"device": "mps", "device_model": "a card"}, "8 processors"),
        ({"surprise": 1}, "another machine"),
    ],
)
def test_the_doctor_knows_a_choice_of_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], why: str
) -> None:
    """As a run does, by all that the choice was kept by; of a CUDA wheel, too, whose version is longer than pip's."""
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    machines = [HERE, HERE | {"device": "mps", "device_model": "a card", "processors": 9}]
    assert list(doctor._tuned(machines)) == []
    shape = tuned.shape(presets.from_document(GPT, source="test"))
    tuned.write(HERE | changes, shape, tuned.Choice("fp32", "sdpa", 4), [])
    (finding,) = doctor._tuned(machines)
    assert finding.level == ("note" if why else "ok")
    assert finding.found.startswith("gpt, T = 16: fp32, sdpa attention, 4 threads; ")
    assert finding.found.endswith(f": of {why}, so not in use" if why else ".json")
