"""`workbench check` as a user runs it, and what its tables and sentences make of a trial's figures."""

import json
import math
from typing import Any

import pytest
from conftest import Command
from tiny_runs import LINES

from workbench.lab.checks import accum, gradient, last_position

TINY = f"""
name = "tiny"
data = {{ text = {json.dumps(LINES)}, split = "lines", layout = "windows" }}
batch = {{ B = 8, T = 3 }}
model = {{ kind = "mlp", hidden = 20 }}
optimizer = {{ kind = "sgd", lr = 0.1, weight_decay = 0.0, clip = 0.0 }}
schedule = {{ kind = "constant", steps = 40, warmup = 0 }}
device = {{ threads = 1 }}
"""


@pytest.fixture
def tiny(workbench: Command) -> str:
    (workbench.folder / "tiny.toml").write_text(TINY)
    return "tiny.toml"


def test_accum_in_json_and_in_text(workbench: Command, tiny: str) -> None:
    ran = workbench("check", "accum", tiny, "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert all(line["format"] == 1 for line in lines)
    assert {line["type"] for line in lines[:-1]} == {"phase"}
    assert any(line["percent"] for line in lines[:-1])
    told = lines[-1]
    assert (told["type"], told["check"], told["holds"]) == ("check", "accum", True)
    figures = told["figures"]
    for name, tolerance in accum.TOLERANCES.items():
        assert 0 <= figures[name] <= tolerance
    assert figures["undivided_norm_ratio"] == pytest.approx(8, rel=1e-5)
    assert figures["average_of_averages"] > 1e-3 > 1e-12 > figures["average_of_averages_kept"]
    assert figures["batchnorm"] > 1e-2 > 1e-5 > figures["batchnorm_without"]
    assert figures["dropout_averaged"] < figures["dropout"]
    assert all(isinstance(value, (int, float)) for value in figures.values())
    assert all(len(row) == len(t["columns"]) for t in told["tables"] for row in t["rows"])

    as_text = workbench("check", "accum", tiny)
    assert as_text.returncode == 0
    assert max(map(len, as_text.stdout.splitlines())) <= 80
    for table in told["tables"]:
        assert table["title"] in as_text.stdout
    flowing = " ".join(as_text.stdout.split())
    assert all(sentence in flowing for sentence in told["sentences"])  # the same experiment, the same figures


def test_gradient_of_a_preset_from_stdin(workbench: Command) -> None:
    with workbench.start("check", "gradient", "-", "--after", "10", "--json", stdin=-1) as process:
        out, _ = process.communicate(TINY, timeout=60)
    told = json.loads(out.splitlines()[-1])
    assert (process.returncode, told["check"], told["holds"]) == (0, "gradient", True)
    figures = told["figures"]
    assert figures["after"] == 10
    for B in (64, 256, 4096):
        assert figures[f"cosine_{B}"] == pytest.approx(figures[f"cosine_{B}_theory"], abs=0.1)
        assert figures[f"error_{B}"] == pytest.approx(figures[f"error_{B}_theory"], rel=0.3)
    assert figures["noise_scale_low"] < figures["noise_scale"] * 1.5
    assert figures["noise_scale"] < figures["noise_scale_high"] * 1.5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("acum", "char"), "invalid choice: 'acum'"),
        (("accum", "chra"), "did you mean char?"),
        (("accum", "char", "--set", "B=x"), "B"),
        (("accum", "char", "--after", "5"), "--after goes with `check gradient`"),
        (("gradient", "char", "--steps", "5"), "--steps goes with `check last-position`"),
        (("gradient", "char", "--after", "-1"), "a whole number from 1"),
    ],
)
def test_bad_input_is_told_in_a_line(workbench: Command, arguments: tuple[str, ...], says: str) -> None:
    ran = workbench("check", *arguments)
    assert ran.returncode == 2
    assert says in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""


def test_what_only_the_trial_can_refuse_is_told_the_same_way(workbench: Command, tiny: str) -> None:
    ran = workbench("check", "last-position", tiny, "--json")
    assert (ran.returncode, len(ran.stderr.splitlines())) == (2, 1)
    assert "a row has one target already; use a preset of layout stream, such as char" in ran.stderr


# ---------------------------------------------------------------------------------------------- without a process


def level(B: int, scale: float, *, whole: float = 2.0) -> dict[str, Any]:
    """What a trial would tell if theory held exactly."""
    alone = {"G2": whole, "trace": scale * whole, "G2_error": whole / 10}
    return {
        "B": B, "draws": 8, "cosines": [1 / math.sqrt(1 + scale / B)] * 8, "errors": [math.sqrt(scale / B)] * 8,
        "alone": alone,
    }  # fmt: skip


