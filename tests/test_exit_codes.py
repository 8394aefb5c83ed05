"""Every exit code of the design's section 5, each produced by a real process: what scripts and schedulers go by."""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from workbench.runs.records import DTYPE

if TYPE_CHECKING:
    from conftest import Command

PRESET = """\
name = "small"
[data]
text = "To be or not to be."
val_fraction = 0.0
[batch]
B = 2
T = 4
[model]
layers = 1
heads = 1
width = 8
[schedule]
steps = 20
warmup = 0
[eval]
every = 0
[checkpoint]
every = 10
[sample]
every = 0
[device]
threads = 1
"""
RECORD = DTYPE.itemsize
ENDLESS = ("--set", "schedule.steps=1000000000")


@pytest.fixture
def here(workbench: "Command") -> "Command":
    """A folder with a preset that trains in a moment, and a text."""
    (workbench.folder / "small.toml").write_text(PRESET)
    (workbench.folder / "text.txt").write_text("abc def\n" * 50)
    return workbench


@pytest.fixture(scope="module")
def trained(workbench_of_module: "Command") -> Path:
    """A run that is done, to be copied and damaged."""
    (workbench_of_module.folder / "small.toml").write_text(PRESET)
    assert workbench_of_module("--headless", "small.toml", "--steps", "1000", "--quiet").returncode == 0
    return workbench_of_module.run()


@pytest.fixture
def done(here: "Command", trained: Path) -> "Command":
    """The folder, and in it a run of 1,000 steps that is done."""
    shutil.copytree(trained, here.runs / trained.name)
    return here


def start_endless(here: "Command", *more: str, **how: Any) -> "subprocess.Popen[str]":
    """A run that ends only when it is told to, and has made a few steps."""
    process = here.start("--headless", "small.toml", *ENDLESS, *more, **how)
    here.until(lambda: process.poll() is not None or (here.run() / "steps.bin").stat().st_size > 30 * RECORD)
    assert process.poll() is None, process.communicate()
    return process


