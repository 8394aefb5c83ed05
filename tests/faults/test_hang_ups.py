"""Terminals that close, signals once and twice, stopped workers, readers that die.

What one signal does to a run in each of its states is in tests/test_exit_codes.py; what becomes of a worker whose
screen is killed is in tests/screen/test_terminal.py.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from faults.nursery import Nursery
from faults.small_runs import DOCUMENT, PRESET, SEED, PseudoTerminal_of, count, goes_on
from pseudo_terminal import PseudoTerminal
from tiny_runs import bits, weights

from workbench.runs import commands, status
from workbench.runs.events import read_events
from workbench.runs.records import StepReader
from workbench.runs.status import Watch

if TYPE_CHECKING:
    from conftest import Command

# ------------------------------------------------------------------------------------------ the terminal goes


@pytest.mark.parametrize("how", ["foreground", "nohup"])
def test_a_closed_terminal_ends_no_training(how: str, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(PRESET)
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); from workbench.cli import main; main()"
    python = ("-c", code) if how == "nohup" else ("-m", "workbench")
    terminal = PseudoTerminal(["--headless", "small.toml"], cwd=tmp_path, python=python)
    pid = 0
    try:
        deadline = time.monotonic() + 60
        while not any((tmp_path / "runs").glob("small-*/steps.bin")):
            assert time.monotonic() < deadline, terminal.text()
            time.sleep(0.05)
        (run,) = (tmp_path / "runs").iterdir()
        terminal.hang_up()
        goes_on(run, 300)
        found = status.read(run)
        assert found is not None
        pid = found.pid
        assert status.observed(found) == "running"
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
        terminal.close()


# ------------------------------------------------------------------------------------------ signals


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


AIMS = ("start", "start", "training", "evaluating", "sampling", "saving", "saving")


def test_signals_once_and_twice_at_any_instant(
    nursery: Nursery, tmp_path: Path, trials: Callable[..., int], tell: Callable[[str], None]
) -> None:
    assert nursery.train(tmp_path / "plain", DOCUMENT) == 0
    (plain,) = (tmp_path / "plain").iterdir()
    wanted = bits(StepReader(plain).read()), weights(plain)
    failures: list[str] = []
    ends: dict[str, int] = {}
    n = trials(ci=5, full=300)
    for trial in range(n):
        pick = random.Random(SEED * 1000 + trial)
        twice = pick.random() < 0.6
        numbers = [pick.choice(("SIGINT", "SIGTERM")) for _ in range(1 + twice)]
        aim = pick.choice(AIMS)
        delay = pick.uniform(0, 0.08 if aim == "start" else 0.02)
        runs = tmp_path / f"trial{trial}"
        code = nursery.train(
            runs, DOCUMENT, aim=aim, delay=delay, gap=pick.choice((0.0, 0.0005, 0.003)), numbers=numbers
        )
        try:
            end = _resumable(nursery, runs, code, wanted, twice=twice)
            ends[end] = ends.get(end, 0) + 1
        except AssertionError as error:
            failures.append(f"trial {trial}, {numbers} {delay:.4f} s after {aim}, exit {code}: {error}")
            if len(failures) == 5:
                break
        else:
            shutil.rmtree(runs, ignore_errors=True)
    told = ", ".join(f"{number} {end}" for end, number in sorted(ends.items()))
    tell(f"SIGINT and SIGTERM, once and twice: {n} trials ({told}), {len(failures)} failures")
    assert not failures, "\n".join(failures)


def _resumable(nursery: Nursery, runs: Path, code: int, wanted: Any, *, twice: bool) -> str:
    """How a run ended that was sent signals; its resume must end as if there had been none."""
    assert code in (0, 130, 143), f"exit code {code}"
    there = [path for path in runs.iterdir() if not path.name.startswith(".")] if runs.exists() else []
    if not there:
        assert code, "done, and no run"
        return "before there was a run"
    (run,) = there
    found = status.read(run)
    state = status.observed(found)
    if code == 0:
        assert state == "done", state
        end = "done before"
    elif state == "interrupted":
        assert found is not None
        assert found.exit_code == code or twice, found
        checkpoints = sorted(path.name for path in (run / "checkpoints").glob("step-*"))
        last = read_events(run)[-1]
        assert (last["type"], last["state"], last["step"]) == ("end", "interrupted", found.step), last
        assert count(run) == found.step, f"{count(run)} records of {found.step} steps"
        assert found.step == 0 or checkpoints[-1] == f"step-{found.step:08d}", checkpoints
        end = "saved"
    else:
        assert twice, f"{state} after one signal"
        assert state == "lost", state
        end = "left at once"
    again = nursery.train(runs, resume=run)
    assert code == 0 or again == 0, f"the resume ended with {again}"
    assert (bits(StepReader(run).read()), weights(run)) == wanted, "other bits"
    left = [path.relative_to(run) for path in run.rglob(".*")]
    assert not left, f"left behind: {left}"
    return end


def test_a_stopped_worker_is_unresponsive_keeps_its_run_and_goes_on(
    workbench_of_module: "Command", running: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "SILENT_AFTER", 1.5)
    found = status.read(running)
    assert found is not None
    watch = Watch(running)
    assert watch.state() == "running"
    os.kill(found.pid, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + 10
        while watch.state() == "running" and time.monotonic() < deadline:
            time.sleep(0.05)
        assert watch.state() == status.observed(status.read(running)) == "unresponsive"
        asked = commands.send(running, "set", changes={"optimizer.lr": 0.002})
        refused = workbench_of_module("resume", "last", "--quiet")
        assert refused.returncode == 2
        assert "Traceback" not in refused.stderr
        assert watch.state() == "unresponsive"
    finally:
        os.kill(found.pid, signal.SIGCONT)
    assert commands.wait(running, asked, timeout=30)["state"] == "applied"
    deadline = time.monotonic() + 10
    while watch.state() != "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert watch.state() == "running"
    goes_on(running)


# ------------------------------------------------------------------------------------------ readers that die


def test_a_reader_that_dies_disturbs_nobody(
    workbench_of_module: "Command", running: Path, trials: Callable[..., int], tell: Callable[[str], None]
) -> None:
    here, pick = workbench_of_module, random.Random(SEED)
    while count(running) < 3000:
        time.sleep(0.05)
    n = trials(ci=3, full=60)
    for trial in range(n):
        words = (["export", "last", "--jsonl"], ["runs", "--json"], ["eval", "last", "--json"])[trial % 3]
        process = here.start(*words, stderr=subprocess.DEVNULL)
        if words[0] == "export":
            assert process.stdout is not None
            process.stdout.read(1)  # it is in the middle: a pipe holds less than the run's records
        else:
            time.sleep(pick.uniform(0.05, 1.0))
        process.kill()
        process.communicate()
    with PseudoTerminal_of(running) as terminal:
        terminal.until(running.name[:5])
        terminal.process.kill()
        terminal.process.wait(timeout=30)
    goes_on(running)
    names = {path.name for path in running.iterdir() if not path.name.startswith(".status")}
    assert names <= {
        "preset.toml", "commands", "checkpoints", "inspect", "lock", "status.json", "steps.bin", "steps.json",
        "events.jsonl", "resolved.json", "worker.log",
    }  # fmt: skip
    assert not list((running / "commands").iterdir())
    tell(f"readers killed in the middle: {n + 1}, no worker disturbed")


def test_a_pipe_into_head_is_quiet(workbench_of_module: "Command", running: Path) -> None:
    line = f"{sys.executable} -m workbench export last --jsonl | head -1; echo ${{PIPESTATUS[0]}}"
    told = subprocess.run(
        ["bash", "-c", line], cwd=workbench_of_module.folder, capture_output=True, text=True, timeout=60, check=True
    )
    assert told.stderr == ""
    first, code = told.stdout.splitlines()
    assert json.loads(first)["type"] == "start"
    assert code == "0"
