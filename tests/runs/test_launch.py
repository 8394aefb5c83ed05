"""A worker as a process of its own: real ones, launched, abandoned, refused, hung up on and cancelled."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_runs import GPT, document

from workbench import preset as presets
from workbench.runs import status
from workbench.runs.launch import Launch, _phase_of, phase_line
from workbench.runs.records import StepReader

STEPS = 60
PRESET = presets.to_toml(presets.from_document(document(GPT, schedule__steps=STEPS), source="test"))
LONG = PRESET.replace(f"steps = {STEPS}", "steps = 10_000_000")

# Launches a worker and is gone at once, without a word to anybody.
DRIVER = """
import os, signal, sys
from workbench.runs.launch import Launch
launch = Launch(sys.argv[1:], stdin=sys.stdin.read())
print(launch.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def until(what: Callable[[], object], timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.005)


def alone(folder: Path) -> Path:
    (run,) = folder.iterdir()
    return run


def test_a_worker_outlives_the_sigkill_of_its_launcher(tmp_path: Path) -> None:
    """Before it has begun: its pipes are closed when it tells its phases and its first object."""
    runs = tmp_path / "runs"
    driven = subprocess.run(
        [sys.executable, "-c", DRIVER, "--headless", "-", "--runs-dir", str(runs)],
        input=PRESET, text=True, capture_output=True, timeout=60,
    )  # fmt: skip
    assert driven.returncode == -signal.SIGKILL
    pid = int(driven.stdout)
    assert os.getsid(pid) == pid  # a session of its own: no terminal's SIGHUP or ctrl+c
    assert not runs.exists()
    until(lambda: runs.exists() and list(runs.iterdir()))
    until(lambda: status.observed(status.read(alone(runs))) not in (*status.LIVE, "lost"))
    ended = status.read(alone(runs))
    assert ended is not None
    assert (ended.state, ended.exit_code, ended.pid) == ("done", 0, pid)
    assert StepReader(alone(runs)).read()["step"].tolist() == list(range(STEPS))


def test_a_worker_is_told_from_its_first_moment_to_its_exit_code(tmp_path: Path) -> None:
    """It is in a folder with a random.py that is not Python's, and nobody reads what it says after its beginning."""
    (tmp_path / "random.py").write_text("raise SystemExit('imported from the working directory')")
    (tmp_path / "corpus.txt").write_text(GPT["data"]["text"])
    preset = PRESET.replace(f"text = {json.dumps(GPT['data']['text'])}", 'dataset = "corpus.txt"')
    assert "corpus.txt" in preset
    seen = []
    launch = Launch(["--headless", "-", "--runs-dir", "runs"], stdin=preset, cwd=tmp_path)

    def told() -> bool:
        seen.extend([launch.phase] if launch.phase not in seen else [])
        return launch.begun is not None or launch.ended is not None

    assert launch.phase == "starting Python"
    until(told)
    assert launch.run == alone(tmp_path / "runs"), launch.error
    assert launch.begun is not None
    assert launch.begun["type"] == "start"
    assert seen[:2] == ["starting Python", "loading torch"]
    assert "tokenising 100%" in seen or "building the model" in seen
    assert launch.wait(0)
    os.kill(launch.pid, signal.SIGHUP)
    assert launch.wait_for_end(60) == 0
    assert launch.error == ""
    assert len(StepReader(launch.run)) == STEPS
    assert status.process_start(launch.pid) is None  # reaped


def test_what_is_refused_is_said_with_its_exit_code(tmp_path: Path) -> None:
    launch = Launch(["--headless", "-", "--runs-dir", str(tmp_path / "runs")], stdin="name = 'x'\n[batch]\nB = 0\n")
    assert launch.wait(30)
    assert (launch.ended, launch.run, launch.begun) == (2, None, None)
    assert launch.error.startswith("stdin: batch.B")
    assert not (tmp_path / "runs").exists()
    launch.cancel()  # it is gone already


def test_a_worker_is_cancelled_before_it_has_begun_and_after(tmp_path: Path) -> None:
    arguments = ["--headless", "-", "--runs-dir", str(tmp_path / "runs")]
    early = Launch(arguments, stdin=LONG)
    assert not early.wait(0)
    until(lambda: early.phase != "starting Python")
    early.cancel()
    assert early.wait_for_end(30) == 143
    assert not (tmp_path / "runs").exists()

    late = Launch(arguments, stdin=LONG)
    assert late.wait(60)
    assert late.ended is None
    late.cancel()
    assert late.wait_for_end(30) == 143
    assert late.run is not None
    assert status.observed(status.read(late.run)) == "interrupted"


@pytest.mark.parametrize(
    ("line", "read"),
    [
        (phase_line("tokenising", 0.4399), "tokenising 43%"),
        (phase_line("tokenising", 0.0), "tokenising 0%"),
        (phase_line("loading torch", None), "loading torch"),
        ("workbench: schedule.warmup cut to 5\n", None),
        ("{'a': 1}\n", None),
        ('{"a": 1}\n', None),
    ],
)
def test_phases_are_told_apart_from_what_is_said_to_a_person(line: str, read: str | None) -> None:
    assert _phase_of(line) == read
