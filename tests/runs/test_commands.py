"""commands/: what a client sends and waits for, what a worker reads, and what it makes of what is no command."""

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import GPT, Train, document

from workbench.errors import WorkbenchError
from workbench.runs import commands
from workbench.runs.commands import LARGEST, NAMES, Bad, Command, Inbox, send, wait
from workbench.runs.events import EventLog, event
from workbench.runs.status import Heart
from workbench.training.steering import Steering


@contextlib.contextmanager
def worker(
    folder: Path, answer: Callable[[EventLog, Command], str | None] = lambda log, command: None
) -> Iterator[Heart]:
    """A heart that beats, and a thread that answers as a worker does; `answer` returns the state to answer with."""
    heart = Heart(folder, flush=lambda: None, attempt=1, steps=10)
    heart.tell(state="running")
    log, inbox, over = EventLog(folder), Inbox(folder), threading.Event()

    def listen() -> None:
        while not over.wait(0.01):
            for found in inbox.poll():
                assert isinstance(found, Command)
                state = answer(log, found)
                if state:
                    log.append(event("answer", 0.0, step=7, id=found.id, state=state, reason=""))
                    if state != "accepted":
                        inbox.remove(found.id)

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield heart
    finally:
        over.set()
        thread.join()
        log.close()
        heart.stop(state="done")


# ------------------------------------------------------------------------------------- there and back


def test_what_is_sent_is_what_is_read(tmp_path: Path) -> None:
    before = time.time()
    id = send(tmp_path, "set", at=12, changes={"optimizer.lr": 3e-4, "sample.prompt": "é\n"})
    (found,) = Inbox(tmp_path).poll()
    assert isinstance(found, Command)
    assert (found.id, found.command, found.at) == (id, "set", 12)
    assert found.arguments == {"changes": {"optimizer.lr": 3e-4, "sample.prompt": "é\n"}}
    assert before <= found.sent <= time.time()
    (path,) = (tmp_path / "commands").iterdir()  # nothing aside is left
    assert path.name == f"{id}.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert json.loads(path.read_text())["format"] == 1


def test_commands_lie_there_in_order_until_they_are_removed(tmp_path: Path) -> None:
    ids = [send(tmp_path, "pause") for _ in range(50)]
    inbox = Inbox(tmp_path)
    assert [found.id for found in inbox.poll()] == ids
    assert [found.id for found in inbox.poll()] == ids
    inbox.remove(ids[3])
    inbox.remove(ids[3])
    assert [found.id for found in inbox.poll()] == ids[:3] + ids[4:]


