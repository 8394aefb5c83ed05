"""Disk: full, read-only or gone, real ones. Training pauses with its reason and goes on by itself, or ends with its
last good checkpoint as it was; it never crashes, and never cuts what was good.

A full disk is a tmpfs of two megabytes, which needs root to be mounted (elsewhere these tests skip themselves).
"""

import contextlib
import ctypes
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_runs
from tiny_runs import GPT, Train, bits, document, weights

from workbench.errors import WorkbenchError
from workbench.runs import directory, status
from workbench.runs.events import read_events
from workbench.runs.records import StepReader
from workbench.training import patience
from workbench.training.journal import Journal

LONG = document(GPT, schedule__steps=600, checkpoint__every=100, eval__every=200, sample__every=0)
PACED = [{"command": "pace", "rate": 300}]
WAITS = "waiting: no space left on device"


def start(folder: Path, doc: dict[str, Any] = LONG, **how: Any) -> "subprocess.Popen[bytes]":
    asked = json.dumps([doc, PACED, str(folder)])
    return subprocess.Popen([sys.executable, str(Path(tiny_runs.__file__)), asked], **how)


def until(what: Callable[[], object], timeout: float = 90) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError, WorkbenchError):  # a run that is just being made
            if what():
                return
        time.sleep(0.005)
    raise AssertionError("it did not become true in time")


def only(folder: Path) -> Path:
    (run,) = (p for p in folder.iterdir() if (p / "preset.toml").exists())
    return run


def told(run: Path) -> status.Status:
    there = status.read(run)
    assert there is not None
    return there


def steps(run: Path) -> int:
    return len(StepReader(run))


def stands_still(run: Path) -> bool:
    before = steps(run)
    time.sleep(0.5)
    return steps(run) == before


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of two megabytes."""
    place = Path(tempfile.mkdtemp(prefix="workbench-disk-"))
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True)
    if made.returncode:
        place.rmdir()
        pytest.skip(f"a small tmpfs cannot be mounted here: {made.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)
    place.rmdir()


def fill(disk: Path, leave: int = 0) -> Path:
    """Use up what there is but for `leave` bytes."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        left = shutil.disk_usage(disk).free - leave
        with contextlib.suppress(OSError):
            while left > 0:
                left -= file.write(bytes(min(left, 4096)))
    return ballast


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert start(folder).wait(120) == 0
    return only(folder)


def same(run: Path, undisturbed: Path) -> bool:
    there, wanted = StepReader(run).read(), StepReader(undisturbed).read()
    return bool(bits(there) == bits(wanted)) and weights(run) == weights(undisturbed)


def test_a_full_disk_at_any_instant_pauses_and_goes_on(
    small_disk: Path, undisturbed: Path, trials: Callable[..., int], tell: Callable[[str], None]
) -> None:
    count, failed = trials(ci=1, full=40), []
    for seed in range(count):
        rng = random.Random(seed)
        folder = small_disk / f"runs-{seed}"
        child = start(folder)
        try:
            until(lambda folder=folder: steps(only(folder)) > 0)
            run = only(folder)
            time.sleep(rng.uniform(0, 1.5))
            ballast = fill(small_disk, leave=rng.choice([0, 0, 4096, 20_000]))
            until(lambda run=run: told(run).phase == WAITS or told(run).state == "done")
            before = told(run)
            if before.state == "paused":
                assert "no space left on device; it goes on by itself" in before.reason, before
                until(lambda run=run, at=before.uptime: told(run).uptime > at)  # its heart beats on a full disk, too
                assert status.observed(told(run)) == "paused"
                assert told(run).step == before.step
                assert StepReader(run).read()["step"].tolist() == list(range(steps(run)))
            ballast.unlink()
            assert child.wait(60) == 0
            if not same(run, undisturbed):
                failed.append(seed)
            if before.state == "paused":
                said = [e["message"] for e in read_events(run) if e["type"] == "warning"]
                assert said[0].startswith("training waits: ")
                assert said[-1].startswith("training goes on")
        finally:
            child.kill()
            child.wait()
            shutil.rmtree(folder)
            (small_disk / "ballast").unlink(missing_ok=True)
    tell(f"disk full at a random instant, then room again: {count} trials, {len(failed)} failures")
    assert not failed, f"seeds {failed}"


