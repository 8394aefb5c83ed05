"""The Samples pane: what it shows of a run, how it is scrubbed, and how a run ends."""

import json

import pytest
from strips import HOSTILE, SIZES, drawn, until

from workbench.screen.frame.slots import SAMPLES
from workbench.screen.samples.samples import duration, last_at, samples_of


def pane_of(pilot):
    return pilot.app.screen_stack[0].house.pane(SAMPLES)


def told(step, text="x", prompt="\n"):
    return {"type": "sample", "step": step, "prompt": prompt, "text": text}


def test_samples_carry_the_loss_of_their_own_step():
    events = [
        told(0),
        {"type": "eval", "step": 0, "val_loss": 3.3},
        told(5),
        {"type": "eval", "step": 9, "val_loss": 2.0},
    ]
    assert [(s.step, s.val_loss) for s in samples_of(events)] == [(0, 3.3), (5, None)]


def test_the_last_sample_at_or_before_a_step():
    samples = samples_of([told(step) for step in (10, 20, 30)])
    assert [last_at(samples, step) for step in (0, 10, 19, 20, 29, 30, 1000)] == [0, 0, 0, 1, 1, 2, 2]
    assert last_at([], 5) == 0


@pytest.mark.parametrize(("seconds", "shown"), [(8.34, "8.3 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")])
def test_durations(seconds, shown):
    assert duration(seconds) == shown


async def test_before_a_run_it_says_when_the_first_sample_comes(app):
    async with app("to-be") as pilot:
        await pilot.press("6")
        await pilot.pause()
        assert "The first sample comes at step 0" in drawn(pane_of(pilot))[0]


async def test_it_scrubs_and_follows_the_newest_again(app, made_run):
    async with app(run=made_run(state="running", records=500), size=(80, 24)) as pilot:
        await until(pilot, lambda: pilot.app.bench.alive)
        await pilot.press("6")
        await pilot.pause()
        lines = drawn(pane_of(pilot))
        assert lines[0].startswith("step 500 · sample 4 of 4 · val loss 1.2941")
        assert lines[1:3] == ["↵500 times 2 is 1000.", ""]
        assert lines[3].startswith("step 400 · val loss")  # the timeline goes on below
        await pilot.press("left", "left")
        await pilot.pause()
        assert drawn(pane_of(pilot))[0].startswith("step 200 · sample 2 of 4")
        await pilot.press("right", "right")
        await pilot.pause()
        assert pane_of(pilot)._at is None
        pilot.app.screen.cursor_moved(399)
        await pilot.pause()
        assert drawn(pane_of(pilot))[0].startswith("step 200 · sample 2 of 4")
        pilot.app.screen.cursor_moved(400)
        await pilot.pause()
        assert drawn(pane_of(pilot))[0].startswith("step 400 · sample 3 of 4")
        await pilot.press("escape")
        await pilot.pause()
        assert drawn(pane_of(pilot))[0].startswith("step 500")


async def test_a_sample_is_asked_for(app, made_run):
    run = made_run(state="running", records=20)
    async with app(run=run) as pilot:
        await until(pilot, lambda: pilot.app.bench.alive)
        await pilot.press("6", "n")
        asked = [json.loads(path.read_text())["command"] for path in (run / "commands").glob("*.json")]
        assert asked.count("sample") == 1


@pytest.mark.parametrize("size", SIZES)
async def test_the_end_card_says_how_it_went_and_how_to_do_it_again(app, made_run, size):
    run = made_run(records=500, edit=False)
    async with app(run=run, size=size) as pilot:
        await until(pilot, lambda: pilot.app.bench.run.over)
        await pilot.press("6", "0")
        await pilot.pause()
        text = " ".join(" ".join(drawn(pane_of(pilot))).split())
        assert "✓ done" in text
        assert "step 500 of 500" in text
        assert "val loss 1.2" in text
        assert "perplexity 3.6" in text
        assert "time 5.0 s" in text
        assert "workbench --headless" in text or (size[0] < 80 and "y copies" in text)
        assert "500 times 2 is 1000." in text


async def test_a_run_that_failed_says_why(app, made_run):
    async with app(run=made_run(records=50, state="diverged", reason="the loss is not finite")) as pilot:
        await until(pilot, lambda: pilot.app.bench.run.over)
        await pilot.press("6", "0")
        await pilot.pause()
        text = "\n".join(drawn(pane_of(pilot)))
        assert "✗ diverged" in text
        assert "the loss is not finite" in text


@pytest.mark.parametrize("size", SIZES)
async def test_hostile_samples_are_drawn_harmless_at_every_size(app, made_run, size):
    hostile = [("sample", {"step": 50, "prompt": HOSTILE[:60], "text": HOSTILE * 5}),
               ("sample", {"step": 50, "prompt": "e", "text": "\u0301\u0301\u0301" + HOSTILE * 5})]  # fmt: skip
    async with app(run=made_run(records=50, state="running", events=tuple(hostile)), size=size) as pilot:
        await pilot.press("6")
        for keys in ([], ["left"], ["0"]):
            await pilot.press(*keys)
            await pilot.pause()
            assert any("sample" in line for line in drawn(pane_of(pilot)))


async def test_a_long_sample_is_cut_with_a_mark_and_the_caption_says_so(app, made_run):
    long = (("sample", {"step": 50, "prompt": "\n", "text": "word " * 2000}),)
    async with app(run=made_run(records=50, state="running", events=long), size=(80, 24)) as pilot:
        await pilot.press("6")
        await pilot.pause()
        lines = drawn(pane_of(pilot))
        assert lines[-1].endswith("…")
        assert "more lines" in pane_of(pilot).caption()
