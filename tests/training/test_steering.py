"""What a worker hears: a second process that pauses, steps, edits and stops it, and files that are no commands."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import GPT, Train, document

from workbench import preset as presets
from workbench.runs import commands, status
from workbench.runs.events import read_events
from workbench.runs.records import StepReader
from workbench.training.steering import Gait, Steering


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A real worker that would train for days."""
    folder = tmp_path_factory.mktemp("steered")
    doc = document(GPT, schedule__steps=10_000_000, batch__accum=3, eval__every=0, sample__every=0, checkpoint__every=0)
    preset = folder / "long.toml"
    preset.write_text(presets.to_toml(presets.from_document(doc, source="test")))
    child = subprocess.Popen(
        [sys.executable, "-m", "workbench", "--headless", str(preset), "--quiet", "--runs-dir", str(folder / "runs")]
    )
    deadline = time.monotonic() + 60
    runs: list[Path] = []
    while time.monotonic() < deadline and not (runs and status.observed(status.read(runs[0])) == "running"):
        runs = list((folder / "runs").glob("*"))
        time.sleep(0.05)
    yield runs[0]
    child.terminate()
    assert child.wait(30) in (143, 0)


def ask(run: Path, command: str, **arguments: Any) -> dict[str, Any]:
    return commands.wait(run, commands.send(run, command, **arguments), timeout=60)


def settled(run: Path, n: int) -> int:
    """The number of records once it stands still, at `n` or after half a second."""
    deadline = time.monotonic() + 60
    while len(StepReader(run)) != n and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    return len(StepReader(run))


def test_pause_step_micro_step_and_on(running: Path) -> None:
    n = int(ask(running, "pause")["step"])
    assert settled(running, n) == n
    assert status.observed(status.read(running)) == "paused"

    assert ask(running, "step")["state"] == "applied"
    assert settled(running, n + 1) == n + 1

    ask(running, "step", micro=True)
    assert settled(running, n + 1) == n + 1  # inside the step: one of its three micro-batches is done
    assert "micro-batch 1 of 3" in (status.read(running) or status.Status()).phase
    ask(running, "step", micro=True)
    time.sleep(0.2)
    assert "micro-batch 2 of 3" in (status.read(running) or status.Status()).phase
    ask(running, "step")  # finishes the step that it is in, and no other
    assert settled(running, n + 2) == n + 2

    ask(running, "unpause")
    time.sleep(0.3)
    assert len(StepReader(running)) > n + 2
    # A pause inside a step is no part of the step's seconds.
    assert StepReader(running).read()["seconds"].max() < 2


def test_a_step_inside_is_over_when_the_run_goes_on(running: Path) -> None:
    n = int(ask(running, "pause")["step"])
    assert settled(running, n) == n
    assert ask(running, "step", micro=True)["state"] == "applied"
    told = status.read(running) or status.Status()
    deadline = time.monotonic() + 60
    while not told.inside and time.monotonic() < deadline:
        told = status.read(running) or told
    assert told.inside is not None
    assert (told.inside["micro"], told.inside["accum"], len(told.inside["losses"])) == (1, 3, 1)
    ask(running, "unpause")
    time.sleep(0.3)
    told = status.read(running) or told
    assert (told.inside, told.state, told.phase) == (None, "running", "training")
    assert len(StepReader(running)) > n + 1


def test_a_pace_is_held_and_told(running: Path) -> None:
    assert ask(running, "pace", rate=20)["state"] == "applied"
    assert (status.read(running) or status.Status()).pace == 20.0
    before = len(StepReader(running))
    time.sleep(1)
    assert 10 <= len(StepReader(running)) - before <= 25
    ask(running, "pace", rate=0)
    assert (status.read(running) or status.Status()).pace == 0.0


def test_an_edit_says_at_which_step_it_acts(running: Path) -> None:
    answer = ask(running, "set", changes={"optimizer.lr": 5e-4})
    ask(running, "pause")
    lr = StepReader(running).read()["lr"]
    n = answer["step"]
    assert lr[n - 1] > 5e-4 >= lr[n]
    (edit,) = [e for e in read_events(running) if e["type"] == "edit" and e["id"] == answer["id"]]
    assert edit["step"] == n
    ask(running, "unpause")


def test_an_id_acts_once(running: Path) -> None:
    answer = ask(running, "save")
    again = running / "commands" / f"{answer['id']}.json"
    document = {"format": 1, "id": answer["id"], "sent": time.time(), "command": "save"}
    again.write_text(json.dumps(document))
    deadline = time.monotonic() + 60
    while again.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not again.exists()
    answers = [e for e in read_events(running) if e["type"] == "answer" and e["id"] == answer["id"]]
    assert len([a for a in answers if a["state"] in commands.FINAL]) == 1


