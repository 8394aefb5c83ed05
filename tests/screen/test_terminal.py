"""The real program in a real terminal with a real worker: what a user does over SSH, and what befalls them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from pseudo_terminal import PseudoTerminal

from workbench.runs import directory, status
from workbench.runs.events import read_events
from workbench.runs.records import DTYPE

PRESET = """\
name = "small"
[data]
dataset = "{corpus}"
[batch]
B = 4
T = 16
[model]
layers = 1
heads = 1
width = 16
[optimizer]
lr = 2e-3
[schedule]
steps = {steps}
warmup = 0
min_lr = 1e-5
[eval]
every = {steps}
tokens = 1000
[checkpoint]
every = 200
[sample]
every = 0
"""

TEXT = (
    "It is a truth universally acknowledged that a single row in possession of a good shift must be in want of a y.\n"
)

Open = Callable[..., PseudoTerminal]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "corpus.txt").write_text(TEXT * 40)
    preset(tmp_path, steps=100_000)
    yield tmp_path
    for run in (tmp_path / "runs").glob("*"):
        found = status.read(run)
        if found and found.alive():
            os.kill(found.pid, signal.SIGKILL)


@pytest.fixture
def screen(here: Path) -> Iterator[Open]:
    """Opens screens in `here`; whatever is still open is killed at the end."""
    opened = []

    def go(*arguments: str, **more: object) -> PseudoTerminal:
        opened.append(PseudoTerminal(arguments, cwd=here, **more))  # type: ignore[arg-type]
        return opened[-1]

    yield go
    for terminal in opened:
        terminal.close()


def preset(folder: Path, **values: object) -> Path:
    path = folder / "small.toml"
    path.write_text(PRESET.format(**{"corpus": "corpus.txt"} | values))
    return path


def until(true: Callable[[], object], timeout: float = 60.0) -> None:
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.02)


def records(run: Path) -> "np.ndarray[tuple[int], np.dtype[np.void]]":
    data = (run / "steps.bin").read_bytes()
    return np.frombuffer(data[: len(data) // DTYPE.itemsize * DTYPE.itemsize], DTYPE)


def started(terminal: PseudoTerminal, here: Path) -> Path:
    """Space, and the run directory once it trains."""
    terminal.until("predictions")
    terminal.send(" ")
    terminal.until(lambda text: "running" in text and not re.search(r"step 0/", text), timeout=60)
    return directory.find(here / "runs", "last")


def unbroken(run: Path) -> None:
    """Record i is step i, none is missing, each goes on where the one before ended."""
    found = records(run)
    assert found["step"].tolist() == list(range(len(found)))
    assert (np.diff(found["rows_before"].astype(np.int64)) == 4).all()


def test_a_run_is_started_edited_left_by_a_dropped_connection_and_found_again(here: Path, screen: Open) -> None:
    terminal = screen("small.toml")
    run = started(terminal, here)

    terminal.send("4", "/", "a")
    told = terminal.until(lambda text: re.search(r"lr = 2e-4 acts from step ([\d,]+) on", text))
    step = int(re.search(r"acts from step ([\d,]+) on", told)[1].replace(",", ""))  # type: ignore[index]
    until(lambda: len(records(run)) > step)
    lr = records(run)["lr"]
    assert lr[step] < 2.1e-4 < 1.9e-3 < lr[step - 1], "the edit is in the records at the step that the screen named"
    assert [(e["step"], e["changes"]["optimizer.lr"]) for e in read_events(run) if e["type"] == "edit"] == [
        (step, [2e-3, 2e-4])
    ]

    terminal.send("u")
    told = terminal.until(lambda text: re.search(r"undo: lr = 2e-3 acts from step ([\d,]+) on", text))
    back = int(re.search(r"acts from step ([\d,]+) on", told)[1].replace(",", ""))  # type: ignore[index]
    until(lambda: len(records(run)) > back)
    assert records(run)["lr"][back] > 1.9e-3

    assert "torch" not in Path(f"/proc/{terminal.process.pid}/maps").read_text(), "the screen never imports torch"
    terminal.hang_up()
    terminal.process.wait(timeout=60)
    seen = len(records(run))
    until(lambda: len(records(run)) > seen + 100)
    unbroken(run)

    again = screen("attach")
    text = again.until(lambda text: run.name in text and "running" in text)
    assert int(re.search(r"step ([\d,]+)/", text)[1].replace(",", "")) > seen  # type: ignore[index]
    again.send("q")
    again.until("leave it running")
    again.send("s")
    assert again.process.wait(timeout=60) == 0
    until(lambda: status.observed(status.read(run)) == "stopped")
    unbroken(run)


def test_a_screen_leaves_with_its_terminal_under_nohup_too(here: Path) -> None:
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); from workbench.cli import main; main()"
    terminal = PseudoTerminal(["small.toml"], cwd=here, python=("-c", code))
    try:
        terminal.until("predictions")
        terminal.hang_up()
        terminal.process.wait(timeout=60)
    finally:
        terminal.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_the_worker_outlives_its_screen(how: signal.Signals, here: Path, screen: Open) -> None:
    terminal = screen("small.toml")
    run = started(terminal, here)
    terminal.process.send_signal(how)
    terminal.process.wait(timeout=60)
    seen = len(records(run))
    until(lambda: len(records(run)) > seen + 100)
    unbroken(run)


def test_a_dead_worker_is_noticed_and_its_resume_is_bitwise(here: Path, screen: Open) -> None:
    preset(here, steps=1200)
    terminal = screen("small.toml")
    terminal.until("predictions")
    terminal.send("=")  # nothing runs yet: said, and no more
    run = started(terminal, here)
    until(lambda: len(records(run)) > 260)
    worker = status.read(run)
    assert worker is not None
    os.kill(worker.pid, signal.SIGKILL)
    terminal.until("lost")

    terminal.send(" ")
    terminal.until("resume it from step")
    terminal.send("r")
    terminal.until(lambda text: re.search(r"done +step 1,200/1,200", text), timeout=60)
    terminal.send("q")
    assert terminal.process.wait(timeout=60) == 0

    plain = subprocess.run(
        [sys.executable, "-m", "workbench", "--headless", "small.toml", "--quiet", "--name", "plain"],
        cwd=here, timeout=90, check=True,
    )  # fmt: skip
    assert plain.returncode == 0
    alone = records(directory.find(here / "runs", "plain"))
    for field in DTYPE.names or ():
        if field not in ("seconds", "time"):
            assert records(run)[field].tobytes() == alone[field].tobytes(), field


def test_two_screens_on_one_run_and_one_that_only_looks(here: Path, screen: Open) -> None:
    one = screen("small.toml")
    run = started(one, here)
    two = screen("attach", "--read-only")
    two.until("read-only")
    two.until("running")
    one.send(" ")
    two.until("paused")
    two.send(" ")
    two.until("does not steer")
    paused = len(records(run))
    one.send(">")
    until(lambda: len(records(run)) == paused + 1)
    one.send(" ")
    two.until("running")
    two.send("q")
    assert two.process.wait(timeout=60) == 0, "a screen that only looks leaves without a question"


def test_no_byte_of_a_hostile_corpus_acts_on_the_terminal(here: Path, screen: Open) -> None:
    nasty = (
        "\x1b]0;OWNED\x07\x1b[2J\x1b[31mred \x9b31m \u202eright to left\u202c שלום مرحبا 漢字 "
        "e\u0301\u0301\u0301 \U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308\r\x08\x7f\n"
    )
    (here / "corpus.txt").write_text(nasty * 200)
    terminal = screen("small.toml")
    run = started(terminal, here)
    for pane in "12345678":
        terminal.send(pane, "0")
        time.sleep(0.4)
        terminal.send("0")
    terminal.send("2", "i")
    time.sleep(0.5)
    written = b"".join(data for _, data in terminal.chunks)
    for sequence in (b"\x1b]0;OWNED", b"\x1b[31mred", "\u202e".encode(), b"\x9b31m ", "\u200d".encode()):
        assert sequence not in written
    assert terminal.screen.title != "OWNED"
    for line in terminal.screen.display:
        cells = sum(not unicodedata.combining(character) for character in line)
        assert cells <= 120 + line.count("\u6f22") + line.count("\u5b57")
    assert json.loads((run / "status.json").read_text())["state"] == "running"


def test_what_a_screen_needs_and_has_not(here: Path) -> None:
    plain = subprocess.run(
        [sys.executable, "-m", "workbench", "small.toml"], cwd=here, capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert plain.returncode == 2
    assert "needs a terminal" in plain.stderr
    assert "--headless" in plain.stderr
    assert plain.stdout == ""


def test_a_start_that_is_refused_says_why_and_loses_nothing(here: Path, screen: Open) -> None:
    (here / "small.toml").write_text(
        PRESET.format(corpus="corpus.txt", steps=100).replace("lr = 2e-3", 'lr = 2e-3\nkind = "sgd"')
    )
    (here / "runs").write_text("a file where the folder should be")
    terminal = screen("small.toml")
    terminal.until("predictions")
    terminal.send(" ")
    terminal.until("cannot be made there", timeout=60)
    assert "ready" in terminal.text()
    assert psutil.Process(terminal.process.pid).is_running()
    (here / "runs").unlink()
    terminal.send("q")
    assert terminal.process.wait(timeout=60) == 0
