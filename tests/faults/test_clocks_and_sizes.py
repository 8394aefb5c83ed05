"""Clocks that jump, storms of sizes: the run goes on, and the screen shows what is there."""

import itertools
import random
import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from faults.small_runs import DOCUMENT, SEED, PseudoTerminal_of, goes_on
from tiny_runs import Train, bits, weights

from workbench.runs import directory, events, status

if TYPE_CHECKING:
    from conftest import Command

# ------------------------------------------------------------------------------------------ clocks


class Jumping(datetime):
    """The wall clock, a day before or after at every look."""

    pick = random.Random(SEED)

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + timedelta(days=cls.pick.choice((-1, 1)))


def test_a_clock_that_jumps_changes_nothing(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = train(DOCUMENT)
    seen: set[str] = set()
    true, true_ns = time.time, time.time_ns

    def jumping() -> float:
        return true() + Jumping.pick.choice((-86400, 86400))

    monkeypatch.setattr(time, "time", jumping)
    days = itertools.count()
    monkeypatch.setattr(time, "time_ns", lambda: true_ns() - next(days) * 86400 * 10**9)
    monkeypatch.setattr(events, "datetime", Jumping)
    monkeypatch.setattr(directory, "datetime", Jumping)
    original = status.Heart.tell

    def telling(heart: status.Heart, **changes: Any) -> None:
        original(heart, **changes)
        seen.add(status.observed(status.read(heart._path.parent)))

    monkeypatch.setattr(status.Heart, "tell", telling)
    edits = [{"command": "set", "changes": {"optimizer.lr": lr}, "at": 20} for lr in (0.3, 0.2, 0.05)]
    edited = train(DOCUMENT, at_start=edits)
    jumped = train(DOCUMENT)

    assert bits(jumped.records) == bits(plain.records)
    assert weights(jumped.path) == weights(plain.path)
    records = jumped.records
    assert (records["seconds"] > 0).all()
    assert records["time"][-1] == pytest.approx(records["seconds"].sum())
    assert records["time"][-1] < 60
    told = [(e["type"], e.get("step")) for e in jumped.events]
    assert told == [(e["type"], e.get("step")) for e in plain.events]
    assert seen <= {"running", "done", "starting", "stopped"}, seen
    assert edited.sent == sorted(edited.sent), "commands are read in the order in which they were sent"
    assert edited.of("edit")[-1]["changes"]["optimizer.lr"][1] == 0.05
    listed = directory.listed(plain.path.parent)
    assert {found.path for found in listed} == {plain.path, edited.path, jumped.path}
    assert {found.state for found in listed} == {"done"}
    assert directory.find(plain.path.parent, "last") == listed[-1].path == jumped.path


# ------------------------------------------------------------------------------------------ sizes


def test_a_storm_of_sizes_ends_with_the_right_picture(
    workbench_of_module: "Command", running: Path, trials: Callable[..., int], tell: Callable[[str], None]
) -> None:
    pick, n = random.Random(SEED), trials(ci=20, full=200)
    with PseudoTerminal_of(running) as terminal:
        terminal.until("predictions")
        for dialog in ("", "q"):
            if dialog:
                terminal.send(dialog)
                terminal.until("leave it running")
            for _ in range(n):
                terminal.resize(pick.randint(20, 300), pick.randint(5, 100))
                time.sleep(pick.uniform(0, 0.03))
            terminal.resize(110, 32)
            if dialog:
                terminal.until("leave it running")
                terminal.send("escape")
            terminal.until(lambda text: "predictions" in text and "leave it running" not in text)
        goes_on(running)
        assert workbench_of_module("pause", "last").returncode == 0
        with PseudoTerminal_of(running, size=(110, 32)) as fresh:
            fresh.until(lambda text: "paused" in text and "predictions" in text)
            deadline = time.monotonic() + 15
            while _still(terminal.text()) != _still(fresh.text()) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert _still(terminal.text()).splitlines() == _still(fresh.text()).splitlines()
        assert workbench_of_module("resume", "last").returncode == 0
        written = b"".join(data for _, data in terminal.chunks)
        assert b"Traceback" not in written
        terminal.send("q")
        terminal.until("leave it running")
        terminal.send("l")
        assert terminal.process.wait(timeout=30) == 0
    goes_on(running)
    tell(f"resizes of a screen in a storm: {2 * n}, half of them with a dialog open")


def _still(text: str) -> str:
    """The frames of the panes, and the last line. What is in a pane may be of another row, or another bucket of the
    curve, whose axis then has its ticks elsewhere."""
    *lines, footer = text.translate(str.maketrans("┤├┼", "│││")).splitlines()
    return "\n".join([*(re.sub(r"[^│┌┐└┘╭╮╰╯]", " ", line) for line in lines), footer])