def gradient_told(*, all_rows: bool = True, rows: int = 5000) -> dict[str, Any]:
    levels = [level(2**i, 300.0) for i in range(13)]
    return {
        "model": "mlp", "after": 10, "rows": rows, "all_rows": all_rows, "loss": 2.0, "norm_squared": 2.0,
        "levels": levels, "looks": [],
    }  # fmt: skip


def test_the_noise_scale_is_read_from_the_distances() -> None:
    scale, sampled = gradient.noise_scale(gradient_told())
    assert scale == pytest.approx(300)
    assert sampled == 0


def test_a_sampled_whole_has_its_own_noise_taken_off() -> None:
    told = gradient_told(all_rows=False, rows=1000)
    trace, signal, M = 600.0, 2.0, 1000
    told["norm_squared"] = signal + trace / M
    for each in told["levels"]:
        each["errors"] = [math.sqrt(trace * (1 / each["B"] + 1 / M) / told["norm_squared"])] * 8
    assert gradient.noise_scale(told)[0] == pytest.approx(300)


def test_the_interval_has_no_upper_end_where_the_signal_may_be_nothing() -> None:
    assert gradient.interval({"G2": 2.0, "trace": 600.0, "G2_error": 0.5}) == (200.0, 600.0)
    assert gradient.interval({"G2": 0.5, "trace": 600.0, "G2_error": 0.5}) == (400.0, None)
    assert gradient.interval({"G2": -0.1, "trace": 600.0, "G2_error": 0.1})[1] is None


def test_theory_stands_beside_what_agrees_with_it() -> None:
    figures = gradient.tell(gradient_told())["figures"]
    for B in (1, 64, 4096):
        assert figures[f"cosine_{B}"] == pytest.approx(figures[f"cosine_{B}_theory"])
        assert figures[f"error_{B}"] == pytest.approx(figures[f"error_{B}_theory"])


def last_told(last: list[tuple[int, float]]) -> dict[str, Any]:
    every = [(0, 4.0), (10, 3.0), (20, 2.0), (30, 1.0)]
    return {
        "curves": {"all": [[s, v, v] for s, v in every], "last": [[s, v, v] for s, v in last]},
        "steps": 30, "B": 4, "T": 8, "accum": 1, "seed": 1, "own": True, "model": "gpt",
    }  # fmt: skip


def test_how_many_times_as_many_steps() -> None:
    figures = last_position.tell(last_told([(0, 4.0), (10, 3.5), (20, 3.0), (30, 2.5)]))["figures"]
    assert figures["times_at_end"] == pytest.approx(2)  # 2.5 was there at step 15
    assert (figures["times_low"], figures["times_high"]) == (pytest.approx(2), pytest.approx(2))


def test_a_loss_that_was_never_seen_has_no_times() -> None:
    told = last_position.tell(last_told([(0, 4.0), (10, 4.5), (20, 4.2), (30, 0.5)]))
    assert "times_at_end" not in told["figures"]
    assert [row[-1] for row in told["tables"][0]["rows"]] == ["–"] * 4


def test_a_tolerance_that_is_not_kept_is_said_and_fails() -> None:
    far = {"8x8": 1e-3, "1x64": 2e-3}
    near = {"8x8": 1e-16, "1x64": 1e-16}
    run = {"clip": 0.0, "lr": 0.1, "norm_ratio": 8.0, "update_ratio": 8.0, "gap": 0.5, "gap_step": 3}
    told = accum.tell({
        "gradient_model": "mlp", "weight_model": "mlp", "optimizer": "sgd", "asked": "sgd",
        "rows": [{"B": B, "accum": 64 // B, "hash": "0" * 64} for B in (64, 8, 1)],
        "gradients": {"fp32": far, "fp64": near, "exact": {"64x1": 1e-3, **near}},
        "weights": {"fp32": near, "fp64": near},
        "micro_batches": {key: [1.0] * 8 for key in ("losses", "norms", "undivided", "divided")},
        "undivided": [{**run, "optimizer": o, "clip": c} for o in ("sgd", "adamw") for c in (0.0, 1.0)],
        "averages": {"counts": [1, 8], "difference": 0.5, "kept": 1e-16, "loss": 1.0, "loss_averaged": 1.1},
        "batchnorm": {"own": True, "batch": {"8x8": 0.1, "2x32": 0.2}, "none": near | {"2x32": 0.0}},
        "dropout": {"p": 0.1, "masks": 16, "split": 0.1, "reseeded": 0.1, "averaged": 0.02},
    })  # fmt: skip
    assert not told["holds"]
    assert "Over the tolerance: gradients in fp32." in told["sentences"]
    assert any("fp32 rounds" in sentence and "1.0e-03 away as 64×1" in sentence for sentence in told["sentences"])