def test_no_room_for_a_checkpoint_keeps_the_one_before(small_disk: Path) -> None:
    folder = small_disk / "runs"
    child = start(folder, document(LONG, model__width=64, checkpoint__every=200))  # one is 1.2 MB with its optimizer
    try:
        until(lambda: (only(folder) / "checkpoints" / "step-00000200").exists())
        run = only(folder)
        good = {p.name: p.read_bytes() for p in (run / "checkpoints" / "step-00000200").iterdir()}
        until(lambda: told(run).phase == WAITS)
        assert told(run).step == 400
        assert {p.name: p.read_bytes() for p in (run / "checkpoints" / "step-00000200").iterdir()} == good
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 143
        last = told(run)
        assert (last.state, last.exit_code) == ("interrupted", 143)
        assert last.reason == "interrupted by SIGTERM; step 400 could not be saved: no space left on device"
        assert {p.name for p in (run / "checkpoints").iterdir()} == {"step-00000000", "step-00000200"}
        assert {p.name: p.read_bytes() for p in (run / "checkpoints" / "step-00000200").iterdir()} == good
    finally:
        child.kill()
        child.wait()


def test_told_to_leave_while_the_disk_is_full_and_resumed_when_there_is_room(
    small_disk: Path, undisturbed: Path, resume: Train
) -> None:
    folder = small_disk / "runs"
    child = start(folder)
    try:
        until(lambda: steps(only(folder)) > 150)
        run = only(folder)
        ballast = fill(small_disk)
        until(lambda: told(run).phase == WAITS)
        asked = subprocess.run(
            [sys.executable, "-m", "workbench", "stop", str(run)], capture_output=True, text=True, check=False
        )
        assert asked.returncode == 1
        assert asked.stderr.count("\n") == 1
        assert "no space left on device" in asked.stderr.lower()
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 130
        assert told(run).state == "interrupted"
        ballast.unlink()
    finally:
        child.kill()
        child.wait()
    assert resume(run).outcome.state == "done"
    assert same(run, undisturbed)


def test_a_full_disk_at_the_start_is_a_sentence(small_disk: Path, workbench: Any) -> None:
    fill(small_disk)
    (workbench.folder / "p.toml").write_text('[data]\ntext = "To be or not to be."\n[batch]\nB = 2\nT = 4\n')
    ended = workbench("--headless", "p.toml", "--steps", "2", "--runs-dir", str(small_disk / "runs"))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr


