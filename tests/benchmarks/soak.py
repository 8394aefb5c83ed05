"""An hour of the fastest run there is, watched all the time: what leaks shows in its slopes.

    python tests/benchmarks/soak.py MINUTES

A bigram of one prediction a step trains without an end in a real headless worker. One screen stays attached in a
pseudo-terminal, another comes and goes every minute, `workbench set` edits lr every third minute. Every ten seconds
the memory, the descriptors and the threads of worker and screen are read. Then the run is stopped, every record and
every event is checked, and it is resumed to an end of its own. Prints a line a minute and a table; exits 1 if
anything failed. It writes 96 bytes a step, about 1.2 GB an hour at 3,500 steps/s, and deletes them at the end.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from pseudo_terminal import PseudoTerminal

import workbench
from workbench.runs import directory, status
from workbench.runs.records import DTYPE

PRESET = """\
name = "soak"
[data]
dataset = "markov"
[batch]
B = 1
T = 1
[model]
kind = "bigram"
[optimizer]
kind = "sgd"
lr = 0.1
weight_decay = 0.0
clip = 0.0
[schedule]
kind = "constant"
steps = 1_000_000_000_000
warmup = 0
[eval]
every = 100_000
tokens = 1024
[checkpoint]
every = 200_000
[sample]
every = 100_000
tokens = 20
[device]
threads = 1
"""
SAMPLE_EVERY = 10.0
"""Seconds between two looks at the processes."""
EDIT_EVERY = 3
"""Minutes between two edits of lr."""
AFTER = 10_000
"""Steps that the resumed run makes, up to its end."""


@dataclass
class Side:
    """One process, looked at every ten seconds."""

    name: str
    process: psutil.Process
    rss: list[float] = field(default_factory=list)
    pss: list[float] = field(default_factory=list)
    fds: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    seconds: float = 0.0
    """Of processor time, so far."""

    def look(self) -> None:
        self.rss.append(self.process.memory_info().rss / 1e3)
        self.pss.append(pss_of(self.process.pid))
        self.fds.append(self.process.num_fds())
        self.threads.append(self.process.num_threads())
        self.seconds = sum(self.process.cpu_times()[:2])


def pss_of(pid: int) -> float:
    """KB of a process's own memory, shared pages divided by their sharers; NaN where the kernel does not tell."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(1.024 * float(line.split()[1]) for line in lines if line.startswith("Pss:"))


def slope(minutes: list[float], values: list[float]) -> float:
    """KB a minute by least squares, the first tenth left out."""
    begin = len(values) // 10
    if len(values) - begin < 3 or np.isnan(values).any():
        return float("nan")
    return float(np.polyfit(minutes[begin:], values[begin:], 1)[0])


