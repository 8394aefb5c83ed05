"""Workers to be killed: real processes that train for a fraction of a second, forked from one that has torch already.

Importing torch takes seconds, and three hundred kills need a thousand workers: a server (this file, run as a program)
imports it once, starts no thread, and forks a worker for each line that it reads. `Trainers` is its client.
"""

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
Job = dict[str, Any]
"""`kind` (new, replay, resume); `document` and `folder`, or `run`; `commands` to be sent, and `sent`, the client's own
note of what it has sent."""
KILLED, ENDED = "killed", "ended"


class Client:
    """A narrator that sends commands as a user would: as soon as the worker listens, each that has not been answered
    `applied` by then, again if need be."""

    def __init__(self, wanted: list[dict[str, Any]], note: Path) -> None:
        self._wanted, self._note = wanted, note
        self._run = Path()

    def record(self, record: tuple[float, ...]) -> None: ...

    def event(self, event: dict[str, Any]) -> None:
        if event["type"] in ("start", "resume"):
            self._run = Path(event["run"])

    def phase(self, phase: str) -> None:
        from workbench.runs import commands

        if phase != "training":
            return
        todo = self._unanswered()
        for n in [n for n in todo if todo[n] not in {path.stem for path in (self._run / "commands").glob("*.json")}]:
            arguments = dict(self._wanted[n])
            id = commands.send(self._run, arguments.pop("command"), **arguments)
            with self._note.open("a") as file:
                file.write(f"{n} {id}\n")

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def _unanswered(self) -> dict[int, str]:
        """The index of each command that is not known to be applied, with its last id."""
        from workbench.runs.events import EventReader

        reader = EventReader(self._run)
        told = reader.poll() + reader.dropped
        applied = {e["id"] for e in told if e["type"] == "answer" and e["state"] == "applied"}
        todo = dict.fromkeys(range(len(self._wanted)), "")
        for line in self._note.read_text().splitlines() if self._note.exists() else []:
            n, id = line.split()
            if int(n) in todo:
                todo[int(n)] = id
            if id in applied:
                todo.pop(int(n), None)
        return todo


def work(job: Job) -> None:
    """One worker's whole life."""
    from workbench import preset as presets
    from workbench.runs.signals import Signals
    from workbench.training import worker

    narrators = [Client(job["commands"], Path(job["sent"]))] if job.get("commands") else []
    more: dict[str, Any] = {
        "narrators": narrators, "signals": Signals(), "progress": lambda what, share: None, "tell": lambda text: None,
    }  # fmt: skip
    if job["kind"] == "new":
        worker.new(presets.from_document(job["document"], source="test"), Path(job["folder"]), **more)
    elif job["kind"] == "replay":
        worker.replay(Path(job["run"]), Path(job["folder"]), **more)
    else:
        worker.resume(Path(job["run"]), {}, **more)


class Trainers:
    """The server's client: one worker at a time."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=TESTS
        )
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == "ready\n"

    def __call__(self, job: Job, kill: Callable[[float], bool] | None = None) -> tuple[str, float]:
        """Start a worker, and SIGKILL it when `kill(seconds since its start)` says so. How it ended, and when."""
        began = time.perf_counter()
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(job) + "\n")
        self._server.stdin.flush()
        pid = int(self._server.stdout.readline())
        try:
            while True:
                if kill and kill(time.perf_counter() - began):
                    os.kill(pid, signal.SIGKILL)
                    kill = None
                about = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
                if about in "ZX":
                    break
                time.sleep(0 if kill else 0.001)
        except BaseException:
            os.kill(pid, signal.SIGKILL)  # which is there until it is reaped
            self._server.stdin.write("reap\n")
            self._server.stdin.flush()
            self._server.stdout.readline()
            raise
        seconds = time.perf_counter() - began
        self._server.stdin.write("reap\n")
        self._server.stdin.flush()
        status = int(self._server.stdout.readline())
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return KILLED, seconds
        assert os.waitstatus_to_exitcode(status) == 0, f"a worker failed: {job}"
        return ENDED, seconds

    def close(self) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(10)


@contextlib.contextmanager
def trainers() -> Iterator[Trainers]:
    there = Trainers()
    try:
        yield there
    finally:
        there.close()


def serve() -> None:
    """Fork a worker for each line; the next line asks how it ended."""
    import tiny_runs
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:  # once here: what torch does at its first step, no worker has to do
        doc = tiny_runs.document(tiny_runs.GPT, schedule__steps=2, schedule__warmup=0)
        work({"kind": "new", "document": doc, "folder": folder})
    gc.collect()  # and with the run the thread that drew its rows
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(10)
    assert threading.active_count() == 1
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            code = 1
            try:
                os.close(0)
                os.dup2(2, 1)
                work(json.loads(line))
                code = 0
            except BaseException:
                import traceback

                traceback.print_exc()
                raise
            finally:
                os._exit(code)
        print(pid, flush=True)
        sys.stdin.readline()
        print(os.waitpid(pid, 0)[1], flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))
    serve()
