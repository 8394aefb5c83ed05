"""The grid and its rescaled schedules, and real sweeps of tiny workers: equal, interrupted, diverged, too large."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tiny_runs import GPT, MLP, document

from workbench import preset as presets
from workbench.errors import UsageError
from workbench.lab import sweep
from workbench.lab.grid import Grid, parse, plan, run_name, split
from workbench.plan.schedule import lr_of
from workbench.preset import Preset
from workbench.runs import status
from workbench.runs.events import read_events
from workbench.runs.signals import Interrupted, Signals
from workbench.words.sweep import _budget

if TYPE_CHECKING:
    from conftest import Command


def tiny(base: dict[str, Any] = GPT, **changes: Any) -> Preset:
    return presets.from_document(document(base, **changes), source="test")


def planned(*sets: str, base: Preset | None = None, **how: Any) -> Grid:
    axes = parse(sets)
    assert not axes.fixed
    return plan(base or tiny(), axes.swept, **how)


# ------------------------------------------------------------------------------------------ what --set says


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("1,32,64", ["1", "32", "64"]),
        ("[0.9, 0.99]", ["[0.9, 0.99]"]),
        ("[0.9, 0.95],[0.9, 0.99]", ["[0.9, 0.95]", "[0.9, 0.99]"]),
        ('"a,b",c', ['"a,b"', "c"]),
        ("", [""]),
    ],
)
def test_commas_outside_of_brackets_and_quotes_separate(written: str, parts: list[str]) -> None:
    assert split(written) == parts


def test_several_values_make_an_axis_and_one_holds_for_all() -> None:
    axes = parse(["B=1, 32", "lr=0.1", "optimizer.betas=[0.9, 0.95]", "optimizer.kind=sgd,adamw", "seed=1,2"])
    assert axes.fixed == ["lr=0.1", "optimizer.betas=[0.9, 0.95]"]
    assert axes.swept == {"batch.B": [1, 32], "optimizer.kind": ["sgd", "adamw"], "seed": [1, 2]}
    assert parse(["optimizer.betas=[0.9,0.95],[0.9,0.99]"]).swept == {"optimizer.betas": [[0.9, 0.95], [0.9, 0.99]]}


def test_a_comma_in_free_text_is_text() -> None:
    assert parse(["data.text=one, two"]).fixed == ["data.text=one, two"]
    assert parse(["data.text='one','two'"]).swept == {"data.text": ["one", "two"]}
    assert parse(["dataset=a,b.txt"]).fixed == ["dataset=a,b.txt"]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(UsageError) as error:
        parse(["B=1,,x", "lr=0.1,0.1", "T=1,2", "T=3,4", "nonsense=1,2", "accum=1", "accum=1,2"])
    told = str(error.value)
    assert all(
        words in told
        for words in (
            "batch.B = 'x'",
            "0.1 is there more than once",
            "T: given twice",
            "nonsense",
            "batch.accum: given",
        )
    )
    with pytest.raises(UsageError) as error:
        planned("B=0,4", "schedule.warmup=0,90", "T=16,10000000")
    told = str(error.value)
    assert all(words in told for words in ("B=0", "schedule.warmup = 90", "T=10000000: batch.T"))


# ------------------------------------------------------------------------------------------ equal to one another


def test_at_equal_steps_only_the_setting_differs() -> None:
    g = planned("B=1,32", seeds=2)
    assert [(c.label, c.seed) for c in g.cells] == [("B=1", 1337), ("B=32", 1337), ("B=1", 1338), ("B=32", 1338)]
    changed = [set(presets.changes(tiny(), c.preset)) for c in g.cells[:2]]
    assert changed == [{"name", "batch.B"}, {"name", "batch.B"}]
    assert g.rule == "none"
    assert [c.preset.name for c in g.cells[:3]] == ["tiny-B1-s1337", "tiny-B32-s1337", "tiny-B1-s1338"]


def test_at_equal_tokens_the_whole_schedule_is_rescaled_and_not_cut() -> None:
    base = tiny(MLP)  # B = 8, 40 steps, milestone 30, sgd
    one, double = planned("B=1,16", base=base, equal="tokens").cells
    for cell, steps, lr in ((one, 320, 0.1 / 8), (double, 20, 0.2)):
        s = cell.preset.schedule
        assert (s.steps, s.milestones, cell.preset.eval.every) == (steps, (steps * 3 // 4,), steps // 2)
        assert s.steps * cell.preset.batch.B == 320
        assert cell.preset.optimizer.lr == lr
        assert lr_of(cell.preset, steps - 1) == pytest.approx(lr / 10)  # it has come to its end
        assert cell.notes == []
    assert one.epochs == pytest.approx(double.epochs)


def test_what_rounding_moved_is_told() -> None:
    g = planned("B=7,8", equal="tokens")
    odd = g.cells[0]
    assert odd.preset.schedule.steps == round(40 * 4 / 7)
    assert any(note.startswith("schedule.steps: 40 ") for note in odd.notes)
    assert all("schedule.steps" not in note for note in g.cells[1].notes)


@pytest.mark.parametrize(
    ("sets", "how", "rule", "lrs"),
    [
        (["B=1,16"], {"equal": "tokens"}, "sqrt", [5e-4, 2e-3]),
        (["B=1,16"], {"equal": "tokens", "rule": "linear"}, "linear", [2.5e-4, 4e-3]),
        (["B=1,16"], {"rule": "sqrt"}, "sqrt", [5e-4, 2e-3]),
        (["B=1,16"], {}, "none", [1e-3, 1e-3]),
        (["lr=0.001,0.002"], {"equal": "tokens"}, "none", [1e-3, 2e-3]),
        (["optimizer.weight_decay=0.0,0.2"], {"equal": "tokens"}, "none", [1e-3, 1e-3]),
    ],
)
def test_lr_goes_with_the_tokens_a_step(sets: Sequence[str], how: Any, rule: str, lrs: list[float]) -> None:
    g = planned(*sets, **how)
    assert g.rule == rule
    assert [c.preset.optimizer.lr for c in g.cells] == lrs
    assert g.why


def test_at_equal_seconds_the_measured_rates_decide() -> None:
    asked = []

    def seconds(preset: Preset) -> float:
        asked.append(preset.batch.B)
        return {1: 0.5, 4: 1.0, 64: 8.0}[preset.batch.B]

    g = planned("B=1,64", equal="seconds", seconds=seconds)
    assert [c.preset.schedule.steps for c in g.cells] == [80, 5]
    assert (g.budget, asked) == (40.0, [1, 64, 4])  # the preset's own rate too
    asked.clear()
    planned("B=1,4", equal="seconds", seconds=seconds, seeds=3)
    assert asked == [1, 4]


def test_what_whole_steps_make_of_equal_tokens_is_said_first() -> None:
    assert "each, by whole steps" not in _budget(planned("B=1,2", equal="tokens"))
    g = planned("B=1,1048576", equal="tokens")
    assert f"by whole steps {g.budget:,.0f} to {2**20 * g.base.batch.T * g.base.batch.accum:,}" in _budget(g)
    assert _budget(planned()).startswith("1 run of")


def test_what_contradicts_itself_is_refused() -> None:
    for sets, how in (
        (["steps=10,20"], {"equal": "tokens"}), (["seed=1,2"], {"seeds": 2}), (['name="a","b"'], {}),
        (["optimizer.kind=sgd,adamw", "B=1,2"], {"equal": "tokens"}),
    ):  # fmt: skip
        with pytest.raises(UsageError, match="--set"):
            planned(*sets, **how)
    with pytest.raises(UsageError, match="1,200 runs"):
        planned("B=" + ",".join(map(str, range(1, 1201))))


def test_names_fit_and_hold_nothing_strange() -> None:
    name = run_name("n" * 64, {"data.dataset": "/somewhere/my text.txt", "optimizer.betas": [0.9, 0.95]}, 7)
    assert len(name) == 64
    assert name.endswith("-datasetmy_text-betas_0.9_0.95_-s7")
    assert presets.apply(tiny(), {"name": name}).name == name


# ------------------------------------------------------------------------------------------ real sweeps


@pytest.fixture
def here(workbench: "Command") -> "Command":
    for name, doc in (("mlp", MLP), ("gpt", GPT)):
        (workbench.folder / f"{name}.toml").write_text(presets.to_toml(tiny(doc, sample__every=0)))
    return workbench


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_sweep_of_real_workers(here: "Command") -> None:
    done = here("sweep", "mlp.toml", "--set", "B=4,8", "--equal", "tokens", "--seeds", "2", "--json")
    assert done.returncode == 0, done.stderr
    *told, last = objects(done.stdout)
    assert {o["type"] for o in told} == {"run"}
    ends = [o for o in told if o["state"] == "done"]
    assert [(o["label"], o["seed"], o["step"], o["steps"]) for o in {o["run"]: o for o in ends}.values()] == [
        ("B=4", 1337, 80, 80), ("B=8", 1337, 40, 40), ("B=4", 1338, 80, 80), ("B=8", 1338, 40, 40),
    ]  # fmt: skip
    assert last["type"] == "compare"
    assert [(g["label"], g["seeds"], g["tokens"]) for g in last["groups"]] == [("B=4 lr=0.05", 2, 320),
                                                                              ("B=8 lr=0.1", 2, 320)]  # fmt: skip
    assert last["x"] == "tokens"
    assert last["at"] is None
    assert last["figures"]["weights_equal"] == 1
    assert last["figures"].keys() >= {"val_loss_B4", "noise_B8", "gap_B4_B8", "spread_B4_B8"}
    assert all(v["spread"] > 0 for v in last["verdicts"])
    runs = last["sweep"]["runs"]
    assert [(r["state"], r["moved"]) for r in runs] == [("done", [])] * 4
    hashes: dict[int, set[str]] = {r["seed"]: set() for r in runs}
    for r in runs:
        hashes[r["seed"]].add(read_events(Path(r["run"]))[0]["weights"])
    assert [len(found) for found in hashes.values()] == [1, 1]
    assert hashes[1337] != hashes[1338]
    listed = objects(here("runs", "--json").stdout)  # they are runs as any other
    assert [(o["run"].rsplit("-", 2)[0], o["state"]) for o in listed] == [
        (f"tiny-mlp-B{B}-s{seed}", "done") for seed in (1337, 1338) for B in (4, 8)
    ]  # fmt: skip


def test_a_run_that_diverges_is_a_result(here: "Command") -> None:
    sets = "optimizer.kind=sgd schedule.kind=constant optimizer.clip=0 model.layers=4 steps=200 lr=0.01,1e6"
    done = here("sweep", "gpt.toml", *(f"--set={text}" for text in sets.split()))
    assert done.returncode == 0, done.stderr
    assert "lr=1e+06  seed 1337" in done.stderr
    assert "diverged" in done.stderr
    assert "lr=1e+06 (diverged)" in done.stdout
    assert "left out" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS binds on Linux only")
def test_a_run_that_does_not_fit_is_a_result(here: "Command") -> None:
    def at_most_64_gib() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (2**36, 2**36))

    sets = "--set=model.width=65536", "--set=model.layers=10", "--set=device.name=cpu"
    done = here("sweep", "gpt.toml", *sets, "--json", preexec_fn=at_most_64_gib)
    assert done.returncode == 0, done.stderr
    last = objects(done.stdout)[-1]
    assert last["runs"] == []
    (run,) = last["sweep"]["runs"]
    assert (run["run"], run["state"]) == (None, "out-of-memory")
    assert "does not fit" in run["reason"]


def test_an_interrupt_stops_the_worker_which_saves_first(here: "Command") -> None:
    process = here.start("sweep", "mlp.toml", "--set", "B=4,8", "--steps", "1000000000", "--set", "eval.every=0")
    here.until(lambda: (here.run() / "steps.bin").stat().st_size > 5_000)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err
    end = here.events()[-1]  # there is one run: the second was not started
    assert (end["type"], end["state"]) == ("end", "interrupted")
    assert list((here.run() / "checkpoints").glob("step-*"))


def test_an_interrupt_is_no_error_to_be_passed_over(
    tmp_path: Path, signals: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes where errors of the run that trains are passed over: while its status is read."""
    real, sent = status.read, []

    def read(run: Path) -> status.Status | None:
        sent.append(run)
        if len(sent) == 1:
            signal.raise_signal(signal.SIGINT)
        assert len(sent) < 20, "passed over"
        return real(run)

    monkeypatch.setattr(sweep.status, "read", read)
    with pytest.raises(Interrupted):
        sweep.train(tiny(MLP, schedule__steps=1_000_000_000), tmp_path, lambda told: None)
    assert read_events(sent[0])[-1]["state"] == "interrupted"


