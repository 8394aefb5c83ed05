"""Which pane stands where. A slot is a region that several panes share as tabs; every pane has exactly one."""

from dataclasses import dataclass
from typing import Literal

DATA, BATCH, STEP, KNOBS, CHARTS, SAMPLES, SYSTEM, RUNS, LAB = range(1, 10)
TITLES = {
    DATA: "Data", BATCH: "Batch", STEP: "Step", KNOBS: "Knobs", CHARTS: "Charts", SAMPLES: "Samples",
    SYSTEM: "System", RUNS: "Runs", LAB: "Lab",
}  # fmt: skip
"""The panes by the digit that focuses them."""
LESSON = 10
"""There only while a lesson is open, and reached by a key of its own: it has no digit."""
NAMES = {**TITLES, LESSON: "Lesson"}

MEDIUM, WIDE = (110, 28), (170, 45)
"""The least columns and rows of the layouts with two and three columns of panes; below them there is one."""
LEAST = 13
"""Rows under which there is no room for two panes."""

LessonForm = Literal["", "beside", "below"]
"""No lesson is open; it has a place among the panes; it stands below the one that it shows, at any size."""


@dataclass(frozen=True)
class Slot:
    """A region in cells, the panes that share it, and the one of them that is shown."""

    x: int
    y: int
    width: int
    height: int
    panes: tuple[int, ...]
    shown: int


def tab(pane: int, *, short: bool = False) -> str:
    """What stands on a pane's tab: its digit and its name; short, the digit alone. The lesson has but a name."""
    return NAMES[pane] if pane not in TITLES else str(pane) if short else f"{pane} {TITLES[pane]}"


def slots(
    width: int, height: int, *, recent: list[int], whole: bool = False, big: bool = False, lesson: LessonForm = ""
) -> list[Slot]:
    """The slots of an area in cells. `recent` holds the panes in the order in which they had the focus, the
    last one now; `whole` gives everything to that one; `big` keeps to one column at any size, its charts large.
    An open `lesson` has a slot of its own, and with it, always in sight, one at least for what it shows."""
    now = recent[-1]
    every = (*TITLES, LESSON) if lesson else tuple(TITLES)

    def slot(x: int, y: int, w: int, h: int, *panes: int) -> Slot:
        return Slot(x, y, w, h, panes, max(panes, key=lambda p: recent.index(p) if p in recent else -p))

    if whole:
        return [Slot(0, 0, width, height, every, now)]
    if lesson and height >= LEAST and (lesson == "below" or big or width < MEDIUM[0] or height < MEDIUM[1]):
        below = min(max(height * 38 // 100, 7), 16)
        return [
            slot(0, 0, width, height - below, *TITLES),
            slot(0, height - below, width, below, LESSON),
        ]
    if width >= WIDE[0] and height >= WIDE[1] and not big:
        left, right = max(44, width * 22 // 100), min(max(58, width * 41 // 100), 84)
        middle = width - left - right
        data, system, batch, samples = height * 28 // 100, 13, height * 45 // 100, height * 22 // 100
        told = height * 42 // 100 if lesson else 0
        return [
            slot(0, 0, left, data, DATA),
            slot(0, data, left, height - data - system, KNOBS),
            slot(0, height - system, left, system, SYSTEM),
            slot(left, 0, middle, height - told, CHARTS),
            *([slot(left, height - told, middle, told, LESSON)] if lesson else []),
            slot(left + middle, 0, right, batch, BATCH, STEP, LAB),
            slot(left + middle, batch, right, samples, SAMPLES),
            slot(left + middle, batch + samples, right, height - batch - samples, RUNS),
        ]
    if lesson and width >= MEDIUM[0] and height >= MEDIUM[1] and not big:
        seen = next((p for p in reversed(recent) if p != LESSON), BATCH)
        left, told = max(46, width * 40 // 100), height * 64 // 100
        lower = min(max(12, height * 42 // 100), 22) if seen not in (BATCH, STEP, LAB) else height * 55 // 100
        aside = (DATA, KNOBS, SYSTEM, RUNS)
        return [
            slot(0, 0, left, told, LESSON),
            slot(0, told, left, height - told, *aside),
            slot(left, 0, width - left, height - lower, CHARTS),
            slot(left, height - lower, width - left, lower, *(p for p in TITLES if p not in (CHARTS, *aside))),
        ]
    if width >= MEDIUM[0] and height >= MEDIUM[1] and not big:
        left = max(38, width * 33 // 100)
        upper = min(max(11, height * 36 // 100), 14)
        lower = min(max(12, height * 42 // 100), 22) if now not in (BATCH, STEP, LAB) else height * 55 // 100
        return [
            slot(0, 0, left, upper, DATA, SYSTEM, RUNS),
            slot(0, upper, left, height - upper, KNOBS),
            slot(left, 0, width - left, height - lower, CHARTS),
            slot(left, height - lower, width - left, lower, BATCH, STEP, SAMPLES, LAB),
        ]
    if height < LEAST:
        return [Slot(0, 0, width, height, every, now)]
    share = 62 if now == CHARTS else 50 if big else 36
    chart = max(6, height * share // 100)
    return [
        slot(0, 0, width, chart, CHARTS),
        slot(0, chart, width, height - chart, *(p for p in every if p != CHARTS)),
    ]
