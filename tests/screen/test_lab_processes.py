"""The Lab pane: what it starts ends with it, and what it complains of is told."""

import asyncio
import json
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest
from strips import until

from tests.screen.lab_told import FIT, PROBES, TINY, footer, pane, shown, tell
from workbench import preset as presets
from workbench.screen.frame.slots import LAB
from workbench.screen.lab.asking import Asking


@pytest.mark.slow
async def test_a_real_check_is_asked_heard_and_told(app: Any) -> None:
    async with app(TINY, size=(120, 35)) as pilot:
        await pilot.press("9", "c", "enter")
        await until(pilot, lambda: pane(pilot).asking)
        assert "x ends it" in shown(pilot)
        assert "x end it" in footer(pilot)
        await pilot.press("f", "r")
        await pilot.pause()
        assert pane(pilot).asking.words[0] == "check", "one at a time"
        await pilot.press("c")
        await until(pilot, lambda: pane(pilot).view.results, timeout=60)
        await until(pilot, lambda: pane(pilot).asking.code is not None)
        assert "8×8" in shown(pilot)
        assert "✓ it holds" in shown(pilot)


async def test_what_a_process_complains_of_is_told(app: Any) -> None:
    async with app(TINY | {"device": {"name": "cuda:9"}}, size=(120, 35)) as pilot:
        await pilot.press("9", "f", "r")
        await until(pilot, lambda: pane(pilot).asking and pane(pilot).asking.code is not None, timeout=60)
        assert "✗ " in shown(pilot)
        assert "cuda" in shown(pilot)
        assert "Traceback" not in pane(pilot).asking.error
        await until(pilot, lambda: any("cuda" in str(n.message) for n in pilot.app._notifications))


async def test_what_can_be_read_in_the_pane_is_not_told_again(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with app("char", size=(120, 35)) as pilot:
        told: list[str] = []
        monkeypatch.setattr(pilot.app.bench, "tell", lambda text, level="said": told.append(text))
        await pilot.press("9", "f")
        lab, over = pane(pilot), SimpleNamespace(code=0, error="", cancelled=False, seconds=1.0, close=lambda: None)
        lab.asking = cast(Asking, over)
        tell(pilot, *PROBES, FIT)
        lab._is_over(lab.view, lab.asking)
        assert told == []
        await pilot.press("p")
        lab._is_over(lab.views["fit"], lab.asking)
        await pilot.press("2")
        lab._is_over(lab.view, lab.asking)
        assert [text[:8] for text in told] == ["fit: The"]


async def test_ending_it_ends_its_children_too(app: Any) -> None:
    async with app(TINY, size=(120, 35)) as pilot:
        await pilot.press("9", "f", "r")
        await until(pilot, lambda: pane(pilot).asking)
        process = psutil.Process(pane(pilot).asking.pid)
        await until(pilot, lambda: process.children(recursive=True), timeout=30)
        family = [process, *process.children(recursive=True)]
        await pilot.press("x")
        await until(pilot, lambda: pane(pilot).asking.code is not None)
        await until(pilot, lambda: not any(_there(it) for it in family))
        assert "it was ended before it was done" in shown(pilot)


async def test_nothing_is_left_behind_when_the_screen_goes(app: Any) -> None:
    async with app(TINY, size=(120, 35)) as pilot:
        await pilot.press("9", "c", "r")
        await until(pilot, lambda: pane(pilot).asking)
        process = psutil.Process(pane(pilot).asking.pid)
    deadline = time.monotonic() + 5
    while _there(process) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    assert not _there(process)


def test_an_asking_hears_objects_and_nothing_else(tmp_path: Path) -> None:
    """A word that is refused at once: what it says is the error, and `over` is called once."""
    over, heard = threading.Event(), []
    asking = Asking(
        ["plan", "-", "--nonsense"], presets.to_toml(presets.load("char").preset), hear=heard.append, over=over.set
    )
    assert over.wait(30)
    assert (heard, asking.code) == ([], 2)
    assert "--nonsense" in asking.error
    over.clear()
    asking = Asking(["plan", "-"], presets.to_toml(presets.load("char").preset), hear=heard.append, over=over.set)
    assert over.wait(30)
    assert (asking.code, asking.error) == (0, "")
    assert [told["type"] for told in heard] == ["plan"]
    assert json.dumps(heard)
    assert os.getpgid(os.getpid()) != asking.pid


def _there(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_keys_typed_ahead_mean_what_they_will_mean(app: Any) -> None:
    """Before the pane was drawn once, `down` stayed where it was, and enter measured instead of asking for a limit."""
    async with app("char", size=(120, 35)) as pilot:
        screen = pilot.app.screen
        screen.action_pane(LAB)
        lab = pane(pilot)
        lab.action_view("fit")
        lab.action_move(1)
        await lab.action_act()
        await pilot.pause()
        assert len(pilot.app.screen_stack) == 2
        assert lab.asking is None