def bound_by_modes() -> None:
    """In a child before it begins: modes hold for it even where it is root (who loses CAP_DAC_OVERRIDE, …_SEARCH)."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None)
        assert libc.prctl(24, 1) == libc.prctl(24, 2) == 0  # PR_CAPBSET_DROP


@pytest.mark.skipif(sys.platform != "linux", reason="drops a capability of Linux's")
def test_a_directory_that_may_not_be_written_for_a_while(tmp_path: Path, undisturbed: Path) -> None:
    child = start(tmp_path, preexec_fn=bound_by_modes)
    try:
        until(lambda: steps(only(tmp_path)) > 50)
        run = only(tmp_path)
        for folder in (run / "checkpoints", run):
            folder.chmod(0o500)
        until(lambda: stands_still(run))
        assert steps(run) < 600
        for folder in (run, run / "checkpoints"):
            folder.chmod(0o700)
        assert child.wait(60) == 0
        assert same(run, undisturbed)
        said = [e["message"] for e in read_events(run) if e["type"] == "warning"]
        assert "permission denied" in said[0]
    finally:
        child.kill()
        child.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="drops a capability of Linux's")
@pytest.mark.parametrize("name", ["meta.json", "model.safetensors"])
def test_a_checkpoint_that_may_not_be_read_is_neither_passed_over_nor_deleted(
    train: Train, resume: Train, tmp_path: Path, name: str
) -> None:
    run = train(document(GPT)).path
    kept = run / "checkpoints" / "step-00000040" / name
    kept.chmod(0)
    again = [sys.executable, "-m", "workbench", "resume", str(run), "--steps", "60", "--quiet"]
    told = subprocess.run(again, capture_output=True, text=True, preexec_fn=bound_by_modes, check=False)
    assert told.returncode == 1
    assert f"{kept.parent}: cannot be read (Permission denied)" in told.stderr
    assert "Traceback" not in told.stderr
    kept.chmod(0o600)
    assert [e["step"] for e in resume(run, {"schedule.steps": 60}).of("resume")] == [40]


@pytest.mark.skipif(sys.platform != "linux", reason="drops a capability of Linux's")
def test_checkpoints_that_may_not_be_listed_are_not_taken_for_none(train: Train, resume: Train) -> None:
    """A resume would begin again at step 0, over every record that there is."""
    run = train(document(GPT)).path
    before = (run / "steps.bin").read_bytes()
    (run / "checkpoints").chmod(0)
    again = [sys.executable, "-m", "workbench", "resume", str(run), "--steps", "60", "--quiet"]
    told = subprocess.run(again, capture_output=True, text=True, preexec_fn=bound_by_modes, check=False, timeout=60)
    (run / "checkpoints").chmod(0o700)
    assert told.returncode == 1
    assert "checkpoints: cannot be read (Permission denied)" in told.stderr
    assert "Traceback" not in told.stderr
    assert (run / "steps.bin").read_bytes() == before
    assert [e["step"] for e in resume(run, {"schedule.steps": 60}).of("resume")] == [40]


def test_unpausing_a_run_that_waits_says_what_it_waits_for(small_disk: Path) -> None:
    child = start(small_disk / "runs")
    try:
        until(lambda: steps(only(small_disk / "runs")) > 50)
        run = only(small_disk / "runs")
        fill(small_disk)
        until(lambda: told(run).phase == WAITS)
        asked = [sys.executable, "-m", "workbench", "resume", str(run)]
        answer = subprocess.run(asked, capture_output=True, text=True, check=False)
        assert (answer.returncode, answer.stdout) == (2, "")
        assert "waits, and there is nothing to resume" in answer.stderr
        assert "no space left on device; it goes on by itself" in answer.stderr
    finally:
        child.kill()
        child.wait()


def test_a_directory_that_is_away_for_a_moment(tmp_path: Path, undisturbed: Path) -> None:
    child = start(tmp_path / "runs")
    try:
        until(lambda: steps(only(tmp_path / "runs")) > 50)
        run = only(tmp_path / "runs")
        run.rename(tmp_path / "elsewhere")
        until(lambda: stands_still(tmp_path / "elsewhere"))
        assert steps(tmp_path / "elsewhere") < 600
        (tmp_path / "elsewhere").rename(run)
        assert child.wait(60) == 0
        assert same(run, undisturbed)
    finally:
        child.kill()
        child.wait()


def test_a_directory_that_stays_away_ends_the_run(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "GONE_AFTER", 0.5)

    def away(run: Path) -> None:
        run.rename(tmp_path / "elsewhere")

    ran = train(document(LONG, schedule__steps=100_000), at_start=[*PACED], call={30: away})
    assert ran.outcome.exit_code == 1
    assert "the run's directory is gone" in ran.outcome.reason


def test_a_directory_that_is_removed_ends_the_run(train: Train) -> None:
    ran = train(document(LONG, schedule__steps=100_000), at_start=[*PACED], call={30: shutil.rmtree})
    assert ran.outcome.exit_code == 1
    assert "removed while the run was writing it" in ran.outcome.reason


@pytest.mark.skipif(sys.platform != "linux", reason="drops a capability of Linux's")
@pytest.mark.parametrize("where", ["runs", "checkpoints"])
def test_a_directory_that_cannot_even_be_asked_about_is_waited_for(
    tmp_path: Path, undisturbed: Path, where: str
) -> None:
    """As behind a dead mount: every look at it is an error, and none of them says that it is not there."""
    child = start(tmp_path / "runs", preexec_fn=bound_by_modes)
    try:
        until(lambda: steps(only(tmp_path / "runs")) > 50)
        run = only(tmp_path / "runs")
        folder = tmp_path / "runs" if where == "runs" else run / "checkpoints"
        folder.chmod(0o000)
        until(lambda: stands_still(run))
        time.sleep(1)
        assert child.poll() is None
        assert steps(run) < 600
        folder.chmod(0o700)
        assert child.wait(60) == 0
        assert same(run, undisturbed)
    finally:
        child.kill()
        child.wait()


def test_a_directory_counts_as_gone_from_when_it_was_last_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long training has waited for room before: away for a moment is no end."""
    monkeypatch.setattr(patience, "GONE_AFTER", 1.0)
    run = directory.create(tmp_path, "made", 'name = "made"\n')
    journal, began = Journal(run, attempt=1, steps=1, narrators=[]), time.monotonic()

    def write() -> str:
        waited = time.monotonic() - began
        if waited > 1.8:
            (tmp_path / "away").rename(run)
            return "written"
        if waited > 1.3 and run.exists():
            run.rename(tmp_path / "away")
        raise OSError(errno.ENOSPC, "No space left on device")

    try:
        assert patience.Waiting(journal, lambda: None)(write) == "written"
    finally:
        journal.close(state="done")
