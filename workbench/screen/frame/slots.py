"""Which pane stands where. A slot is a region that several panes share as tabs; every pane has exactly one."""

from dataclasses import dataclass

DATA, BATCH, STEP, KNOBS, CHARTS, SAMPLES, SYSTEM, RUNS = range(1, 9)
TITLES = {
    DATA: "Data", BATCH: "Batch", STEP: "Step", KNOBS: "Knobs", CHARTS: "Charts", SAMPLES: "Samples",
    SYSTEM: "System", RUNS: "Runs",
}  # fmt: skip
"""The panes by the digit that focuses them."""

MEDIUM, WIDE = (110, 28), (170, 45)
"""The least columns and rows of the layouts with two and three columns of panes; below them there is one."""


@dataclass(frozen=True)
class Slot:
    """A region in cells, the panes that share it, and the one of them that is shown."""

    x: int
    y: int
    width: int
    height: int
    panes: tuple[int, ...]
    shown: int


def slots(width: int, height: int, *, recent: list[int], whole: bool = False, big: bool = False) -> list[Slot]:
    """The slots of an area in cells. `recent` holds the panes in the order in which they had the focus, the
    last one now; `whole` gives everything to that one; `big` keeps to one column at any size, its charts large."""
    now = recent[-1]
    every = tuple(TITLES)

    def slot(x: int, y: int, w: int, h: int, *panes: int) -> Slot:
        return Slot(x, y, w, h, panes, max(panes, key=lambda p: recent.index(p) if p in recent else -p))

    if whole:
        return [Slot(0, 0, width, height, every, now)]
    if width >= WIDE[0] and height >= WIDE[1] and not big:
        left, right = max(44, width * 22 // 100), min(max(58, width * 41 // 100), 84)
        middle = width - left - right
        data, system, batch, samples = height * 28 // 100, 13, height * 45 // 100, height * 22 // 100
        return [
            slot(0, 0, left, data, DATA),
            slot(0, data, left, height - data - system, KNOBS),
            slot(0, height - system, left, system, SYSTEM),
            slot(left, 0, middle, height, CHARTS),
            slot(left + middle, 0, right, batch, BATCH, STEP),
            slot(left + middle, batch, right, samples, SAMPLES),
            slot(left + middle, batch + samples, right, height - batch - samples, RUNS),
        ]
    if width >= MEDIUM[0] and height >= MEDIUM[1] and not big:
        left = max(38, width * 33 // 100)
        upper = min(max(11, height * 36 // 100), 14)
        lower = min(max(12, height * 42 // 100), 22) if now not in (BATCH, STEP) else height * 55 // 100
        return [
            slot(0, 0, left, upper, DATA, SYSTEM, RUNS),
            slot(0, upper, left, height - upper, KNOBS),
            slot(left, 0, width - left, height - lower, CHARTS),
            slot(left, height - lower, width - left, lower, BATCH, STEP, SAMPLES),
        ]
    if height < 13:  # no room for two
        return [Slot(0, 0, width, height, every, now)]
    share = 62 if now == CHARTS else 50 if big else 36
    chart = max(6, height * share // 100)
    return [
        slot(0, 0, width, chart, CHARTS),
        slot(0, chart, width, height - chart, *(p for p in every if p != CHARTS)),
    ]
