"""status.json: what a worker says of itself, and what a reader makes of it when the worker is gone, or silent."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import WorkbenchError
from workbench.runs import directory, files, status
from workbench.runs.status import Heart, Status, boot_id, observed, process_start, read

WORKER = """
import sys, time
from pathlib import Path
from workbench.runs.status import Heart
heart = Heart(Path(sys.argv[1]), flush=lambda: None, attempt=1, steps=10)
heart.tell(state="running", phase="training")
time.sleep(60)
"""
linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


def write(folder: Path, **changes: Any) -> None:
    here = Status(
        state="running", pid=os.getpid(), started=process_start(os.getpid()) or 0.0, boot=boot_id(),
        host=socket.gethostname(), heartbeat=time.time(), uptime=time.monotonic(),
    )  # fmt: skip
    (folder / "status.json").write_text(json.dumps({"format": 1, **asdict(here), **changes}))


def seen(folder: Path) -> str:
    return observed(read(folder))


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not what():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.02)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of its own whose heart beats in `tmp_path`."""
    child = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)])
    try:
        until(lambda: (tmp_path / "status.json").exists() and seen(tmp_path) == "running")
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGCONT)
        child.kill()
        child.wait()


# ------------------------------------------------------------------------------------- real processes


def test_a_stopped_process_is_unresponsive_until_it_goes_on(
    worker: "subprocess.Popen[bytes]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.send_signal(signal.SIGSTOP)
    assert seen(tmp_path) == "running"  # for the first ten seconds, which the test does not wait for
    monkeypatch.setattr(status, "SILENT_AFTER", 1.5)
    until(lambda: seen(tmp_path) == "unresponsive")
    assert (read(tmp_path) or Status()).state == "running"  # what was written is what was written
    worker.send_signal(signal.SIGCONT)
    until(lambda: seen(tmp_path) == "running")


def test_a_killed_process_is_lost_while_it_is_a_zombie_and_after(
    worker: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    assert process_start(worker.pid) == (read(tmp_path) or Status()).started
    worker.kill()
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)  # dead, and nobody has asked for its exit code yet
    assert seen(tmp_path) == "lost"
    assert process_start(worker.pid) is None
    worker.wait()
    assert seen(tmp_path) == "lost"
    assert process_start(worker.pid) is None


@linux
def test_a_process_may_be_called_anything(tmp_path: Path) -> None:
    """/proc/PID/stat holds the name in brackets, unquoted: spaces, brackets and broken UTF-8 are no field."""
    rename = "import time; open('/proc/self/comm', 'wb').write(b'a) S 1 \\xff ('); print(flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", rename], stdout=subprocess.PIPE)
    try:
        assert child.stdout
        child.stdout.readline()
        began = process_start(child.pid)
        assert began is not None
        assert 0 <= time.clock_gettime(time.CLOCK_BOOTTIME) - began < 30
    finally:
        child.kill()
        child.communicate()


# ------------------------------------------------------------------------------------- what a reader concludes


def test_a_worker_that_is_there_is_what_it_says(tmp_path: Path) -> None:
    for state in status.LIVE:
        write(tmp_path, state=state)
        assert seen(tmp_path) == state


@pytest.mark.parametrize(
    "changes",
    [
        {"pid": 2**22 + 1},  # past the largest pid there can be
        {"pid": 0},
        {"started": (process_start(os.getpid()) or 0.0) - 1},  # the pid is another process's now
        {"boot": "another boot"},
    ],
    ids=["no such pid", "no pid", "recycled pid", "before a reboot"],
)
def test_a_worker_that_is_gone_is_lost(tmp_path: Path, changes: dict[str, Any]) -> None:
    write(tmp_path, **changes)
    assert seen(tmp_path) == "lost"


def test_a_run_that_ended_stays_what_it_ended_as(tmp_path: Path) -> None:
    for state in status.ENDED:
        write(tmp_path, state=state, pid=2**22 + 1, uptime=0.0)
        assert seen(tmp_path) == state


