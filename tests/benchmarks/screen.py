"""The screen's budgets (DESIGN, section 8), measured from outside through a pseudo-terminal of 120×35.

    python tests/benchmarks/screen.py [paint] [keys] [link] [edit] [killed] [traffic] [memory] [attach] [pace]

Without arguments everything but `memory`, which takes eleven minutes, is measured. A run of the `char` preset
trains on the same cores while keys, traffic and memory are measured.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

import long_runs
from pseudo_terminal import PseudoTerminal

from workbench.runs import directory, status
from workbench.runs.records import DTYPE


def quantile(values: list[float], q: float) -> float:
    return sorted(values)[min(len(values) - 1, round(q * (len(values) - 1)))]


def rows_are_there(text: str) -> bool:
    """The batch pane shows rows: an x and a y, and what they are counted as."""
    return "predictions" in text


def curve_is_there(text: str) -> bool:
    return sum("⠀" < c <= "⣿" for c in text) > 30


@contextmanager
def training(runs: Path, delay: float = 0.0) -> Iterator[PseudoTerminal]:
    """A screen that watches a run of `char` train, from its first seconds on; the run is stopped afterwards."""
    terminal = PseudoTerminal(["char", "--runs-dir", str(runs), "--set", "steps=1000000"], delay=delay)
    try:
        terminal.until(rows_are_there)
        terminal.send(" ")
        terminal.until(lambda text: "training" in text and "step 0/" not in text, timeout=60)
        time.sleep(3)
        yield terminal
    finally:
        terminal.close()
        for run in runs.iterdir():
            subprocess.run([sys.executable, "-m", "workbench", "stop", str(run)], capture_output=True, check=False)


def paint(folder: Path) -> None:
    """From the command to the rows; from space to the first point of the curve."""
    rows, points = [], []
    for _ in range(5):
        terminal = PseudoTerminal(["char", "--runs-dir", str(folder / "paint")])
        rows.append(terminal.seconds_until(rows_are_there))
        terminal.close()
    for cold in (True, False, False):
        env = {"WORKBENCH_CACHE": str(folder / "cold-cache")} if cold else {}
        terminal = PseudoTerminal(["char", "--runs-dir", str(folder / "paint")], env=env)
        first = terminal.seconds_until(rows_are_there)
        points.append(terminal.seconds_until(lambda text: "training" in text and curve_is_there(text), " ", timeout=90))
        terminal.close()
        run = directory.find(folder / "paint", "last")
        subprocess.run([sys.executable, "-m", "workbench", "stop", str(run)], capture_output=True, check=False)
        print(f"  {'cold' if cold else 'warm'}: rows after {first:.2f} s, first point {points[-1]:.1f} s after space")
    print(
        f"first paint, with the rows: median {statistics.median(rows):.2f} s of {', '.join(f'{r:.2f}' for r in rows)}"
    )


def keys(folder: Path, delay: float = 0.0) -> None:
    """Two keys whose effect is a text: the footer of the focused pane."""
    with training(folder / f"keys{delay:g}", delay) as terminal:
        terminal.seconds_until(lambda text: "lock" in text.splitlines()[-1], "4")
        taken = []
        for _ in range(100):
            for key, word in (("1", "open file"), ("4", "lock")):
                taken.append(terminal.seconds_until(lambda text, w=word: w in text.splitlines()[-1], key))
                time.sleep(0.037)
        link = f" through a link of {delay * 1000:.0f} ms each way (taken off)" if delay else ""
        own = [1000 * (t - 2 * delay) for t in taken]
        print(f"a key{link}: median {statistics.median(own):.0f} ms, 99th percentile {quantile(own, 0.99):.0f} ms")


def edit(folder: Path) -> None:
    """From `a` to the first record with the new lr in steps.bin: the command, its step, and the flush."""
    with training(folder / "edit") as terminal:
        (steps,) = (folder / "edit").glob("*/steps.bin")
        taken = []
        for key in "/*/*/*/*":
            terminal.send(key)
            terminal.until("1 staged")
            before = _last_lr(steps)
            begin = terminal.send("a")
            while abs(_last_lr(steps) / before - 1) < 0.5:
                time.sleep(0.002)
            taken.append(1000 * (time.perf_counter() - begin))
            time.sleep(0.5)
        print(f"an edit, from the key to its record: median {statistics.median(taken):.0f} ms,", end=" ")
        print(f"{min(taken):.0f} to {max(taken):.0f}")


def _last_lr(steps: Path) -> float:
    size = steps.stat().st_size // DTYPE.itemsize * DTYPE.itemsize
    with steps.open("rb") as file:
        return float(np.frombuffer(os.pread(file.fileno(), DTYPE.itemsize, size - DTYPE.itemsize), DTYPE)["lr"][0])


def killed(folder: Path) -> None:
    """From a SIGKILL of the worker to the word `lost`."""
    taken = []
    for turn in range(5):
        with training(folder / f"killed{turn}") as terminal:
            found = status.read(directory.find(folder / f"killed{turn}", "last"))
            assert found is not None
            time.sleep(0.07 * turn)
            begin = time.perf_counter()
            os.kill(found.pid, signal.SIGKILL)
            terminal.until("lost")
            taken.append(time.perf_counter() - begin)
    print(f"a dead worker is told after {statistics.median(taken):.2f} s, at most {max(taken):.2f}")


def traffic(folder: Path) -> None:
    """Bytes to the terminal and processor time over a minute of watching."""
    with training(folder / "traffic") as terminal:
        process = psutil.Process(terminal.process.pid)
        begin, used = time.perf_counter(), sum(process.cpu_times()[:2])
        time.sleep(60)
        end, now = time.perf_counter(), sum(process.cpu_times()[:2])
        sent = sum(len(data) for _, data in terminal.since(begin, end))
        print(f"to the terminal: {sent / (end - begin) / 1000:.2f} KB/s")
        print(f"processor: {100 * (now - used) / (end - begin):.1f}% of one core")
        print(f"memory: {process.memory_info().rss / 1e6:.0f} MB resident")


def memory(folder: Path) -> None:
    with training(folder / "memory") as terminal:
        process = psutil.Process(terminal.process.pid)
        for minute in range(1, 11):
            time.sleep(60)
            if minute in (1, 5, 10):
                print(f"memory after {minute} min: {process.memory_info().rss / 1e6:.1f} MB resident")


def attach(folder: Path) -> None:
    for steps in (100_000, 1_000_000):
        run = long_runs.write(folder / "long", steps)
        taken, held = [], 0.0
        for _ in range(5):
            terminal = PseudoTerminal(["attach", str(run)])
            taken.append(
                terminal.seconds_until(
                    lambda text, n=steps: f"{n:,}/{n:,}" in text and "whole run" in text and curve_is_there(text),
                    timeout=20,
                )
            )
            time.sleep(0.5)
            held = psutil.Process(terminal.process.pid).memory_info().rss / 1e6
            terminal.close()
        print(f"attach to {steps:,} steps: median {statistics.median(taken):.2f} s, {held:.0f} MB resident")


def pace(folder: Path) -> None:
    """Steps a second with the screen attached against headless alone, alternated."""
    ratios = []
    for turn in range(4):
        alone = _pace(folder / f"alone{turn}", watched=False)
        watched = _pace(folder / f"watched{turn}", watched=True)
        ratios.append(watched / alone)
        print(f"  headless {alone:.2f}, with the screen {watched:.2f} steps/s: {ratios[-1]:.3f}")
    print(f"training with the screen attached: {statistics.median(ratios):.3f} of headless (median of {len(ratios)})")


def _pace(runs: Path, *, watched: bool) -> float:
    """Steps a second of a run of `char` between its 30th second and its start, ten seconds left out."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "workbench", "--headless", "char", "--quiet", "--runs-dir", str(runs), "--set",
         "steps=1000000", "--set", "eval.every=0", "--set", "sample.every=0", "--set", "checkpoint.every=0"],
        start_new_session=True,
    )  # fmt: skip
    while not runs.exists() or not any(runs.glob("*/steps.bin")):
        time.sleep(0.1)
    (steps,) = runs.glob("*/steps.bin")
    terminal = PseudoTerminal(["attach", str(steps.parent)], emulate=False) if watched else None
    time.sleep(8)
    begin, before = time.perf_counter(), steps.stat().st_size
    time.sleep(20)
    end, after = time.perf_counter(), steps.stat().st_size
    if terminal:
        terminal.close()
    worker.terminate()
    worker.wait()
    return (after - before) / DTYPE.itemsize / (end - begin)


PARTS: dict[str, Callable[[Path], None]] = {
    "paint": paint, "keys": keys, "link": lambda folder: keys(folder, delay=0.15), "edit": edit,
    "killed": killed, "traffic": traffic, "memory": memory, "attach": attach, "pace": pace,
}  # fmt: skip


def main() -> None:
    wanted = sys.argv[1:] or [part for part in PARTS if part != "memory"]
    if unknown := ", ".join(part for part in wanted if part not in PARTS):
        raise SystemExit(f"{unknown}: not a part; there are {', '.join(PARTS)}")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # where it is used, modules are compiled once and not at each start
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("WORKBENCH_CACHE", str(Path(folder) / "cache"))
        subprocess.run([sys.executable, "-m", "workbench", "rows", "char", "--json"], capture_output=True, check=True)
        for part in wanted:
            PARTS[part](Path(folder))


if __name__ == "__main__":
    main()
