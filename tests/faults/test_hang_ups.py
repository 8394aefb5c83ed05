"""Terminals that close, signals once and twice, stopped workers, readers that die, clocks that jump, storms of sizes.

What one signal does to a run in each of its states is in tests/test_exit_codes.py; what becomes of a worker whose
screen is killed is in tests/screen/test_terminal.py.
"""

import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from faults.nursery import Nursery
from pseudo_terminal import PseudoTerminal
from tiny_runs import MLP, Train, bits, document, weights

from workbench.runs import commands, directory, events, status
from workbench.runs.events import read_events
from workbench.runs.records import StepReader
from workbench.runs.status import Watch
from workbench.words import doctor

if TYPE_CHECKING:
    from conftest import Command

SEED = 5
PRESET = """\
name = "small"
[data]
text = "To be or not to be, that is the question."
val_fraction = 0.0
[batch]
B = 2
T = 4
[model]
layers = 1
heads = 1
width = 8
[schedule]
kind = "constant"
steps = 1000000000
warmup = 0
[eval]
every = 0
[checkpoint]
every = 1000
[sample]
every = 0
[device]
threads = 1
"""


def count(run: Path) -> int:
    return len(StepReader(run))


def goes_on(run: Path, steps: int = 50) -> None:
    """The worker makes so many steps more, and none is missing."""
    seen, deadline = count(run), time.monotonic() + 60
    while count(run) < seen + steps:
        assert time.monotonic() < deadline, f"{status.observed(status.read(run))} at {count(run)} since a minute"
        time.sleep(0.02)
    assert StepReader(run).read()["step"].tolist()[: seen + steps] == list(range(seen + steps))


