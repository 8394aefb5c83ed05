"""The loss curve in characters, for the end of a run on a terminal."""

import os
import shutil
from pathlib import Path

import numpy as np

from workbench.runs.events import read_events
from workbench.runs.records import StepReader


def loss_plot(run: Path, *, height: int = 16) -> list[str]:
    """The mean loss of each column's steps, and the validation losses, as lines; none for less than two records."""
    losses = StepReader(run).read()["loss"]
    finite = np.isfinite(losses)
    if finite.sum() < 2:
        return []
    import plotext  # half a second that only this plot needs

    width = max(40, min(shutil.get_terminal_size().columns - 1, 110))
    columns = np.array_split(np.flatnonzero(finite), min(2 * width, int(finite.sum())))
    plotext.clear_figure()
    plotext.plot_size(width, height)
    plotext.theme("clear")
    steps = [float(c.mean()) for c in columns]
    plotext.plot(steps, [float(losses[c].mean()) for c in columns], marker="braille", label="train")
    evals = [e for e in read_events(run) if e["type"] == "eval" and e.get("val_loss") is not None]
    if evals:
        plotext.scatter([e["step"] for e in evals], [e["val_loss"] for e in evals], marker="o", label="validation")
    ticks = [round(part * len(losses) / 4) for part in range(5)]
    plotext.xlim(0, len(losses))
    plotext.xticks(ticks, [f"{tick:,}" for tick in ticks])
    plotext.xlabel("step")
    plotext.title("loss, nats")
    text: str = plotext.build()
    if os.environ.get("NO_COLOR"):
        text = plotext.uncolorize(text)
    return [line.rstrip() for line in text.rstrip().split("\n")]