def test_on_another_host_only_the_heartbeat_counts(tmp_path: Path) -> None:
    elsewhere: dict[str, Any] = {"host": "elsewhere", "pid": 2**22 + 1, "boot": "another", "uptime": 0.0}
    write(tmp_path, **elsewhere, heartbeat=time.time() - 29)
    assert (read(tmp_path) or Status()).alive() is None
    assert seen(tmp_path) == "running"
    write(tmp_path, **elsewhere, heartbeat=time.time() - 31)
    assert seen(tmp_path) == "lost"
    write(tmp_path, **elsewhere, state="done", heartbeat=0.0)
    assert seen(tmp_path) == "done"


def test_silence_is_measured_by_a_clock_that_is_never_set(tmp_path: Path) -> None:
    write(tmp_path, heartbeat=time.time() - 10_000)  # the wall clock was put forward
    assert seen(tmp_path) == "running"
    write(tmp_path, uptime=time.monotonic() - status.SILENT_AFTER - 1)
    assert seen(tmp_path) == "unresponsive"


def test_no_status_yet_and_an_empty_one_are_a_lost_run(tmp_path: Path) -> None:
    assert read(tmp_path) is None
    (tmp_path / "status.json").write_bytes(b"")
    assert read(tmp_path) is None
    assert observed(None) == "lost"


DAMAGED = {
    "half": b'{"format": 1, "sta',
    "a list": b"[]",
    "another's": b'{"state": "running"}',
    "newer": b'{"format": 2, "state": "running"}',
    "no text": b'{"format": 1, "state": 7}',
    "no host": b'{"format": 1, "state": "running", "host": null}',
    "no number": b'{"format": 1, "state": "running", "host": "elsewhere", "heartbeat": null}',
    "no pid": b'{"format": 1, "state": "running", "pid": "12"}',
    "bytes": b"\xff\xff",
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_status_is_told_and_hides_no_other_run(tmp_path: Path, data: bytes) -> None:
    good, bad = (directory.create(tmp_path, name, "") for name in ("good", "bad"))
    write(good)
    (bad / "status.json").write_bytes(data)
    with pytest.raises(WorkbenchError, match=r"status\.json"):
        read(bad)
    assert {run.path: run.state for run in directory.listed(tmp_path)} == {good: "running", bad: "unreadable"}


INSIDE = {"micro": 2, "accum": 3, "first": 0, "losses": [4.1, None], "norms": [0.5, 1]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"inside": "micro-batch 2"},
        {"inside": {**INSIDE, "micro": 3}},
        {"inside": {**INSIDE, "losses": [4.1, "x"]}},
        {"inside": {**INSIDE, "norms": None}},
        {"inside": {**INSIDE, "accum": 1.5}},
        {"inside": {k: v for k, v in INSIDE.items() if k != "first"}},
        {"pace": None},
        {"exit_code": "0"},
    ],
)
def test_what_no_worker_writes_is_not_believed(tmp_path: Path, wrong: dict[str, Any]) -> None:
    write(tmp_path, inside=INSIDE, pace=10)
    told = read(tmp_path)
    assert told is not None
    assert (told.inside, told.pace) == (INSIDE, 10)
    write(tmp_path, **wrong)
    with pytest.raises(WorkbenchError, match="which no worker writes"):
        read(tmp_path)


def test_the_last_words_are_inside_no_step(tmp_path: Path) -> None:
    heart = Heart(tmp_path, flush=lambda: None, attempt=1, steps=10)
    inside: Any = INSIDE
    heart.tell(inside=inside, pace=2.0)
    assert (read(tmp_path) or Status()).inside == INSIDE
    heart.stop(state="failed")
    told = read(tmp_path) or Status()
    assert (told.state, told.inside, told.pace) == ("failed", None, 2.0)


