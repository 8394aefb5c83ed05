"""`workbench fit`: real sizes in real processes; what is named was run, and the next was run and did not fit."""

import json
import signal
import sys
from typing import Any

import psutil
import pytest
from tiny_runs import FP32, MLP, document

from workbench import preset as presets
from workbench.errors import UsageError
from workbench.lab import fit, sizes
from workbench.lab.fit import Wanted, why
from workbench.lab.trial import Crashed, OutOfMemory, Told

linux = pytest.mark.skipif(sys.platform != "linux", reason="on a CPU, memory is counted by Linux alone")
KEYS = {"B", "T", "accum", "fits", "memory_bytes", "predicted_bytes", "seconds_per_step", "seconds_micro",
        "seconds_update", "tokens_per_s", "reason"}  # fmt: skip


def written_to(folder: Any, base: dict[str, Any] = FP32, **changes: Any) -> None:
    preset = presets.from_document(document(base, **changes), source="test")
    (folder / "tiny.toml").write_text(presets.to_toml(preset))


@pytest.fixture(scope="module")
def told(workbench_of_module: Any) -> list[Told]:
    """Width 256, so that a row is a quarter of a MiB: the line from B = 64 on is clear of the evaluation's floor."""
    written_to(workbench_of_module.folder, model__width=256, batch__B=64, batch__T=64, data__val_fraction=0.5)
    arguments = ("fit", "tiny.toml", "--memory-limit", "130MiB", "--json")
    done = workbench_of_module(*arguments, timeout=300)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@linux
def test_what_is_named_was_run(told: list[Told]) -> None:
    *_, result = told
    probes = {p["B"]: {k: v for k, v in p.items() if k != "format"} for p in told if p["type"] == "probe"}
    assert result["probes"] == sorted(probes.values(), key=lambda p: p["B"])
    assert all(p.keys() >= KEYS for p in probes.values())
    B, following = result["largest"]["B"], result["next"]
    assert probes[B]["fits"]
    assert probes[B]["memory_bytes"] <= result["limit_bytes"] == 130 * 2**20
    assert following == B + 1
    assert not probes[following]["fits"]
    assert "out of memory" in probes[following]["reason"]
    assert not [p for p in probes.values() if p["fits"] and p["B"] > B]
    assert result["fastest"]["tokens_per_s"] == max(p["tokens_per_s"] for p in probes.values() if p["fits"])


@linux
def test_the_line_foretells_the_largest(told: list[Told]) -> None:
    result = told[-1]
    largest = next(p for p in result["probes"] if p["B"] == result["largest"]["B"])
    assert largest["predicted_bytes"] == pytest.approx(largest["memory_bytes"], rel=0.05)
    line = result["line"]
    assert line["intercept_bytes"] + line["bytes_per_B"] * largest["B"] == pytest.approx(largest["memory_bytes"], 0.001)


@linux
def test_tokens_a_step_are_held_by_accum(told: list[Told]) -> None:
    result = told[-1]
    assert result["tokens_per_step"] == 64 * 64
    exact = [p for p in result["probes"] if p["exact"]]
    assert {p["B"] * p["accum"] for p in exact} == {64}
    assert result["choice"]["exact"]
    assert result["choice"]["tokens_per_s"] == max(p["tokens_per_s"] for p in exact if p["fits"])
    for p in result["probes"]:
        if p["fits"]:
            seconds = p["accum"] * p["seconds_micro"] + p["seconds_update"]
            assert p["seconds_per_step"] == pytest.approx(seconds)
            assert p["tokens_per_s"] == pytest.approx(p["B"] * p["T"] * p["accum"] / seconds)


@linux
def test_it_is_said_in_sentences_and_figures(told: list[Told]) -> None:
    result = told[-1]
    B = result["largest"]["B"]
    first, *others = result["sentences"]
    assert first.startswith(f"B = {B} is the largest that fits in 130.0 MiB: 3 full steps")
    assert first.endswith(f"B = {B + 1} does not.")
    assert any("is the fastest that was run" in s for s in others)
    assert any("Python and torch hold" in s for s in others)
    assert all(isinstance(value, int | float) for value in result["figures"].values())
    assert (result["figures"]["largest_B"], result["figures"]["next_B"]) == (B, B + 1)


