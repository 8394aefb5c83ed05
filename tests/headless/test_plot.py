"""The plot at the end of a headless run: what is drawn, and in how much memory, from real steps.bin files."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import plotext
import pytest

from workbench.headless.plot import loss_plot
from workbench.runs.records import DTYPE, StepLog

WIDTH = 60


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[float]]:
    """The points that plotext is given; it draws them all the same."""
    monkeypatch.setenv("COLUMNS", str(WIDTH + 1))
    given: dict[str, list[float]] = {}
    real = plotext.plot

    def plot(x: list[float], y: list[float], **more: Any) -> None:
        given["x"], given["y"] = x, y
        real(x, y, **more)

    monkeypatch.setattr(plotext, "plot", plot)
    return given


def write(folder: Path, loss: Any) -> Path:
    records = np.zeros(len(loss), DTYPE)
    records["step"], records["loss"] = np.arange(len(loss)), loss
    StepLog(folder).close()
    records.tofile(folder / "steps.bin")
    return folder


def test_a_short_run_is_drawn_record_by_record(tmp_path: Path, drawn: dict[str, list[float]]) -> None:
    lines = loss_plot(write(tmp_path, [3.0, np.nan, 2.0, np.inf, 1.0]))
    assert drawn == {"x": [0, 2, 4], "y": [3, 2, 1]}
    assert "loss, nats" in lines[0]
    assert len(lines) == 16


@pytest.mark.parametrize("loss", [[], [1.0], [1.0, np.nan]])
def test_less_than_two_losses_are_no_plot(tmp_path: Path, loss: list[float]) -> None:
    assert loss_plot(write(tmp_path, loss)) == []


def test_a_long_run_is_the_mean_of_each_column_in_no_memory(tmp_path: Path, drawn: dict[str, list[float]]) -> None:
    loss = 1.5 + np.random.default_rng(0).random(360_000)
    loss[5000:7000] = np.nan
    run = write(tmp_path, loss)  # 30 MB
    loss_plot(run)
    tracemalloc.start()
    try:
        loss_plot(run)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000
    columns = loss.reshape(2 * WIDTH, 3000)
    np.testing.assert_allclose(drawn["y"], np.nanmean(columns, axis=1))
    assert drawn["x"][0] == 1499.5
    assert drawn["x"][2] > 7499.5  # of the finite ones alone
