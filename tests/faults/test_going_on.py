"""What a resume, a replay or a rewind meets on its way: links, events that were cut, another corpus, an attempt that
was killed, a full disk, a worker on another host. And commands that have nowhere to write to, or to stand.
"""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tiny_runs import GPT, TEXT, Script, Train, document

from workbench.errors import DataError, WorkbenchError
from workbench.runs import records, status
from workbench.runs.events import EventLog, event
from workbench.runs.files import replace_json
from workbench.runs.signals import Signals
from workbench.training import attempt, history, worker

if TYPE_CHECKING:
    from conftest import Command

ROOT = Path(__file__).parents[2]
SHORT = document(GPT, schedule__steps=12, eval__every=0, sample__every=0, checkpoint__every=4)


@pytest.mark.parametrize("name", ["commands", "checkpoints", "inspect"])
def test_a_link_out_of_a_run_directory_lets_nothing_outside_be_removed(
    train: Train, resume: Train, tmp_path: Path, name: str
) -> None:
    run, outside = train(SHORT).path, tmp_path / "outside"
    shutil.rmtree(run / name) if name != "checkpoints" else (run / name).rename(outside)
    (outside / "step-99").mkdir(parents=True)
    (outside / "step-99" / "precious").write_text("precious")
    (outside / "precious.json").write_text("{}")
    (run / name).symlink_to(outside)
    before = sorted(outside.rglob("*"))
    with pytest.raises(WorkbenchError, match=f"{name}: a symbolic link"):
        resume(run, {"schedule.steps": 20})
    assert sorted(outside.rglob("*")) == before


@pytest.mark.parametrize("name", ["steps.bin", "events.jsonl", "worker.log", "lock", "status.json"])
def test_a_link_in_place_of_a_file_of_a_run_is_not_written_through(
    train: Train, resume: Train, tmp_path: Path, name: str
) -> None:
    run, outside = train(SHORT).path, tmp_path / "outside"
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").mkdir()
    outside.write_bytes(b"x" * 5000)
    (run / name).unlink()
    (run / name).symlink_to(outside)
    with pytest.raises(WorkbenchError, match=f"{name}: a symbolic link"):
        resume(run, {"schedule.steps": 20})
    assert outside.read_bytes() == b"x" * 5000


@pytest.mark.parametrize("left", [0, 1, 400])
def test_events_cut_under_their_checkpoint_are_missed(train: Train, resume: Train, replay: Train, left: int) -> None:
    """An edit may be among those that are gone: neither a resume nor a replay would be the same run."""
    run = train(SHORT, at_start=[{"command": "set", "at": 2, "changes": {"optimizer.lr": 0.01}}]).path
    log = run / "events.jsonl"
    log.write_bytes(log.read_bytes()[:left])
    for go in (lambda: resume(run, {"schedule.steps": 20}), lambda: replay(run)):
        with pytest.raises(WorkbenchError, match=r"events\.jsonl: .* the file was cut by something else"):
            go()


def test_another_corpus_is_refused_where_resolved_json_is_gone(
    train: Train, resume: Train, replay: Train, tmp_path: Path
) -> None:
    text = tmp_path / "text"
    text.write_text(TEXT)
    run = train(document(SHORT, data={"dataset": str(text)})).path
    (run / "resolved.json").unlink()
    text.write_text(TEXT.replace("7 times 7", "8 times 8"))
    for go in (lambda: resume(run, {"schedule.steps": 20}), lambda: replay(run)):
        with pytest.raises(DataError, match="the corpus has changed"):
            go()


def test_a_resume_killed_before_it_began_does_not_bring_back_the_edit_that_diverged(
    train: Train, resume: Train
) -> None:
    wild = {"command": "set", "at": 6, "changes": {"optimizer.lr": 1e6}}
    document_ = document(SHORT, optimizer={"kind": "sgd", "lr": 0.01, "clip": 0.0}, schedule__min_lr=0.005)
    ran = train(document_, at_start=[wild])
    assert ran.outcome.state == "diverged"
    status = json.loads((ran.path / "status.json").read_text())
    # What a SIGKILL between the first status of an attempt and its resume event leaves:
    (ran.path / "status.json").write_text(json.dumps(status | {"state": "starting", "pid": 2**22 + 1}))
    again = resume(ran.path)
    (told,) = again.of("resume")
    assert not told["edits_again"]
    assert [edit["changes"] for edit in told["edits_dropped"]] == [wild["changes"]]
    assert again.outcome.state == "done"