def test_what_is_still_being_written_is_not_read(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    (tmp_path / "commands" / ".half.json").write_text('{"format": 1')
    (tmp_path / "commands" / "notes.txt").write_text("not a command")
    assert inbox.poll() == []


@pytest.mark.parametrize("name", NAMES)
def test_every_command_by_its_name(tmp_path: Path, name: str) -> None:
    needed = {"changes": {"optimizer.lr": 3e-4}} if name == "set" else {}
    send(tmp_path, name, **needed)
    (found,) = Inbox(tmp_path).poll()
    assert isinstance(found, Command)
    assert (found.command, found.at, found.arguments) == (name, None, needed)


# ------------------------------------------------------------------------------------- waiting for the answer


@pytest.mark.parametrize("state", commands.FINAL)
def test_the_final_answer_ends_the_wait(tmp_path: Path, state: str) -> None:
    with worker(tmp_path, lambda log, command: state):
        answer = wait(tmp_path, send(tmp_path, "pause"), timeout=10)
    assert (answer["state"], answer["step"]) == (state, 7)


def test_an_acknowledgement_is_not_the_answer(tmp_path: Path) -> None:
    def slowly(log: EventLog, command: Command) -> str:
        log.append(event("answer", 0.0, step=6, id=command.id, state="accepted", reason=""))
        time.sleep(0.2)
        return "applied"

    with worker(tmp_path, slowly):
        assert wait(tmp_path, send(tmp_path, "pause"), timeout=10)["state"] == "applied"


def test_what_is_accepted_for_later_is_answered_accepted_and_stays(tmp_path: Path) -> None:
    told: set[str] = set()

    def later(log: EventLog, command: Command) -> str | None:
        if command.id in told:
            return None
        told.add(command.id)
        return "accepted"

    with worker(tmp_path, later):
        id = send(tmp_path, "set", at=1000, changes={"optimizer.lr": 1.0})
        assert wait(tmp_path, id, timeout=0.3)["state"] == "accepted"
        assert (tmp_path / "commands" / f"{id}.json").exists()


def test_without_an_answer_the_command_is_withdrawn(tmp_path: Path) -> None:
    with worker(tmp_path) as heart:
        heart.tell(phase="compiling")
        id = send(tmp_path, "pause")
        with pytest.raises(WorkbenchError, match=r"no answer within 0\.2 s \(running, compiling\).*withdrawn"):
            wait(tmp_path, id, timeout=0.2)
        assert not (tmp_path / "commands" / f"{id}.json").exists()


def test_a_run_that_ends_first_is_told_and_not_waited_for(tmp_path: Path) -> None:
    with worker(tmp_path) as heart:
        id = send(tmp_path, "pause")
        threading.Timer(0.2, lambda: heart.tell(state="diverged")).start()
        began = time.monotonic()
        with pytest.raises(WorkbenchError, match=r"ended \(diverged\) before it answered"):
            wait(tmp_path, id, timeout=30)
        assert time.monotonic() - began < 10
        assert not (tmp_path / "commands" / f"{id}.json").exists()


def test_an_answer_counts_though_its_run_has_ended(tmp_path: Path) -> None:
    """`stop` is answered at the very end: the run may be over before the client looks."""
    with worker(tmp_path, lambda log, command: "applied"):
        id = send(tmp_path, "stop")
        wait(tmp_path, id, timeout=10)
    assert wait(tmp_path, id, timeout=10)["state"] == "applied"


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match=r"ended \(lost\)"):
        wait(tmp_path, send(tmp_path, "pause"), timeout=30)


# ------------------------------------------------------------------------------------- what is no command


def good(id: str, **changes: Any) -> bytes:
    return json.dumps({"format": 1, "id": id, "sent": 0.0, "command": "pause"} | changes).encode()


BAD = {
    "half": (b'{"format": 1, "id": "half"', "not JSON"),
    "empty": (b"", "not JSON"),
    "bytes": (b"\xff\xfe\x00", "not JSON"),
    "deep": (b"[" * 60_000, "not JSON"),
    "huge": (b" " * (LARGEST + 1), "longer than 65,536 bytes"),
    "list": (b"[1, 2]", "not a command of format 1"),
    "newer": (good("newer", format=2), "not a command of format 1"),
    "unknown": (good("unknown", command="rm -rf /"), "unknown command 'rm -rf /'; there are pause, unpause"),
    "number": (good("number", command=7), "unknown command '7'"),
    "another": (good("an id"), "its id is not its file's name"),
    "so late": (good("so late"), "its id is not its file's name"),  # a space is in no id
    "at": (good("at", at="10"), "`at` must be a step"),
    "at-yes": (good("at-yes", at=True), "`at` must be a step"),
    "at-half": (good("at-half", at=1.5), "`at` must be a step"),
    "sent": (good("sent", sent="yesterday"), "`sent` must be a time"),
    "nothing": (good("nothing", steps=3), "pause: takes no 'steps'; it takes nothing"),
    "sample": (good("sample", command="sample", tokens=-5, temperature="hot"), "sample: takes no 'tokens'"),
    "lr": (good("lr", command="set", changes={"optimizer.lr": 1}, lr=1), "set: takes no 'lr'; it takes changes"),
    "changes": (good("changes", command="set", changes=[1]), "set: expected `changes`, an object"),
    "no-changes": (good("no-changes", command="set"), "set: expected `changes`, an object"),
    "micro": (good("micro", command="step", micro=1), "step: expected `micro`, true"),
    "top": (good("top", command="inspect", top=10**400), "inspect: expected `top`, how many guesses to tell, 0 to 20"),
    "less": (good("less", command="inspect", top=-1), "inspect: expected `top`"),
    "rate": (good("rate", command="pace", rate=float("nan")), "pace: expected `rate`, steps a second"),
    "endless": (good("endless", command="pace", rate=10**400), "pace: expected `rate`"),
    "yes": (good("yes", command="pace", rate=True), "pace: expected `rate`"),
}