@linux
def test_text_a_cap_and_saving(workbench: Any) -> None:
    written_to(workbench.folder, MLP)
    arguments = ("fit", "tiny.toml", "--memory-limit", "1GiB", "--max-B", "3", "--tokens", "6", "--save", "out.toml")
    done = workbench(*arguments)
    assert done.returncode == 0, done.stderr
    assert "B = 3 is the largest that fits in 1.0 GiB" in done.stdout
    assert "Memory is not what bounds it: no larger size was asked for." in done.stdout
    assert "6 examples a step: the largest B that divides them and fits is 3, with accum = 2." in done.stdout
    assert "█" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines() if line[:9].strip().isdigit()) <= 80
    saved = presets.load(str(workbench.folder / "out.toml")).preset
    assert saved.batch.B * saved.batch.accum == 6
    assert "`workbench plan` scales it" in done.stderr
    again = workbench(*arguments)
    assert again.returncode == 2
    assert "out.toml is there already; --force replaces it" in again.stderr


@linux
def test_not_even_one_row(workbench: Any) -> None:
    written_to(workbench.folder)
    done = workbench("fit", "tiny.toml", "--memory-limit", "10KiB", "--json")
    assert done.returncode == 4
    assert "not even B = 1 fits in 10.0 KiB at T = 16: out of memory" in done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["largest"], result["next"], result["fastest"]) == (None, 1, None)


@linux
def test_what_is_no_lack_of_memory_ends_it(workbench: Any) -> None:
    written_to(workbench.folder, device__name="cuda:99")
    done = workbench("fit", "tiny.toml", "--json")
    assert done.returncode == 2
    assert "device.name = 'cuda:99'" in done.stderr
    assert '"type":"fit"' not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--memory-limit", "2 pounds"], "expected a size of memory, such as 2GiB"),
        (["--tokens", "30"], "--tokens 30: expected whole rows of T = 16 tokens, such as 16 or 32"),
        (["--scenarios", "--max-B", "4"], "--max-B: not with --scenarios"),
        (["--force"], "--force goes with --save"),
        (["--max-B", "0"], "expected a whole number of at least 1"),
        (["--steps", "1"], "expected a whole number from 2"),
        (["--tokens", "800000000000000"], "expected at most 1,048,576 rows a step, which is 16,777,216"),
        (["--save", ""], "expected a path"),
        (["--set", "T=100000"], "batch.T = 100000 is too large"),
    ],
)
def test_what_cannot_be_is_told_before_anything_runs(workbench: Any, arguments: list[str], said: str) -> None:
    written_to(workbench.folder)
    done = workbench("fit", "tiny.toml", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("text", "count"),
    [("2GiB", 2**31), ("512mib", 2**29), ("1.5GB", 1_500_000_000), ("3000", 3000), ("7 KiB", 7168), ("9B", 9)],
)
def test_sizes_of_memory(text: str, count: int) -> None:
    assert sizes.parse(text) == count


@pytest.mark.parametrize("text", ["", "GiB", "-1GiB", "1e9", "0", "2GiBB", "99999999TiB", "1,5GiB", "٣"])
def test_what_is_no_size_of_memory(text: str) -> None:
    with pytest.raises(UsageError, match="expected a size of memory"):
        sizes.parse(text)


def test_sizes_are_written_in_the_unit_that_fits() -> None:
    assert [sizes.written(n) for n in (12, 2**20, 1_500_000_000)] == ["12 B", "1.0 MiB", "1.4 GiB"]


def test_why_is_told_without_the_allocator() -> None:
    cpu = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 1048576 bytes. Error code 12"
    cuda = "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of …"
    assert why(OutOfMemory(cpu)) == "out of memory: 1.0 MiB more were refused"
    assert why(OutOfMemory(cuda)) == "out of memory: 20.00 MiB more were refused"
    assert why(OutOfMemory("the system killed it: it ran\x1b out of memory")).startswith("the system killed it")


def test_tokens_are_rows() -> None:
    preset = presets.from_document(FP32, source="test")
    assert Wanted(preset).rows == 4
    assert Wanted(preset, tokens=160).rows == 10
    windows = presets.from_document(MLP, source="test")
    assert Wanted(windows, tokens=160).rows == 160


@linux
def test_a_crash_is_memory_only_if_more_of_it_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that is refused memory may end the process. Real trials crash in the kernel's hands, by a signal."""
    asked = {"preset": presets.to_document(presets.from_document(FP32, source="test")), "steps": 5000}
    asked |= {"limit_bytes": 2 * 10**9}

    def crash(told: Told) -> None:
        if told["type"] == "machine" and told["limit_bytes"] <= crashing:
            (child,) = psutil.Process().children()
            child.send_signal(signal.SIGSEGV)

    real = fit.trial
    monkeypatch.setattr(fit, "trial", lambda name, request, hear=crash: real(name, request, crash))
    crashing = 2 * 10**9
    with pytest.raises(OutOfMemory, match="a library crashed when it was refused more"):
        fit.probe(asked, crash)
    crashing = 10**12
    with pytest.raises(Crashed):
        fit.probe(asked, crash)