class Soak:
    def __init__(self, folder: Path) -> None:
        self.folder, self.runs = folder, folder / "runs"
        self.failures: list[str] = []
        self.attached = self.edited = 0
        self.taken: list[float] = []
        """Seconds from the command to the visitor's curve."""
        self._begin = time.monotonic()

    def failed(self, what: str) -> None:
        self.failures.append(f"minute {(time.monotonic() - self._begin) / 60:.1f}: {what}")
        print(f"FAILED at {self.failures[-1]}", flush=True)

    def guarded(self, what: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001  (whatever it is, the soak goes on and tells it)
            self.failed(f"{what}: {type(error).__name__}: {error}")

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "workbench", *arguments, "--runs-dir", str(self.runs)],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    def visit(self, run: Path) -> None:
        """A screen comes, paints the run, and leaves it running."""
        terminal = PseudoTerminal(["attach", str(run)])
        try:
            self.taken.append(terminal.seconds_until(is_painted, timeout=60))
            terminal.send("q")
            terminal.until("leave it running")
            terminal.send("l")
            if code := terminal.process.wait(timeout=60):
                raise AssertionError(f"it left with {code}")
            self.attached += 1
        finally:
            terminal.close()

    def edit(self, run: Path, minute: int) -> None:
        told = self.command("set", str(run), f"lr={0.05 + 0.01 * (minute % 9):g}")
        if told.returncode:
            raise AssertionError(told.stdout + told.stderr)
        self.edited += 1

    def train(self, minutes: float) -> tuple[Path, list[float], list[Side], list[int]]:
        """Returns the run, the minutes of the looks, both sides, and how many records there were at each look."""
        (self.folder / "soak.toml").write_text(PRESET)
        log = (self.folder / "worker.err").open("w")
        worker = subprocess.Popen(
            [sys.executable, "-m", "workbench", "--headless", str(self.folder / "soak.toml"), "--quiet",
             "--runs-dir", str(self.runs)],
            start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while not any(path.stat().st_size for path in self.runs.glob("*/steps.bin")):
            if worker.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the worker did not begin:\n{(self.folder / 'worker.err').read_text()}")
            time.sleep(0.1)
        run = directory.find(self.runs, "last")
        steps = run / "steps.bin"
        screen = PseudoTerminal(["attach", str(run)])
        try:
            screen.until(is_painted)
            sides = [Side("worker", psutil.Process(worker.pid)), Side("screen", psutil.Process(screen.process.pid))]
            at, counts = self._watch(run, minutes, sides, screen)
            self.guarded("the attached screen", lambda: follows(screen, steps))
            stopped = self.command("stop", str(run))
            if stopped.returncode or worker.wait(timeout=60):
                self.failed(f"stop: {stopped.returncode}, the worker {worker.returncode}: {stopped.stderr}")
            self.guarded("the screen saw no end", lambda: screen.until("stopped") and None)
            screen.send("q")
            if screen.process.wait(timeout=60):
                self.failed(f"the attached screen left with {screen.process.returncode}:\n{screen.text()}")
        finally:
            screen.close()
            if worker.poll() is None:
                worker.kill()
            log.close()
        if said := (self.folder / "worker.err").read_text():
            self.failed(f"the worker said: {said[:500]}")
        return run, at, sides, counts

    def _watch(
        self, run: Path, minutes: float, sides: list[Side], screen: PseudoTerminal
    ) -> tuple[list[float], list[int]]:
        at: list[float] = []
        counts: list[int] = []
        steps, events = run / "steps.bin", run / "events.jsonl"
        self._begin = begin = time.monotonic()
        visitor: threading.Thread | None = None
        minute = 0
        while (elapsed := time.monotonic() - begin) < 60 * minutes:
            try:
                for side in sides:
                    side.look()
            except psutil.Error as error:
                self.failed(f"a process is gone: {error}")
                break
            at.append(elapsed / 60)
            counts.append(steps.stat().st_size // DTYPE.itemsize)
            screen.since(0)  # waits for a chunk that is being added
            screen.chunks.clear()  # an hour of drawing is not to be kept
            if elapsed >= 60 * minute:
                worker, attached = sides
                print(
                    f"minute {minute}: step {counts[-1]:,}, steps.bin {counts[-1] * DTYPE.itemsize / 1e6:.0f} MB, "
                    f"events.jsonl {events.stat().st_size / 1e3:.0f} KB; worker {worker.rss[-1] / 1e3:.1f} MB, "
                    f"{worker.fds[-1]} fds, {worker.threads[-1]} threads; screen {attached.rss[-1] / 1e3:.1f} MB, "
                    f"{attached.fds[-1]} fds, {attached.threads[-1]} threads; {self.attached} visits, "
                    f"{self.edited} edits, {len(self.failures)} failures",
                    flush=True,
                )
                if visitor and visitor.is_alive():
                    self.failed("a visitor needs more than a minute")
                else:
                    visitor = threading.Thread(target=self._minute, args=(run, minute), daemon=True)
                    visitor.start()
                minute += 1
            time.sleep(max(0.0, SAMPLE_EVERY * len(at) - (time.monotonic() - begin)))
        if visitor:
            visitor.join(timeout=180)
        return at, counts

    def _minute(self, run: Path, minute: int) -> None:
        self.guarded("a visitor", lambda: self.visit(run))
        if minute % EDIT_EVERY == 0:
            self.guarded("an edit", lambda: self.edit(run, minute))

    def check(self, run: Path) -> int:
        """Every record, every event, and a resume to the end. Returns the number of records before the resume."""
        told = status.read(run)
        records = self._unbroken(run)
        if told is None or (told.state, told.step) != ("stopped", records):
            self.failed(f"{records:,} records, and the status says {told}")
        resumed = self.command("resume", str(run), "--steps", str(records + AFTER), "--quiet")
        if resumed.returncode:
            self.failed(f"resume: {resumed.stderr}")
        told = status.read(run)
        if told is None or (told.state, told.step) != ("done", records + AFTER):
            self.failed(f"after the resume the status says {told}")
        if self._unbroken(run) != records + AFTER:
            self.failed("the resumed run has not made its steps")
        edits = 0
        for number, line in enumerate((run / "events.jsonl").read_bytes().splitlines(keepends=True), 1):
            try:
                if not line.endswith(b"\n"):
                    raise ValueError("torn")
                told = json.loads(line)
                edits += told["type"] == "edit" and "optimizer.lr" in told["changes"]
            except (ValueError, KeyError) as error:
                self.failed(f"events.jsonl:{number}: {error}: {line[:80]!r}")
        if edits != self.edited:
            self.failed(f"{self.edited} edits were applied, events.jsonl tells {edits}")
        if left := [path.name for path in (run / "commands").iterdir()]:
            self.failed(f"left in commands/: {left}")
        return records

    def _unbroken(self, run: Path) -> int:
        """Record i is step i, and each goes on where the one before ended."""
        size = (run / "steps.bin").stat().st_size
        if size % DTYPE.itemsize:
            self.failed(f"steps.bin: {size:,} bytes are no whole records")
        n = size // DTYPE.itemsize
        records = np.memmap(run / "steps.bin", DTYPE, "r", shape=(n,))
        for begin in range(0, n, 1_000_000):
            part = records[begin : begin + 1_000_000]
            expected = np.arange(begin, begin + len(part), dtype=np.uint64)
            for name, values in (("step", expected), ("rows_before", expected), ("tokens", expected + 1)):
                if (wrong := np.flatnonzero(part[name] != values)).size:
                    self.failed(f"record {begin + wrong[0]:,}: {name} is {part[name][wrong[0]]:,}")
                    return n
        return n


def is_painted(text: str) -> bool:
    """The state, the rows and the curve."""
    return "running" in text and "predictions" in text and sum("⠀" < c <= "⣿" for c in text) > 30


def step_shown(text: str) -> int:
    line = next(line for line in text.splitlines() if "step " in line and "/" in line)
    return int(line.partition("step ")[2].partition("/")[0].replace(",", ""))


def follows(terminal: PseudoTerminal, steps: Path) -> None:
    """The screen shows a step that is at most two seconds old."""
    before = steps.stat().st_size // DTYPE.itemsize
    time.sleep(2)
    shown = step_shown(terminal.text())
    if shown < before:
        raise AssertionError(f"it shows step {shown:,}, two seconds ago there were {before:,}")


def table(soak: Soak, minutes: list[float], sides: list[Side], counts: list[int], records: int) -> None:
    spent = minutes[-1] or float("nan")
    tenth = max(1, len(counts) // 10)

    def rate(values: list[int], at: list[float]) -> float:
        return (values[-1] - values[0]) / (60 * (at[-1] - at[0]) or float("nan"))

    first, last = (rate(counts[part], minutes[part]) for part in (slice(tenth + 1), slice(-tenth - 1, None)))
    print(f"\n| {spent:.1f} minutes, {records:,} steps, {rate(counts, minutes):,.0f} steps/s | worker | screen |")
    print("|---|---|---|")
    rows: list[tuple[str, Callable[[Side], str]]] = [
        *(
            (f"RSS at {what}, MB", lambda side, i=i: f"{side.rss[i] / 1e3:.1f}")
            for what, i in (("10%", tenth - 1), ("50%", len(minutes) // 2), ("the end", -1))
        ),
        ("PSS at the end, MB", lambda side: f"{side.pss[-1] / 1e3:.1f}"),
        ("slope of RSS, KB/min", lambda side: f"{slope(minutes, side.rss):+.1f}"),
        ("slope of PSS, KB/min", lambda side: f"{slope(minutes, side.pss):+.1f}"),
        ("descriptors, least and most", lambda side: f"{min(side.fds)}, {max(side.fds)}"),
        ("threads, least and most", lambda side: f"{min(side.threads)}, {max(side.threads)}"),
        ("processor, % of a core", lambda side: f"{100 * side.seconds / (60 * spent):.0f}"),
    ]
    for name, value in rows:
        print(f"| {name} | {' | '.join(value(side) for side in sides)} |")
    print(f"\nsteps/s in the first tenth {first:,.0f}, in the last {last:,.0f}; slopes leave out the first tenth")
    late = soak.taken[-max(1, len(soak.taken) // 10) :]
    if late:
        print(f"attached and left {soak.attached} times; the curve was there after {soak.taken[0]:.2f} s at first,")
        print(f"after {sum(late) / len(late):.2f} s in the last tenth; {soak.edited} edits")
    print(f"failures: {len(soak.failures)}", *soak.failures, sep="\n  ")


def main() -> None:
    try:
        minutes = float(sys.argv[1])
    except (IndexError, ValueError):
        raise SystemExit(__doc__) from None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the folder goes too
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    os.environ.setdefault("WORKBENCH_CACHE", str(folder / "cache"))
    shutil.copytree(Path(workbench.__file__).parent, folder / "code" / "workbench")  # who edits it meanwhile, edits on
    os.environ["PYTHONPATH"] = str(folder / "code")
    try:
        soak = Soak(folder)
        run, at, sides, counts = soak.train(minutes)
        records = soak.check(run)
        size = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
        table(soak, at, sides, counts, records)
        print(f"written: {size / 1e6:,.0f} MB, deleted now")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(bool(soak.failures))


if __name__ == "__main__":
    main()