def status_of(run: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((run / "status.json").read_text())
    return document


def checkpoints_of(run: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in (run / "checkpoints").glob("step-*"))


# ------------------------------------------------------------------------------------------ 0 and 1


def test_a_live_run_is_steered_and_stopped(here: "Command") -> None:
    """0: done as asked; 1: asked, and not done; 2: not to be asked. The run itself ends with 0."""
    process = start_endless(here, "--json", stdout=subprocess.DEVNULL)

    applied = here("set", "last", "lr=3e-4", "--json")
    assert (applied.returncode, json.loads(applied.stdout)["state"]) == (0, "applied")

    refused = here("set", "last", "B=0")
    assert refused.returncode == 1
    assert "refused" in refused.stdout
    assert "batch.B = 0: expected a whole number from 1" in refused.stdout

    busy = here("resume", "last", "--quiet")
    assert (busy.returncode, busy.stdout) == (2, "")
    assert "is running" in busy.stderr

    assert here("pause", "small").returncode == 0
    assert status_of(here.run())["state"] == "paused"
    assert here("resume", "small").returncode == 0
    process.send_signal(signal.SIGHUP)  # the terminal has gone: not a worker's affair
    step = status_of(here.run())["step"]
    here.until(lambda: status_of(here.run())["step"] > step)

    stopped = here("stop", "small")
    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert "stopped and saved at step" in stopped.stdout
    assert process.wait(10) == 0
    end = here.events()[-1]
    assert (end["type"], end["state"], end["exit_code"]) == ("end", "stopped", 0)
    assert checkpoints_of(here.run())[-1] == end["step"] == status_of(here.run())["step"]


def test_1_a_run_whose_records_were_cut_cannot_go_on(done: "Command") -> None:
    with (done.run() / "steps.bin").open("r+b") as file:
        file.truncate(5 * RECORD)
    resumed = done("resume", "last", "--steps", "1010", "--quiet")
    assert (resumed.returncode, resumed.stdout) == (1, "")
    assert "steps.bin: 5 records, but its checkpoint was made after 1000" in resumed.stderr
    assert "Traceback" not in resumed.stderr
    assert status_of(done.run())["state"] == "failed"


def test_1_a_damaged_checkpoint_is_told(done: "Command") -> None:
    for path in done.run().glob("checkpoints/*/model.safetensors"):
        path.write_bytes(b"not safetensors")
    for refused in (done("resume", "last", "--steps", "1010", "--quiet"), done("sample", "last")):
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "step-00001000: something of it is missing or cut" in refused.stderr
        assert "Traceback" not in refused.stderr


# ------------------------------------------------------------------------------------------ 2


def test_2_a_preset_that_is_refused_leaves_nothing(here: "Command") -> None:
    refused = here("--headless", "small.toml", "--set", "T=100", "--json", "--quiet")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("workbench: batch.T = 100 is too large")
    assert refused.stderr.count("\n") == 1
    assert not here.runs.exists()


def test_2_arguments_that_are_no_text(here: "Command") -> None:
    """Bytes that are not UTF-8 arrive as lone surrogates, which neither a file nor a terminal takes."""
    for words in (["--name", b"\xff"], ["--set", b"data.text=\xff\xfe"], ["--set", b"dataset=\xff.txt"]):
        refused = here("--dry-run", "small.toml", "--quiet", *words)
        assert (refused.returncode, refused.stdout) == (2, ""), refused.stderr
        assert refused.stderr.startswith("workbench: ")
        assert "Traceback" not in refused.stderr


# ------------------------------------------------------------------------------------------ 3 and 4


def test_3_the_loss_stops_being_a_number(here: "Command") -> None:
    sets = "model.layers=4 optimizer.kind=sgd lr=1e6 schedule.kind=constant optimizer.clip=0 steps=500"
    told = here("--headless", "small.toml", "--json", "--quiet", *(f"--set={text}" for text in sets.split()))
    assert told.returncode == 3, told.stderr
    *_, last, end = (json.loads(line) for line in told.stdout.splitlines())
    assert (end["type"], end["state"], end["exit_code"]) == ("end", "diverged", 3)
    assert last["type"] == "step"
    assert set(last["nonfinite"]) & {"loss", "grad_norm"}
    assert all(last[key] is None for key in last["nonfinite"])
    assert f"record {last['step']}" in told.stderr
    assert "--set lr=" in told.stderr, "it says what to try"


def _at_most_64_gib() -> None:
    # Without a limit, a machine that overcommits would begin to swap instead of refusing.
    resource.setrlimit(resource.RLIMIT_AS, (64 << 30, 64 << 30))


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="RLIMIT_AS binds on Linux only")
def test_4_a_step_that_no_computer_holds(here: "Command") -> None:
    """Refused before there is a run. Memory that runs out in a step: tests/faults/test_memory.py."""
    told = here(
        "--headless", "small.toml", "--set=B=1048576", "--set=T=18", "--set=model.width=1024", "--quiet",
        "--set=device.name=cpu", preexec_fn=_at_most_64_gib,
    )  # fmt: skip
    assert (told.returncode, told.stdout) == (4, ""), told.stderr
    assert "the run does not fit into memory: B = 1048576, T = 18" in told.stderr
    assert "would fit" in told.stderr
    assert not here.runs.exists() or not list(here.runs.iterdir())


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="RLIMIT_AS binds on Linux only")
def test_4_the_model_does_not_fit(here: "Command") -> None:
    told = here(
        "--headless", "small.toml", "--set=model.width=65536", "--set=model.layers=10", "--quiet",
        "--set=device.name=cpu", preexec_fn=_at_most_64_gib,
    )  # fmt: skip
    assert (told.returncode, told.stdout) == (4, ""), told.stderr
    assert "the model does not fit into memory" in told.stderr
    assert not here.runs.exists()


# ------------------------------------------------------------------------------------------ 5


def test_5_data_that_cannot_be_had(here: "Command") -> None:
    nowhere = {"WORKBENCH_OFFLINE": "1", "TIKTOKEN_CACHE_DIR": str(here.folder / "empty")}
    refused = here("--headless", "small.toml", "--set=data.tokenizer=gpt2", "--json", "--quiet", env=nowhere)
    assert (refused.returncode, refused.stdout) == (5, "")
    assert "TIKTOKEN_CACHE_DIR" in refused.stderr
    assert refused.stderr.count("workbench: ") == 1
    assert not here.runs.exists()


def test_5_an_encoder_that_is_gone_is_missed_before_there_is_a_run(here: "Command", test_data: Path) -> None:
    """A kept corpus opens without one: only the samples of a run need it."""
    words = ("--headless", "small.toml", "--set=dataset=text.txt", "--set=data.tokenizer=gpt2", "--quiet", "--steps=2")
    there = {
        "WORKBENCH_CACHE": str(here.folder / "cache"), "TIKTOKEN_CACHE_DIR": str(test_data / "tiktoken"),
        "WORKBENCH_OFFLINE": "1",
    }  # fmt: skip
    gone = there | {"TIKTOKEN_CACHE_DIR": str(here.folder / "empty")}
    assert here(*words, env=there).returncode == 0
    refused = here(*words, "--set=sample.every=1", env=gone)
    assert (refused.returncode, refused.stdout) == (5, "")
    assert "TIKTOKEN_CACHE_DIR" in refused.stderr
    before = (here.run() / "events.jsonl").read_bytes()  # there is one run still
    assert here("resume", "last", "--steps=4", "--set=sample.every=1", env=gone).returncode == 5
    assert (here.run() / "events.jsonl").read_bytes() == before
    assert here("resume", "last", "--steps=4", "--quiet", env=gone).returncode == 0