def test_a_reader_that_goes_away_ends_the_telling_and_not_the_sweep(here: "Command") -> None:
    """As with `--headless`: every run is trained, 0 is true, and nothing is left behind."""
    words = "sweep mlp.toml --set B=4,8 --set steps=200 --set eval.every=0 --json"
    line = f"{sys.executable} -m workbench {words} | head -1; echo ${{PIPESTATUS[0]}}"
    env = {**os.environ, "WORKBENCH_RUNS": str(here.runs)}
    done = subprocess.run(
        ["bash", "-c", line], cwd=here.folder, env=env, capture_output=True, text=True, timeout=120, check=True
    )
    first, code = done.stdout.splitlines()
    assert (json.loads(first)["state"], code) == ("starting", "0")
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr
    ends = [read_events(path)[-1] for path in sorted(here.runs.iterdir())]
    assert [(end["type"], end["state"], end["step"]) for end in ends] == [("end", "done", 200)] * 2
    assert not any(status.read(path).alive() for path in here.runs.iterdir())  # type: ignore[union-attr]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_json_ends_the_telling_and_not_the_sweep(here: "Command", unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        done = here(
            "sweep", "mlp.toml", "--set", "B=4,8", "--steps", "20", "--json", stdout=full,
            env={"PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "rror" not in done.stderr
    ends = [read_events(path)[-1] for path in sorted(here.runs.iterdir())]
    assert [(end["type"], end["state"], end["step"]) for end in ends] == [("end", "done", 20)] * 2


def test_before_anything_starts(here: "Command") -> None:
    refused = here("sweep", "mlp.toml", "--set", "B=0,4", "--set", "lr=0.1,-1")
    assert refused.returncode == 2
    assert "batch.B = 0" in refused.stderr
    assert "optimizer.lr = -1" in refused.stderr
    dry = here("sweep", "mlp.toml", "--set", "B=1,7", "--equal", "tokens", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "linear for SGD" in dry.stdout
    assert "schedule.steps: 40 " in dry.stdout
    told = here("sweep", "mlp.toml", "--set", "B=1,7", "--equal", "tokens", "--dry-run", "--json")
    (one,) = objects(told.stdout)
    assert [(r["steps"], r["lr"]) for r in one["runs"]] == [(320, 0.0125), (46, 0.0875)]
    assert not here.runs.exists()


@pytest.mark.slow
def test_names_at_equal_steps(here: "Command", test_data: Path) -> None:
    """About a minute on two quiet cores."""
    sets = f"--set=dataset={test_data / 'names.txt'}", "--set=B=1,32,64"
    done = here("sweep", "names", *sets, "--json", timeout=600)
    assert done.returncode == 0, done.stderr
    told = objects(done.stdout)[-1]["figures"]
    for B, loss, within, epoch, seen in (
        (1, 2.376, 0.03, 182_625, 30_000), (32, 2.145, 0.01, 5_707, 960_000), (64, 2.135, 0.01, 2_853, 1_920_000),
    ):  # fmt: skip
        assert told[f"val_loss_B{B}"] == pytest.approx(loss, abs=within)
        assert (int(told[f"steps_per_epoch_B{B}"]), told[f"tokens_B{B}"]) == (epoch, seen)
    assert told["weights_equal"] == 1
    assert told["noise_B1"] > told["noise_B32"] > told["noise_B64"]
