"""What each reader of a run takes for ten million steps: seconds of wall clock and of processor, and memory.

    python tests/benchmarks/readers.py [STEPS]      # 10000000 if none is given: 1.7 GB on the disk, for two runs

Prints a Markdown table. The first rows are the charts' reader in a process of its own, a zoom being one curve of 206
columns over a range that was not looked at before; then the screen, through a pseudo-terminal of 120×35 (to its rows,
then to charts that hold the whole run); then the words. Memory is the peak resident size of that process.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

COLUMNS = 206
TAIL = 1_000
UNIT = 1 if sys.platform == "darwin" else 1024
"""Of ru_maxrss: kilobytes on Linux, bytes on macOS."""
TURNS = 5


def row(what: str, wall: float, processor: float, memory: float) -> None:
    print(f"| {what} | {wall:.3g} | {processor:.3g} | {memory / 1e6:.0f} |", flush=True)


def timed(call: Callable[[], object]) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - processor


def measure_charts(run: str) -> None:
    """In a process of its own: prints [what, wall, processor, memory] of each as JSON."""
    import long_runs
    import numpy as np

    from workbench.runs.records import DTYPE
    from workbench.screen.charts.curves import Curves, smoothed

    told: list[tuple[str, float, float, int]] = []

    def add(what: str, *calls: Callable[[], object]) -> None:
        walls, processors = zip(*(timed(call) for call in calls), strict=True)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT
        told.append((what, statistics.median(walls), statistics.median(processors), memory))

    made: list[Curves] = []

    def opened() -> None:
        made[:] = [Curves(Path(run))]
        made[0].poll()

    add("charts' reader: open", *[opened] * TURNS)
    curves = made[0]
    n = len(curves)
    generator = np.random.default_rng(2)

    def grown() -> None:
        with (Path(run) / "steps.bin").open("ab") as file:
            file.write(long_runs.records(len(curves), len(curves) + TAIL, n, generator).tobytes())
        assert curves.poll()

    add(f"tail {TAIL:,} more records", *[grown] * TURNS)
    os.truncate(Path(run) / "steps.bin", n * DTYPE.itemsize)
    for width in (1_000, 10_000, 100_000, 1_000_000, n):
        places = [(n - width) * turn // TURNS for turn in range(TURNS)]
        looks = [lambda b=b, w=width: curves.columns(smoothed(0.9), "step", b, b + w, COLUMNS) for b in places]
        add(f"zoom into {width:,} steps", *looks)
    print(json.dumps(told))


def attach(run: Path, steps: int) -> None:
    """In a process of its own, as the above: the medians of several screens."""
    import psutil

    sys.path.insert(0, str(Path(__file__).parents[1]))
    from pseudo_terminal import PseudoTerminal

    rows, charts, used, memory = [], [], [], 0
    for _ in range(TURNS):
        terminal = PseudoTerminal(["attach", str(run)])
        rows.append(terminal.seconds_until(lambda text: "predictions" in text, timeout=120))
        charts.append(
            terminal.seconds_until(
                lambda text: f"{steps:,}/{steps:,}" in text and "whole run" in text and _curve(text), timeout=120
            )
        )
        process = psutil.Process(terminal.process.pid)
        used.append(sum(process.cpu_times()[:2]))
        memory = max(memory, _peak(process.pid) or process.memory_info().rss)
        terminal.close()
    what = f"`workbench attach`: the whole run's charts (the rows after {statistics.median(rows):.2f} s)"
    print(json.dumps([what, statistics.median(charts), statistics.median(used), memory]))


def _curve(text: str) -> bool:
    return sum("⠀" < c <= "⣿" for c in text) > 30


def _peak(pid: int) -> int:
    """The peak resident size, 0 where the system does not tell it."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def word(what: str, *arguments: str, code: str = "") -> None:
    """One command, its output thrown away, or a line of Python."""
    command = [sys.executable, *(["-c", code] if code else ["-m", "workbench"]), *arguments]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    row(what, time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss * UNIT)


def write(folder: str, steps: int) -> None:
    import long_runs

    for seed in (1, 2):
        print(long_runs.write(Path(folder), steps, seed=seed))


def main() -> None:
    """Knows neither NumPy nor a screen itself: on Linux a child's peak is at least what its parent was."""
    steps = int(sys.argv[1]) if sys.argv[1:] else 10_000_000
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # where it is used, modules are compiled once and not at each start
    with tempfile.TemporaryDirectory(prefix="readers-") as folder:
        run, other = _told("--write", folder, str(steps)).split()
        print(f"| {steps:,} steps | seconds | processor, s | memory, MB |\n|---|---|---|---|", flush=True)
        for told in json.loads(_told("--charts", run)):
            row(*told)
        row(*json.loads(_told("--attach", run, str(steps))))
        plot = "import sys; from pathlib import Path; from workbench.headless.plot import loss_plot; "
        word("the plot at a headless run's end", run, code=plot + "loss_plot(Path(sys.argv[1]))")
        word("`workbench runs`, two of them", "runs", "--runs-dir", folder)
        word("`workbench rows`, of the last step", "rows", run, "--step", str(steps - 1))
        word("`workbench compare`, two runs", "compare", run, other)
        word("`workbench export --csv`", "export", run, "--csv")
        word("`workbench export --jsonl`", "export", run, "--jsonl")


def _told(*arguments: str) -> str:
    return subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1:2] == ["--charts"]:
        measure_charts(sys.argv[2])
    elif sys.argv[1:2] == ["--attach"]:
        attach(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