@pytest.mark.parametrize("id", BAD)
def test_a_file_that_is_no_command_is_told_why(tmp_path: Path, id: str) -> None:
    inbox = Inbox(tmp_path)
    data, reason = BAD[id]
    (tmp_path / "commands" / f"{id}.json").write_bytes(data)
    (found,) = inbox.poll()
    assert isinstance(found, Bad)
    assert found.id == id
    assert reason in found.reason
    inbox.remove(id)
    assert inbox.poll() == []


def test_what_is_no_plain_file_is_refused_without_being_opened(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    folder = tmp_path / "commands"
    (tmp_path / "elsewhere.json").write_bytes(good("link"))
    (folder / "link.json").symlink_to(tmp_path / "elsewhere.json")
    os.mkfifo(folder / "pipe.json")  # reading one would wait for ever
    (folder / "folder.json").mkdir()
    found = {bad.id: bad.reason for bad in inbox.poll() if isinstance(bad, Bad)}
    assert found.keys() == {"link", "pipe", "folder"}
    assert found["pipe"] == found["folder"] == "not a plain file of this user"
    for id in found:
        inbox.remove(id)
    assert (tmp_path / "elsewhere.json").exists()
    assert [p.name for p in folder.iterdir()] == ["folder.json"]  # a folder is nobody's command and is left alone


def test_what_cannot_be_removed_is_answered_once(tmp_path: Path) -> None:
    answers: list[dict[str, Any]] = []
    inbox = Inbox(tmp_path)
    steering = Steering(inbox, lambda **fields: answers.append(fields), stale=inbox.poll(), answered=[])
    (tmp_path / "commands" / "folder.json").mkdir()
    (tmp_path / "commands" / "deep.json").write_bytes(BAD["deep"][0])
    for _ in range(3):
        steering.look(now=True)
    assert [(a["id"], a["state"]) for a in answers] == [("deep", "refused"), ("folder", "refused")]


STRANGE: list[dict[str, Any]] = [
    {"command": "inspect", "top": "five"},
    {"command": "inspect", "top": None},
    {"command": "pace", "rate": "fast"},
    {"command": "pace", "rate": [1]},
    {"command": "set", "changes": {"optimizer.lr": None}},
    {"command": "set", "changes": {"optimizer.lr": [1, {"a": 2}]}},
    {"command": "set", "changes": {"optimizer.lr": True}},
    {"command": "set", "changes": {"batch.B": 10**30}},
    {"command": "set", "changes": {"": 1, "...": 2}},
    {"command": "set", "changes": {"optimizer": {"lr": 1e-3}}},
    {"command": "set", "changes": "optimizer.lr=1"},
    {"command": "set"},
]


def test_nothing_that_a_command_carries_ends_a_run(train: Train, resume: Train) -> None:
    ran = train(document(GPT), at_start=[*STRANGE, {"command": "stop", "at": 5}])
    assert ran.outcome.state == "stopped"
    for n, command in enumerate(STRANGE):
        assert [a["state"] for a in ran.answers(n)][-1] == "refused", command
    (ran.path / "commands" / "folder.json").mkdir()
    (ran.path / "commands" / "deep.json").write_bytes(BAD["deep"][0])
    done = resume(ran.path)
    assert done.outcome.state == "done"
    states = {e["id"]: e["state"] for e in done.of("answer")}
    assert states["folder"] == states["deep"] == "expired"  # they lay there before this worker listened
