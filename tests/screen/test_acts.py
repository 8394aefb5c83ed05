"""What the general keys ask before they act, and what they never do."""

import json
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList, Static

from workbench.screen.dialogs.base import Choice


def question(pilot: Pilot[int]) -> tuple[str, dict[str, str]]:
    """The open question's words and its answers."""
    asked = pilot.app.screen
    assert isinstance(asked, Choice)
    listed = asked.query_one(OptionList)
    options = [listed.get_option_at_index(n) for n in range(listed.option_count)]
    words = str(asked.query_one(".words", Static).content)
    return words, {str(option.id): str(option.prompt).partition("  ")[2] for option in options}


def sent(run: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((run / "commands").glob("*.json"))]


@pytest.fixture
def launched(monkeypatch: Any) -> list[list[str]]:
    """The words of the workers that would have been started; none is."""
    words: list[list[str]] = []

    def start(arguments: list[str], **more: Any) -> None:
        words.append(list(arguments))

    monkeypatch.setattr("workbench.screen.bench.bench.Launch", start)
    return words


async def test_a_diverged_run_is_offered_a_lower_lr_than_its_checkpoint_had(
    app: Any, made_run: Any, launched: list[list[str]]
) -> None:
    """The edit that made it diverge came after the checkpoint at 200, so a resume goes back behind it."""
    run = made_run(records=290, state="diverged", reason="the loss of record 289 is nan; the update was not applied",
                   edit=0, events=(("edit", {"step": 280, "id": "e", "changes": {"optimizer.lr": [1e-3, 1e3]},
                                             "base": {"row": 0, "token": 0, "epoch": 0}}),))  # fmt: skip
    async with app(run=run) as pilot:
        await pilot.press("space")
        await pilot.pause()
        words, answers = question(pilot)
        assert "the loss of record 289 is nan" in words
        assert "M goes on from step 200 with lr = 1e-4" in words
        assert answers["r"] == "resume it from step 200"
        assert answers["m"] == "resume it from step 200 with lr = 1e-4"
        await pilot.press("m")
        await pilot.pause()
        assert launched == [["resume", str(run), "--set", "lr=1e-4"]]


async def test_a_finished_run_with_more_steps_is_asked_about_and_one_without_starts_anew(
    app: Any, made_run: Any, launched: list[list[str]]
) -> None:
    run = made_run(records=300)
    async with app(run=run) as pilot:
        pilot.app.bench.change({"schedule.steps": 500})
        await pilot.press("space")
        await pilot.pause()
        assert question(pilot)[1]["r"] == "resume it from step 300 with steps = 500"
        await pilot.press("escape")
        assert launched == []
        await pilot.press("R")
        await pilot.pause()
        assert launched == [["resume", str(run), "--set", "steps=500"]]


async def test_quick_presses_go_through_the_paces_and_end_at_the_slowest(app: Any, made_run: Any) -> None:
    run = made_run(records=50, state="running", edit=0)
    async with app(run=run) as pilot:
        await pilot.press("minus", "minus", "minus", "minus")
        assert [c["rate"] for c in sent(run) if c["command"] == "pace"] == [100.0, 10.0, 1.0]
        await pilot.press("equals_sign")
        assert [c["rate"] for c in sent(run) if c["command"] == "pace"][-1] == 10.0


async def test_leaving_a_paused_run_does_not_call_it_training(app: Any, made_run: Any) -> None:
    run = made_run(records=50, state="paused", edit=0)
    async with app(run=run) as pilot:
        await pilot.press("q")
        await pilot.pause()
        assert question(pilot)[0] == f"{run.name} is paused: it waits."
