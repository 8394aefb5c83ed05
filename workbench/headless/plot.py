"""The loss curve in characters, for the end of a run on a terminal."""

import os
import shutil
from pathlib import Path

import numpy as np

from workbench.runs.events import read_events
from workbench.runs.records import StepReader


def loss_plot(run: Path, *, height: int = 16) -> list[str]:
    """The mean loss of each column's steps, and the validation losses, as lines; none for less than two records."""
    reader, width = StepReader(run), max(40, min(shutil.get_terminal_size().columns - 1, 110))
    n = len(reader)
    columns = min(2 * width, n)
    count, step, loss = np.zeros((3, columns))
    for records in reader.pieces(0, n):
        finite = records[np.isfinite(records["loss"])]
        where = (finite["step"] * np.uint64(columns) // np.uint64(n)).astype(np.intp)
        for of_columns, values in ((count, None), (step, finite["step"]), (loss, finite["loss"])):
            of_columns += np.bincount(where, values, columns)
    if count.sum() < 2:
        return []
    import plotext  # half a second that only this plot needs

    there = count > 0
    count, step, loss = count[there], step[there], loss[there]
    plotext.clear_figure()
    plotext.plot_size(width, height)
    plotext.theme("clear")
    plotext.plot((step / count).tolist(), (loss / count).tolist(), marker="braille", label="train")
    evals = [e for e in read_events(run) if e["type"] == "eval" and e.get("val_loss") is not None]
    if evals:
        plotext.scatter([e["step"] for e in evals], [e["val_loss"] for e in evals], marker="o", label="validation")
    ticks = [round(part * n / 4) for part in range(5)]
    plotext.xlim(0, n)
    plotext.xticks(ticks, [f"{tick:,}" for tick in ticks])
    plotext.xlabel("step")
    plotext.title("loss, nats")
    text: str = plotext.build()
    if os.environ.get("NO_COLOR"):
        text = plotext.uncolorize(text)
    return [line.rstrip() for line in text.rstrip().split("\n")]