def test_what_is_no_command_is_refused_and_removed(running: Path) -> None:
    folder = running / "commands"
    bad = {
        "half": b'{"format": 1, "id": "half", "comm',
        "huge": b'{"x": "' + b"x" * 100_000 + b'"}',
        "unknown": b'{"format": 1, "id": "unknown", "sent": 0, "command": "rm -rf"}',
        "newer": b'{"format": 2, "id": "newer", "sent": 0, "command": "stop"}',
        "other": b'{"format": 1, "id": "another", "sent": 0, "command": "stop"}',
        "list": b"[1, 2]",
    }
    for name, data in bad.items():
        (folder / f".{name}").write_bytes(data)
        (folder / f".{name}").rename(folder / f"{name}.json")
    os.symlink("/etc/passwd", folder / "link.json")
    deadline = time.monotonic() + 60
    while list(folder.glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not list(folder.glob("*.json"))
    answers = {e["id"]: e for e in read_events(running) if e["type"] == "answer"}
    assert {answers[name]["state"] for name in (*bad, "link")} == {"refused"}
    assert "unknown command 'rm -rf'" in answers["unknown"]["reason"]
    assert status.observed(status.read(running)) == "running"


def test_a_burst_of_commands_is_answered_in_order(running: Path) -> None:
    ids = [commands.send(running, "set", changes={"optimizer.lr": 5e-4 + n * 1e-7}) for n in range(1, 200)]
    commands.wait(running, ids[-1], timeout=60)
    answered = [e["id"] for e in read_events(running) if e["type"] == "answer" and e["state"] == "applied"]
    assert [id for id in answered if id in set(ids)] == ids


def test_commands_from_before_the_attempt_are_expired(train: Train, resume: Train) -> None:
    ran = train(document(GPT), at_start=[{"command": "stop", "at": 25}])
    id = commands.send(ran.path, "stop")
    done = resume(ran.path)
    assert done.outcome.state == "done"
    (answer,) = [e for e in done.of("answer") if e["id"] == id]
    assert answer["state"] == "expired"


def test_steps_asked_for_together_are_all_made(running: Path) -> None:
    n = int(ask(running, "pause")["step"])
    assert settled(running, n) == n
    ids = [commands.send(running, "step") for _ in range(3)]
    commands.wait(running, ids[-1], timeout=60)
    assert settled(running, n + 3) == n + 3
    ask(running, "unpause")


def test_an_eval_and_what_comes_with_it_act_once(running: Path) -> None:
    """An eval listens while it runs: it must not hear itself again, nor what waits behind it."""
    n = int(ask(running, "pause")["step"])
    ids = [commands.send(running, name) for name in ("eval", "step", "eval")]
    commands.wait(running, ids[-1], timeout=60)
    assert settled(running, n + 1) == n + 1
    events = read_events(running)
    assert len([e for e in events if e["type"] == "eval" and e["step"] >= n]) == 2
    assert all(len([e for e in events if e.get("id") == id and e["state"] == "applied"]) == 1 for id in ids)
    ask(running, "unpause")


def test_inspections_of_the_same_step_are_answered_by_the_same_file(running: Path) -> None:
    ask(running, "pause")
    first, second = (commands.send(running, "inspect") for _ in range(2))
    ask(running, "step")
    answers = [commands.wait(running, id, timeout=60) for id in (first, second)]
    assert answers[0]["file"] == answers[1]["file"]
    ask(running, "unpause")


def test_an_edit_for_a_step_that_never_comes_is_answered(train: Train) -> None:
    ran = train(document(GPT), at_start=[{"command": "set", "at": 900, "changes": {"optimizer.lr": 3e-4}}])
    assert [a["state"] for a in ran.answers(0)] == ["accepted", "expired"]
    assert not list((ran.path / "commands").glob("*.json"))


def test_an_eval_by_command_that_is_the_best_is_saved(train: Train) -> None:
    doc = document(GPT, eval__every=0, checkpoint__every=0, optimizer__lr=1e-2)
    ran = train(doc, at_start=[{"command": "eval", "at": 30}])
    assert [e["step"] for e in ran.of("checkpoint")] == [30, 40]
    assert ran.of("checkpoint")[0]["best"]


def test_setting_what_is_set_already_is_no_edit(train: Train) -> None:
    ran = train(document(GPT), at_start=[{"command": "set", "changes": {"optimizer.lr": 1e-3}}])
    assert ran.answers(0)[-1]["state"] == "applied"
    assert not ran.of("edit")


def test_what_acts_is_not_read_again_while_it_acts(tmp_path: Path) -> None:
    """An eval looks into commands/ between its batches: its own file is still there, and what came with it too."""
    ids = [commands.send(tmp_path, name) for name in ("eval", "step")]
    for id in ids:  # sent after the attempt began
        (tmp_path / "commands" / f"{id}.json").rename(tmp_path / f"{id}.json")
    answers: list[dict[str, Any]] = []
    inbox = commands.Inbox(tmp_path)
    steering = Steering(inbox, lambda **answer: answers.append(answer), stale=inbox.poll(), answered=[])
    for id in ids:
        (tmp_path / f"{id}.json").rename(tmp_path / "commands" / f"{id}.json")
    steering.look(now=True)
    due = steering.due(7)
    assert [command.id for command in due] == ids
    steering.look(now=True)
    assert steering.due(7) == []
    for command in due:
        steering.finish(command.id, "applied")
    steering.look(now=True)
    assert steering.due(7) == []
    assert [(a["id"], a["state"]) for a in answers] == [(id, "applied") for id in ids]


def test_an_attempt_after_a_rewind_is_as_paused_and_as_slow() -> None:
    gait = Gait()
    gait.hold_to(10)
    gait.pause()
    gait.step(micro=False, inside=False)
    again = gait.again()
    assert (again.paused, again.pace) == (True, 10.0)
    assert not again.may_step(), "the step that was left to make belonged to the attempt before"