def test_fields_of_a_later_version_are_passed_over_and_missing_ones_have_defaults(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text('{"format": 1, "state": "done", "temperature": 65}')
    assert read(tmp_path) == replace(Status(), state="done")


# ------------------------------------------------------------------------------------- the worker's end


def test_a_heart_beats_and_flushes_by_itself(tmp_path: Path) -> None:
    flushed: list[float] = []
    heart = Heart(tmp_path, flush=lambda: flushed.append(time.monotonic()), attempt=3, steps=10)
    first = read(tmp_path) or Status()
    assert (first.state, first.attempt, first.steps, first.pid) == ("starting", 3, 10, os.getpid())
    until(lambda: (read(tmp_path) or Status()).heartbeat > first.heartbeat)
    heart.stop(state="done", exit_code=0)
    assert len(flushed) >= 8  # ten a second, on a busy machine too
    last = read(tmp_path) or Status()
    assert (last.state, last.exit_code) == ("done", 0)
    assert last.alive()
    assert observed(last) == "done"
    time.sleep(0.2)
    assert read(tmp_path) == last  # nothing after the last words


def test_a_new_state_or_phase_is_written_at_once(tmp_path: Path) -> None:
    heart = Heart(tmp_path, flush=lambda: None, attempt=1, steps=10)
    heart.tell(state="running", phase="tokenising 43%")
    told = read(tmp_path) or Status()
    assert (told.state, told.phase) == ("running", "tokenising 43%")
    heart.stop(state="stopped", phase="")


def test_a_flush_that_fails_once_does_not_still_the_heart(tmp_path: Path) -> None:
    calls: list[int] = []

    def full_disk() -> None:
        calls.append(1)
        raise OSError(28, "No space left on device")

    heart = Heart(tmp_path, flush=full_disk, attempt=1, steps=10)
    until(lambda: len(calls) > 2)
    heart.stop(state="done")


REFUSALS = [MemoryError(), RuntimeError("can't start new thread"), SystemError("error return without exception set")]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: type(refusal).__name__)
@pytest.mark.parametrize("where", ["flush", "status"])
def test_memory_refused_for_a_while_does_not_still_the_heart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: Exception, where: str
) -> None:
    """Nor does what libraries make of it. One that is silent is taken for lost, and its records wait in memory."""
    refused: list[str] = []
    flushed: list[int] = []

    def refuse(here: str) -> None:
        if here == where and len(refused) < 2:
            refused.append(here)
            raise refusal

    def replace_json(*arguments: Any) -> None:
        refuse("status")
        files.replace_json(*arguments)

    def flush() -> None:
        refuse("flush")
        flushed.append(1)

    heart = Heart(tmp_path, flush=flush, attempt=1, steps=10)
    monkeypatch.setattr(status, "replace_json", replace_json)
    until(lambda: len(refused) == 2)
    before, so_far = time.time(), len(flushed)
    until(lambda: (read(tmp_path) or Status()).heartbeat > before and len(flushed) > so_far + 2)
    heart.stop(state="done")
    assert seen(tmp_path) == "done"


def test_last_words_that_memory_is_refused_to_are_no_other_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How the run ended is still told by its exit code."""
    heart = Heart(tmp_path, flush=lambda: None, attempt=1, steps=10)

    def refuse(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(status, "replace_json", refuse)
    heart.stop(state="out-of-memory")
    assert seen(tmp_path) == "starting"  # its process is still there


def test_a_reader_never_finds_half_a_status(tmp_path: Path) -> None:
    heart = Heart(tmp_path, flush=lambda: None, attempt=1, steps=10)
    for n in range(300):
        heart.tell(phase="x" * (n * 37 % 5_000))
        assert len((read(tmp_path) or Status()).phase) == n * 37 % 5_000
    heart.stop(state="done")
    assert [p.name for p in tmp_path.iterdir()] == ["status.json"]  # nothing aside is left