def test_5_a_corpus_that_has_changed(here: "Command") -> None:
    assert here("--headless", "small.toml", "--set=dataset=text.txt", "--quiet").returncode == 0
    before = sorted(path.name for path in here.run().rglob("*"))
    (here.folder / "text.txt").write_text("abc fed\n" * 50)
    for words in (["resume", "last", "--steps=40", "--quiet"], ["rows", "last"]):
        refused = here(*words)
        assert (refused.returncode, refused.stdout) == (5, "")
        assert "the corpus has changed since the run began" in refused.stderr
    assert sorted(path.name for path in here.run().rglob("*")) == before
    assert status_of(here.run())["state"] == "done"


# ------------------------------------------------------------------------------------------ 130 and 143


def _ignore_both() -> None:
    """What nohup, and a shell that starts a job in the background of a script, leave behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@pytest.mark.parametrize(
    ("number", "code", "inherited"),
    [
        (signal.SIGINT, 130, None),
        (signal.SIGINT, 130, _ignore_both),
        (signal.SIGTERM, 143, _ignore_both),
    ],
    ids=["SIGINT", "SIGINT-ignored-before", "SIGTERM-ignored-before"],
)
def test_a_signal_saves_and_leaves(here: "Command", number: signal.Signals, code: int, inherited: Any) -> None:
    process = start_endless(here, "--quiet", preexec_fn=inherited)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "")
    assert err == f"workbench: interrupted by {number.name}\n"
    status, end = status_of(here.run()), here.events()[-1]
    assert (status["state"], status["exit_code"]) == ("interrupted", code)
    assert (end["state"], end["exit_code"]) == ("interrupted", code)
    assert checkpoints_of(here.run())[-1] == end["step"] == status["step"]


def test_a_paused_run_heeds_a_signal_and_goes_on_later(here: "Command") -> None:
    process = start_endless(here, "--quiet")
    assert here("pause", "last").returncode == 0
    step = status_of(here.run())["step"]
    process.terminate()
    assert process.wait(10) == 143
    assert checkpoints_of(here.run())[-1] == step
    resumed = here("resume", "last", "--steps", str(step + 3), "--json")
    assert resumed.returncode == 0, resumed.stderr
    told = [json.loads(line) for line in resumed.stdout.splitlines()]
    assert [line["step"] for line in told if line["type"] == "step"] == [step, step + 1, step + 2]


def _handles(pid: int, number: signal.Signals) -> bool:
    (caught,) = [s for s in Path(f"/proc/{pid}/status").read_text().splitlines() if s.startswith("SigCgt")]
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="it is /proc that says when to send the signal")
@pytest.mark.parametrize("inherited", [None, _ignore_both], ids=["", "ignored-before"])
def test_a_signal_while_the_run_is_prepared_leaves_nothing(here: "Command", inherited: Any) -> None:
    process = here.start("--headless", "small.toml", preexec_fn=inherited)
    here.until(lambda: _handles(process.pid, signal.SIGTERM))
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (143, "", "workbench: interrupted by SIGTERM\n")
    assert not here.runs.exists()


def test_a_signal_as_soon_as_the_run_is_there(here: "Command") -> None:
    """Whenever it comes, the run says how it ended: it is never left `running` or without a state."""
    process = here.start("--headless", "small.toml", *ENDLESS, "--quiet")
    here.until(here.run)
    process.terminate()
    assert process.wait(20) == 143
    for run in here.runs.iterdir():  # none is left of one that was still being made
        with contextlib.suppress(FileNotFoundError):  # it came before the run had anything to say
            assert status_of(run)["state"] == "interrupted"
            assert here.events()[-1]["type"] == "end"


# ------------------------------------------------------------------------------------------ readers that go away


@pytest.mark.parametrize("how", ["--json", ""], ids=["json", "text"])
def test_a_reader_that_goes_away_ends_the_telling_and_not_the_training(here: "Command", how: str) -> None:
    words = ["--headless", "small.toml", "--steps", "300", *([how] if how else [])]
    process = here.start(*words, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(30) == 0
    assert (here.run() / "steps.bin").stat().st_size == 300 * RECORD
    assert status_of(here.run())["state"] == "done"


def test_no_stream_at_all(here: "Command") -> None:
    """Started by a daemon that closed all three."""
    closed = here.start(
        "--headless", "small.toml", stdin=None, stdout=None, stderr=None,
        preexec_fn=lambda: [os.close(n) for n in (0, 1, 2)],
    )  # fmt: skip
    assert closed.wait(30) == 0
    assert status_of(here.run())["state"] == "done"


def test_a_command_whose_reader_goes_away_says_nothing(done: "Command") -> None:
    process = done.start("export", "last", "--jsonl")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(20) == 0
    assert process.stderr.read() == ""