def test_of_two_edits_at_one_step_the_second_outlives_a_kill_between_them(train: Train) -> None:
    """Those that resumes were given have no id: the first one made must not stand for both."""
    ran = train(SHORT)
    edits = [
        {"step": 12, "changes": changes, "id": ""} for changes in ({"optimizer.lr": 0.005}, {"schedule.steps": 20})
    ]
    about = json.loads((ran.path / "checkpoints" / "step-00000012" / "meta.json").read_text())
    log = EventLog(ran.path)
    log.append(event(
        "resume", 0.0, step=12, records=12, events_bytes=about["events_bytes"], edits_again=edits, edits_dropped=[],
    ))  # fmt: skip
    base = {"row": 0, "token": 0, "epoch": 0}
    log.append(event("edit", 0.0, step=12, id="", changes={"optimizer.lr": [0.001, 0.005]}, base=base))
    log.close()
    beginning = history.from_run(ran.path, state="lost", extra={})
    assert [edit.to_json() for edit in beginning.edits] == edits


BUFFERED = {"PYTHONUNBUFFERED": ""}
"""As a shell has it: what is left in a buffer is written at the exit."""
PRESET = '[data]\ntext = "To be or not to be."\n[batch]\nB = 2\nT = 4\n[model]\nlayers = 1\nheads = 1\nwidth = 8\n'


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_a_redirection_is_told_or_ignored_and_never_code_120(
    train: Train, workbench: "Command"
) -> None:
    run = train(SHORT).path
    with open("/dev/full", "w") as full:
        for words in (["export", str(run), "--csv"], ["runs", "--runs-dir", str(run.parent)], ["sample", str(run)]):
            ended = workbench(*words, stdout=full, env=BUFFERED)
            assert ended.returncode == 1, ended.stderr
            assert ended.stderr.splitlines() == [
                "workbench: a file that this command uses, or its output: no space left on device"
            ]
        (workbench.folder / "p.toml").write_text(PRESET)
        ended = workbench("--headless", "p.toml", "--steps", "2", "--json", stdout=full, env=BUFFERED)
    assert (ended.returncode, "Exception ignored" in ended.stderr) == (0, False)  # it trained: that is what it was for


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("words", ["--help", "bench --help", "--version"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_what_argparse_prints_is_told(workbench: "Command", words: str, unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        ended = workbench(*words.split(), stdout=full, env={"PYTHONUNBUFFERED": unbuffered})
    assert (ended.returncode, ended.stderr) == (
        1, "workbench: a file that this command uses, or its output: no space left on device\n",
    )  # fmt: skip


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_changes_no_exit_code_of_what_was_refused(workbench: "Command") -> None:
    """Behind stderr, and behind stdout where a word had begun to print before it was refused."""
    begins = (
        "import sys; from workbench import cli, errors\ndef word(rest): print('so far'); raise errors.DataError('no')"
    )
    with open("/dev/full", "w") as full:
        assert workbench("runs", "--nonsense", stderr=full, env=BUFFERED).returncode == 2
        refused = workbench(
            "-c", f"{begins}\ncli._dispatch = word; sys.exit(cli.main())", python=(), stdout=full, env=BUFFERED
        )
    assert (refused.returncode, refused.stderr) == (5, "workbench: no\n")


def test_a_full_disk_at_a_resume_is_a_sentence_and_changes_nothing(
    train: Train, resume: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(SHORT).path
    (run / "checkpoints" / "step-00000012" / "meta.json").unlink()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    def full(path: Path, document: object, *, durable: bool = False) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(records, "replace_json", full)
        with pytest.raises(WorkbenchError, match=r"cannot be written \(no space left on device\)"):
            resume(run, {"schedule.steps": 20})
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert resume(run, {"schedule.steps": 20}).outcome.state == "done"


def test_a_working_directory_that_is_gone_is_a_sentence(workbench: "Command", tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    for words in ("runs", "resume last", "--headless char"):
        line = f'mkdir "{gone}"; cd "{gone}"; rmdir "{gone}"; exec "{sys.executable}" -m workbench {words}'
        ended = subprocess.run(
            ["sh", "-c", line], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False
        )
        assert (ended.returncode, "Traceback" in ended.stderr) == (2, False), ended.stderr
        assert "the working directory is gone" in ended.stderr


def _damage(run: Path) -> None:
    """So that its header holds and its tensors do not: found only when they are read."""
    path = run / "checkpoints" / "step-00000004" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-64:] = b"\xff" * 64  # NaN
    path.write_bytes(data)


def test_a_rewind_that_cannot_be_ends_with_its_reason(train: Train, resume: Train) -> None:
    ran = train(document(SHORT, eval__every=4), call={5: _damage}, at_start=[{"command": "rewind", "at": 7}])
    (end,) = ran.of("end")
    assert (end["state"], end["exit_code"], end["step"]) == ("failed", 1, 7)
    assert end["val_loss"] == ran.of("eval")[-1]["val_loss"] is not None
    assert end["time"] == end["seconds"] == ran.answers(0)[-1]["time"] == ran.records[-1]["time"] > 0
    assert "holds NaN or infinity" in end["reason"]
    assert json.loads((ran.path / "status.json").read_text())["state"] == "failed"
    assert [answer["state"] for answer in ran.answers(0)][-1:] == ["refused"]
    assert not list((ran.path / "commands").iterdir())
    assert len(ran.records) == 7
    shutil.rmtree(ran.path / "checkpoints" / "step-00000004")
    assert resume(ran.path).outcome.state == "done"


def test_a_rewind_with_no_whole_checkpoint_to_go_back_to_says_so(train: Train) -> None:
    def cut(run: Path) -> None:
        (run / "checkpoints" / "step-00000004" / "meta.json").write_bytes(b"")

    ran = train(SHORT, call={5: cut}, at_start=[{"command": "rewind", "at": 7}])
    (end,) = ran.of("end")
    assert (end["state"], end["exit_code"], end["step"]) == ("failed", 1, 7)
    assert "there is no other checkpoint to go on from" in end["reason"]
    assert ran.answers(0)[-1]["state"] == "refused"


def test_a_rewind_whose_directory_cannot_be_opened_is_still_told(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    hear = Script.event

    def lose(run: Path) -> None:
        (run / "events.jsonl").rename(run / "elsewhere")
        (run / "events.jsonl").symlink_to("events.jsonl")

    monkeypatch.setattr(Script, "event", lambda self, event: (told.append(event), hear(self, event)))
    ran = train(SHORT, call={5: lose}, at_start=[{"command": "rewind", "at": 7}])
    assert (ran.outcome.state, ran.outcome.exit_code) == ("failed", 1)
    assert "events.jsonl: cannot be read" in ran.outcome.reason
    assert (told[-1]["type"], told[-1]["step"], told[-1]["reason"]) == ("end", 7, ran.outcome.reason)


def test_a_rewind_holds_one_model_at_a_time(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    models: list[weakref.ref[object]] = []
    alive: list[int] = []
    original = attempt.build

    def build(*args: object, **more: object) -> object:
        alive.append(sum(model() is not None for model in models))
        model = original(*args, **more)
        models.append(weakref.ref(model))
        return model

    monkeypatch.setattr(attempt, "build", build)
    ran = train(SHORT, at_start=[{"command": "rewind", "at": 7}])
    assert ran.outcome.state == "done"
    assert len(alive) > 1
    assert not any(alive)


def test_an_edit_that_waits_for_the_disk_and_is_interrupted_is_in_the_checkpoint_that_says_so(
    train: Train, resume: Train, signals: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its event is in the file, but not yet surely on the disk, when the run is told to leave: whoever goes on from the
    checkpoint counts the edit as made."""
    original = EventLog.sync
    there: list[Path] = []

    def sync(self: EventLog) -> int:
        if there and (there[0] / "events.jsonl").read_text().count('"edit"'):
            there.clear()
            os.kill(os.getpid(), signal.SIGTERM)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(self)

    monkeypatch.setattr(EventLog, "sync", sync)
    change = {"command": "set", "at": 6, "changes": {"optimizer.lr": 0.02}}
    ran = train(SHORT, at_start=[change], call={1: there.append})
    assert ran.outcome.state == "interrupted"
    signals.received = 0
    again = resume(ran.path)
    assert again.outcome.state == "done"
    assert again.records["lr"][7] > 0.005
    assert len(again.of("edit")) == 1


@pytest.mark.parametrize("behind", [0.0, 3600.0, -3600.0])
@pytest.mark.parametrize("how", ["no locks", "locks of its own"])
def test_a_worker_on_another_host_is_heard_whatever_the_clocks_say(
    train: Train, resume: Train, monkeypatch: pytest.MonkeyPatch, how: str, behind: float
) -> None:
    run = train(SHORT).path
    about = json.loads((run / "status.json").read_text()) | {"state": "running", "host": "another"}
    over = threading.Event()

    def beat() -> None:
        while not over.wait(0.1):
            replace_json(run / "status.json", about | {"heartbeat": time.time() - behind})

    def refused(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    if how == "no locks":
        monkeypatch.setattr("fcntl.flock", refused)
    else:
        monkeypatch.setattr(worker, "on_a_network", lambda path: True)
    other = threading.Thread(target=beat)
    other.start()
    try:
        time.sleep(0.3)
        with pytest.raises(worker.Busy, match="a worker on another has it"):
            resume(run, {"schedule.steps": 20})
    finally:
        over.set()
        other.join()
    monkeypatch.setattr(status, "LOST_AFTER", 0.5)  # it falls silent
    assert resume(run, {"schedule.steps": 20}).outcome.state == "done"


def test_what_a_killed_write_left_beside_is_swept_up(train: Train, resume: Train) -> None:
    """One of 75 runs that were told twice to leave had such a file."""
    run = train(SHORT).path
    for left in (".status.json.1452.0b0ee5", ".resolved.json.77.abcdef"):
        (run / left).write_text("{")
    assert resume(run, {"schedule.steps": 20}).outcome.state == "done"
    assert not list(run.glob(".*.json.*"))
