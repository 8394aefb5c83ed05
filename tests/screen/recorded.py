"""Records, and steps.bin files of them, for the tests of what reads those."""

from pathlib import Path
from typing import Any

import numpy as np

from workbench.runs.records import DTYPE, Records, StepLog
from workbench.screen.charts.curves import Columns, Curves


def made(count: int, seed: int = 0, **columns: Any) -> Records:
    generator, s = np.random.default_rng(seed), np.arange(count)
    records = np.zeros(count, DTYPE)
    records["step"], records["B"], records["T"], records["accum"], records["world"] = s, 4, 16, 1, 1
    records["tokens"] = np.cumsum(np.where(s < count // 2, 64, 128))  # an edit of B halfway
    records["loss"] = 1.5 + 2 * np.exp(-5 * s / count) + 0.05 * generator.standard_normal(count)
    records["lr"], records["grad_norm"] = 1e-3 * (1 - s / count), generator.random(count)
    records["seconds"] = 0.01 + 0.01 * generator.random(count)
    records["time"] = np.cumsum(records["seconds"])
    for name, values in columns.items():
        records[name] = values
    return records


def written(folder: Path, records: Records) -> Curves:
    """Followed from before its first record."""
    StepLog(folder).close()
    curves = Curves(folder)
    records.tofile(folder / "steps.bin")
    assert curves.poll() == (len(records) > 0)
    assert len(curves) == len(records)
    return curves


def append(folder: Path, records: Records) -> None:
    with (folder / "steps.bin").open("ab") as file:
        file.write(records.tobytes())


def same(a: Columns, b: Columns) -> None:
    for name in ("low", "high", "mean", "broken", "spikes"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def plainly_averaged(losses: list[float], level: float) -> list[float]:
    """Definition: m ← level·m + (1 − level)·x, divided by 1 − level^n; what is not finite is skipped."""
    m, n, averages, latest = 0.0, 0, [], float("nan")
    for x in losses:
        if np.isfinite(x):
            m, n = level * m + (1 - level) * x, n + 1
            latest = m / (1 - level**n)
        averages.append(latest)
    return averages