@pytest.fixture(scope="module")
def running(workbench_of_module: "Command") -> Path:
    """A run that trains without an end, which no test here may disturb."""
    here = workbench_of_module
    (here.folder / "small.toml").write_text(PRESET)
    here.start("--headless", "small.toml", "--quiet", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    here.until(lambda: count(here.run()) > 30)
    return here.run()


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


DOCUMENT = document(MLP, schedule__steps=45, eval__every=15, checkpoint__every=15, sample__every=15)
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


# ------------------------------------------------------------------------------------------ clocks


class Jumping(datetime):
    """The wall clock, a day before or after at every look."""

    pick = random.Random(SEED)

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + timedelta(days=cls.pick.choice((-1, 1)))


def test_a_clock_that_jumps_changes_nothing(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = train(DOCUMENT)
    seen: set[str] = set()
    true, true_ns = time.time, time.time_ns

    def jumping() -> float:
        return true() + Jumping.pick.choice((-86400, 86400))

    monkeypatch.setattr(time, "time", jumping)
    days = itertools.count()
    monkeypatch.setattr(time, "time_ns", lambda: true_ns() - next(days) * 86400 * 10**9)
    monkeypatch.setattr(events, "datetime", Jumping)
    monkeypatch.setattr(directory, "datetime", Jumping)
    original = status.Heart.tell

    def telling(heart: status.Heart, **changes: Any) -> None:
        original(heart, **changes)
        seen.add(status.observed(status.read(heart._path.parent)))

    monkeypatch.setattr(status.Heart, "tell", telling)
    edits = [{"command": "set", "changes": {"optimizer.lr": lr}, "at": 20} for lr in (0.3, 0.2, 0.05)]
    edited = train(DOCUMENT, at_start=edits)
    jumped = train(DOCUMENT)

    assert bits(jumped.records) == bits(plain.records)
    assert weights(jumped.path) == weights(plain.path)
    records = jumped.records
    assert (records["seconds"] > 0).all()
    assert records["time"][-1] == pytest.approx(records["seconds"].sum())
    assert records["time"][-1] < 60
    told = [(e["type"], e.get("step")) for e in jumped.events]
    assert told == [(e["type"], e.get("step")) for e in plain.events]
    assert seen <= {"running", "done", "starting", "stopped"}, seen
    assert edited.sent == sorted(edited.sent), "commands are read in the order in which they were sent"
    assert edited.of("edit")[-1]["changes"]["optimizer.lr"][1] == 0.05
    listed = directory.listed(plain.path.parent)
    assert {found.path for found in listed} == {plain.path, edited.path, jumped.path}
    assert {found.state for found in listed} == {"done"}
    assert directory.find(plain.path.parent, "last") == listed[-1].path == jumped.path


# ------------------------------------------------------------------------------------------ sizes


class PseudoTerminal_of(PseudoTerminal):
    """A screen attached to a run, for a `with`."""

    def __init__(self, run: Path, **more: Any) -> None:
        super().__init__(["attach", str(run)], **more)

    def __enter__(self) -> "PseudoTerminal_of":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def test_a_storm_of_sizes_ends_with_the_right_picture(
    workbench_of_module: "Command", running: Path, trials: Callable[..., int], tell: Callable[[str], None]
) -> None:
    pick, n = random.Random(SEED), trials(ci=20, full=200)
    with PseudoTerminal_of(running) as terminal:
        terminal.until("predictions")
        for dialog in ("", "q"):
            if dialog:
                terminal.send(dialog)
                terminal.until("leave it running")
            for _ in range(n):
                terminal.resize(pick.randint(20, 300), pick.randint(5, 100))
                time.sleep(pick.uniform(0, 0.03))
            terminal.resize(110, 32)
            if dialog:
                terminal.until("leave it running")
                terminal.send("escape")
            terminal.until(lambda text: "predictions" in text and "leave it running" not in text)
        goes_on(running)
        assert workbench_of_module("pause", "last").returncode == 0
        with PseudoTerminal_of(running, size=(110, 32)) as fresh:
            fresh.until(lambda text: "paused" in text and "predictions" in text)
            deadline = time.monotonic() + 15
            while _still(terminal.text()) != _still(fresh.text()) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert _still(terminal.text()).splitlines() == _still(fresh.text()).splitlines()
        assert workbench_of_module("resume", "last").returncode == 0
        written = b"".join(data for _, data in terminal.chunks)
        assert b"Traceback" not in written
        terminal.send("q")
        terminal.until("leave it running")
        terminal.send("l")
        assert terminal.process.wait(timeout=30) == 0
    goes_on(running)
    tell(f"resizes of a screen in a storm: {2 * n}, half of them with a dialog open")


def _still(text: str) -> str:
    """The frames of the panes, and the last line. What is in a pane may be of another row, or another bucket of the
    curve, whose axis then has its ticks elsewhere."""
    *lines, footer = text.translate(str.maketrans("┤├┼", "│││")).splitlines()
    return "\n".join([*(re.sub(r"[^│┌┐└┘╭╮╰╯]", " ", line) for line in lines), footer])


# ------------------------------------------------------------------------------------------ logging out


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine under systemd, seen from within a log-in session of `ada`, where loginctl cannot be asked."""
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/user.slice/user-1000.slice/session-3.scope\n")
    monkeypatch.setattr(doctor, "_user", lambda: "ada")
    monkeypatch.setattr(doctor, "_ask_logind", lambda: "")
    return tmp_path


def write(root: Path, place: str, text: str) -> None:
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_text(text)


YES, NO = "[Login]\nKillUserProcesses=yes\n", "[Login]\nKillUserProcesses=no\n"


@pytest.mark.parametrize(
    ("files", "killed"),
    [
        ({}, False),
        ({"etc/systemd/logind.conf": YES}, True),
        ({"etc/systemd/logind.conf": "[Login]\n#KillUserProcesses=yes\n; KillUserProcesses=yes\n"}, False),
        ({"etc/systemd/logind.conf": "KillUserProcesses=yes\n"}, False),
        ({"etc/systemd/logind.conf": "[Other]\nKillUserProcesses=yes\n"}, False),
        ({"etc/systemd/logind.conf": "[Login]\n  KillUserProcesses = On \n"}, True),
        ({"usr/lib/systemd/logind.conf": YES}, True),
        ({"etc/systemd/logind.conf": "", "usr/lib/systemd/logind.conf": YES}, False),
        ({"etc/systemd/logind.conf": YES, "usr/lib/systemd/logind.conf.d/50.conf": NO}, False),
        ({"etc/systemd/logind.conf": NO, "run/systemd/logind.conf.d/50.conf": YES}, True),
        ({"etc/systemd/logind.conf.d/10.conf": YES, "usr/lib/systemd/logind.conf.d/50.conf": NO}, False),
        ({"etc/systemd/logind.conf.d/50.conf": YES, "usr/lib/systemd/logind.conf.d/50.conf": NO}, True),
        ({"etc/systemd/logind.conf.d/50.conf": "", "usr/lib/systemd/logind.conf.d/50.conf": YES}, False),
        ({"etc/systemd/logind.conf.d/50.not": YES}, False),
        ({"etc/systemd/logind.conf": YES + "KillExcludeUsers=bob ada\n"}, False),
        ({"etc/systemd/logind.conf": YES + "KillOnlyUsers=bob\n"}, False),
        ({"etc/systemd/logind.conf": NO + "KillOnlyUsers=ada\n"}, True),
    ],
)
def test_doctor_knows_what_logind_will_kill(root: Path, files: dict[str, str], killed: bool) -> None:
    for place, text in files.items():
        write(root, place, text)
    found = list(doctor._login(root))
    assert len(found) == killed
    for finding in found:
        assert finding.level == "note"
        assert "KillUserProcesses=yes" in finding.found
        assert "loginctl enable-linger" in finding.remedy
        assert "systemd-run --user --scope workbench" in finding.remedy


def test_doctor_asks_logind_where_no_file_says_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_ask_logind", lambda: "yes")
    assert len(list(doctor._login(root))) == 1
    write(root, "etc/systemd/logind.conf", NO)
    assert not list(doctor._login(root))


def test_doctor_tells_a_session_from_the_service_manager(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lingering keeps the service manager, and what was started by it; it saves no session's processes."""
    write(root, "etc/systemd/logind.conf", YES)
    write(root, "var/lib/systemd/linger/ada", "")
    (session,) = doctor._login(root)
    assert "enable-linger" not in session.remedy
    assert "systemd-run" in session.remedy

    write(root, "proc/self/cgroup", "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-7.scope\n")
    assert not list(doctor._login(root))
    (root / "var/lib/systemd/linger/ada").unlink()
    (manager,) = doctor._login(root)
    assert "enable-linger" in manager.remedy

    write(root, "proc/self/cgroup", "0::/system.slice/cron.service\n")
    assert not list(doctor._login(root))
    write(root, "proc/self/cgroup", "0::/user.slice/user-0.slice/session-3.scope\n")
    monkeypatch.setattr(doctor, "_user", lambda: "root")
    assert not list(doctor._login(root)), "root is excluded unless it is said otherwise"
    (root / "run/systemd/system").rmdir()
    monkeypatch.setattr(doctor, "_user", lambda: "ada")
    assert not list(doctor._login(root)), "systemd does not run"
