"""How long, and in how much memory, a long run becomes charts; and what plotext takes for the same columns.

    python tests/benchmarks/charts.py [RECORDS ...]      # 100000 1000000 if none is given

Reading is measured in a process of its own; its memory is what the peak resident size grows by, NumPy already
imported. A draw is one chart, raw behind smoothed: its columns, and its rows of text. Ours and plotext's draws
alternate, the figure is the median of each, and the ratio that of the medians.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
# Of ru_maxrss: kilobytes on Linux, bytes on macOS.
UNIT = 1 if sys.platform == "darwin" else 1024
SIZES = ((80, 14), (120, 24))


def write_run(folder: Path, count: int) -> None:
    """A plausible run of `count` steps, with one spike."""
    from workbench.runs.records import DTYPE, SPIKE, StepLog

    generator, s = np.random.default_rng(1), np.arange(count)
    records = np.zeros(count, DTYPE)
    records["step"], records["tokens"] = s, 4096 * (s + 1)
    records["loss"] = 1.4 + 2.8 * np.exp(-12 * s / count) + 0.05 * generator.standard_normal(count)
    records["loss"][count // 2], records["flags"][count // 2] = 30, SPIKE
    records["lr"], records["grad_norm"] = 1e-3 * (1 - s / count), 0.5 + 0.1 * generator.random(count)
    records["seconds"] = 0.01 + 0.001 * generator.random(count)
    records["time"] = np.cumsum(records["seconds"])
    StepLog(folder).close()
    records.tofile(folder / "steps.bin")


def measure(folder: str) -> None:
    """In a process of its own: read the run, print what it took and the draws' times as JSON."""
    from workbench.screen.charts.curves import Curves, smoothed
    from workbench.screen.charts.plotting import Plot, Series, columns_of, draw

    def peak() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT

    before, began = peak(), time.perf_counter()
    curves = Curves(Path(folder))
    curves.poll()
    end = len(curves)

    def plot(width: int) -> Plot:
        n = columns_of(width)
        raw = curves.columns("loss", "step", 0, end, n)
        smooth = curves.columns(smoothed(0.99), "step", 0, end, n)
        return Plot("loss", 0, end, (Series("train", "raw", raw, "raw"), Series("0.99", "smooth", smooth)))

    draw(plot(120), 120, 24)
    told: dict[str, object] = {"first": time.perf_counter() - began, "memory": peak() - before, "draws": []}
    import plotext

    def theirs(drawn: Plot, width: int, height: int) -> None:
        raw, smooth = (series.columns for series in drawn.series)
        x = np.linspace(drawn.begin, drawn.end, len(raw.mean))
        plotext.clear_figure()
        plotext.plot_size(width, height)
        plotext.theme("clear")
        points = [p for low, high in zip(raw.low.tolist(), raw.high.tolist(), strict=True) for p in (low, high)]
        plotext.plot(np.repeat(x, 2).tolist(), points, marker="braille", label="train")
        plotext.plot(x.tolist(), smooth.mean.tolist(), marker="braille", label="0.99")
        plotext.build()

    def timed(call: Callable[[], object]) -> float:
        began = time.perf_counter()
        call()
        return time.perf_counter() - began

    draws = []
    for width, height in SIZES:
        drawn = plot(width)
        columns, ours, others = [], [], []
        for _ in range(15):
            columns.append(timed(lambda width=width: plot(width)))  # type: ignore[misc]
            ours.append(timed(lambda d=drawn, w=width, h=height: draw(d, w, h)))  # type: ignore[misc]
            others.append(timed(lambda d=drawn, w=width, h=height: theirs(d, w, h)))  # type: ignore[misc]
        draws.append([statistics.median(times) * 1e3 for times in (columns, ours, others)])
    print(json.dumps(told | {"draws": draws}))


def main() -> None:
    counts = [int(word) for word in sys.argv[1:]] or [100_000, 1_000_000]
    print("| records | read and first chart, s | memory, MB | size | columns, ms | draw, ms | plotext, ms | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="charts-") as folder:
            # Written by another process too: on Linux a child's peak is at least its parent's.
            for word in ("--write", "--measure"):
                command = [sys.executable, __file__, word, folder, str(count)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
        told = json.loads(done.stdout)
        for (width, height), (columns, ours, others) in zip(SIZES, told["draws"], strict=True):
            print(
                f"| {count:,} | {told['first']:.2f} | {told['memory'] / 1e6:.1f} | {width}×{height} "
                f"| {columns:.2f} | {ours:.2f} | {others:.1f} | {others / ours:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    if sys.argv[1:2] == ["--write"]:
        write_run(Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2])
    else:
        main()
