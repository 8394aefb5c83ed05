"""The screen on what is broken: hostile run directories, vanishing ones, full disks, two screens that steer at once.

`pytest tests/faults/test_screen_faults.py --full` makes all trials; a failing trial is named by its seed.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from faults import test_disk
from faults.hostile_runs import WAYS, damage
from strips import drawn, until
from textual.pilot import Pilot
from tiny_runs import GPT, document

from workbench import preset as presets
from workbench.preset import Loaded
from workbench.runs.events import read_events
from workbench.runs.records import StepReader
from workbench.screen.app import Workbench
from workbench.screen.bench.bench import Bench
from workbench.screen.bench.follow import Followed
from workbench.screen.runs.telling import end_of, trouble

small_disk = test_disk.small_disk
LONG = document(GPT, schedule__steps=200_000, eval__every=200_000, checkpoint__every=200_000, sample__every=200_000)
LIMIT = 20.0
"""Seconds for one trial: each takes about one."""


def trained(folder: Path, doc: dict[str, Any], *words: str) -> tuple[Path, int]:
    """A run of a real worker, to its end; its directory and exit code."""
    preset = presets.to_toml(presets.from_document(doc, source="test"))
    done = subprocess.run(
        [sys.executable, "-m", "workbench", "--headless", "-", "--quiet", "--runs-dir", str(folder), *words],
        input=preset, text=True, capture_output=True, timeout=100,
    )  # fmt: skip
    runs = sorted(folder.iterdir())
    assert runs, done.stderr
    return runs[-1], done.returncode


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run, code = trained(tmp_path_factory.mktemp("finished"), GPT)
    assert code == 0
    return run


def a_bench(runs: Path, *, run: Path | None = None, **more: Any) -> Bench:
    loaded = (
        presets.load(str(run / "preset.toml")) if run else Loaded(presets.from_document(GPT, source="test"), [], None)
    )
    bench = Bench(loaded, source="test.toml", runs=runs, **more)
    if run:
        bench.open_run(Followed(run))
    return bench


def harmless(pilot: Pilot[int]) -> str:
    """What the terminal would get, as text; nothing of it acts on a terminal or turns its text around."""
    lines = []
    for strip in pilot.app.screen._compositor.render_strips():
        text = "".join(segment.text for segment in strip)
        for character in text:
            assert character.isprintable(), f"{character!r} reaches the terminal in {text!r}"
        lines.append(text)
    return "\n".join(lines)


@contextmanager
def time_limit(seconds: float) -> Iterator[list[BaseException]]:
    """Raises TimeoutError in the midst of whatever hangs; lists what other threads died of."""
    died: list[BaseException] = []
    before = threading.excepthook
    threading.excepthook = lambda args: died.append(args.exc_value or SystemExit())

    def late(*_: object) -> None:
        raise TimeoutError(f"it hangs: {''.join(traceback.format_stack(limit=8))}")

    old = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield died
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
        threading.excepthook = before


async def walk(pilot: Pilot[int], run: Path) -> None:
    """Open one of the listed runs, and look at every pane."""
    bench, pane = pilot.app.bench, pilot.app.screen.house.pane(8)
    await pilot.press("8")
    pane._chosen = run
    pane.redraw()
    await pilot.pause()
    harmless(pilot)
    await pilot.press("enter")
    while bench.run is not None and bench.run.reading:
        await pilot.pause(0.01)
    for key in (*"123vx", "escape", *"67", "8", *"ee"):  # Knobs and Charts are always in sight
        await pilot.press(key)
        await pilot.pause()
        if pilot.app._exception:
            raise pilot.app._exception
        harmless(pilot)
    await pilot.press("e")


async def walk_all(runs: Path, todo: list[tuple[int, str, Path]]) -> None:
    """One screen on a folder of damaged runs; takes those that it has looked at off the list."""
    with time_limit(LIMIT) as died:
        bench = a_bench(runs)
        async with Workbench(bench, look="dark").run_test(size=(120, 35)) as pilot:
            await pilot.press("8")
            shelf = pilot.app.screen.house.pane(8)._shelf
            await until(pilot, lambda: shelf.found is not None or shelf.error)
            while todo:
                signal.setitimer(signal.ITIMER_REAL, LIMIT)
                await walk(pilot, todo[0][2])
                assert not died, f"a thread died: {died}"
                todo.pop(0)
        bench.close()


async def test_no_run_directory_crashes_hangs_or_speaks_to_the_terminal(
    finished: Path, tmp_path: Path, trials: Callable[..., int], tell: Callable[[str], None]
) -> None:
    """Every way of damage once, and again with other seeds: a screen of its own for each round."""
    n, failures = trials(ci=len(WAYS) // 2, full=300), []
    for first in range(0, n, len(WAYS)):
        runs, todo = tmp_path / f"from-{first}", []
        runs.mkdir()
        for seed in range(first, min(first + len(WAYS), n)):
            others = set(runs.iterdir())
            shutil.copytree(finished, runs / f"tiny-{seed}")
            what = damage(runs / f"tiny-{seed}", seed)
            (path,) = set(runs.iterdir()) - others  # it may have another name now
            todo.append((seed, what, path))
        while todo and len(failures) < 5:
            try:
                await walk_all(runs, todo)
            except Exception as error:  # noqa: BLE001 - whatever it is, the trial is named and the others go on
                seed, what, _ = todo.pop(0) if todo else (first, "the end of its round", runs)
                frames = traceback.extract_tb(error.__traceback__)[:-6:-1]
                where = " < ".join(f"{frame.filename[-30:]}:{frame.lineno}" for frame in frames)
                failures.append(f"seed {seed} ({what}): {type(error).__name__}: {str(error)[:300]} at {where}")
        shutil.rmtree(runs)
    tell(f"hostile run directories on the screen: {n} trials, {len(failures)} failures")
    assert not failures, "\n".join(failures)


async def test_one_key_goes_on_where_a_run_diverged_and_shows_the_rows_to_blame(tmp_path: Path) -> None:
    doc = document(GPT, optimizer__kind="sgd", optimizer__lr=1e6, optimizer__clip=0.0, schedule__steps=12,
                   schedule__warmup=0, schedule__kind="constant")  # fmt: skip
    run, code = trained(tmp_path / "runs", doc)
    assert code == 3
    bench = a_bench(tmp_path / "runs", run=run)
    async with Workbench(bench, look="dark").run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: bench.run and not bench.run.reading)
        await pilot.press("8")
        saved, record = bench.run.last("checkpoint")["step"], end_of(bench.run)["culprit"]["record"]
        pane = pilot.app.screen.house.pane(8)
        told = " ".join(" ".join(drawn(pane)).split())
        assert f"M goes on from step {saved} with lr = 0.1" in told
        assert "M mend" in harmless(pilot)
        assert "! culprit" in harmless(pilot)
        await pilot.press("left_square_bracket", "exclamation_mark")
        await pilot.pause()
        blamed = end_of(bench.run)["culprit"]["rows"][0]
        batch = "\n".join(drawn(pilot.app.screen.house.pane(2)))
        assert bench.step == record
        assert f"@{blamed['offset']:,}" in batch, batch
        await pilot.press("M")
        await until(pilot, lambda: bench.run.state == "done" and len(bench.run.curves) == 12, 90)
        assert bench.run.curves.last["lr"] == bench.run.live.optimizer.lr == 0.1
        assert not trouble(bench.run)
    bench.close()
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    (edit,) = (e for e in events if e["type"] == "edit")
    assert edit["changes"] == {"optimizer.lr": [1e6, 0.1]}
    assert edit["step"] == saved
    assert events[-1]["state"] == "done"


def written(run: Path, **status: Any) -> None:
    """What its worker says of itself, as a worker that lives: this process."""
    from workbench.runs import status as statuses

    found = json.loads((run / "status.json").read_text())
    found |= {
        "pid": os.getpid(),
        "started": statuses.process_start(os.getpid()),
        "uptime": time.monotonic() + 600,
        **status,
    }
    aside = run / ".status"
    aside.write_text(json.dumps(found))
    aside.rename(run / "status.json")


async def test_a_run_out_of_memory_takes_the_smaller_b_with_one_key(finished: Path, tmp_path: Path) -> None:
    """A real run that was stopped half-way by its memory: what the worker offers is what M resumes with."""
    run = tmp_path / "runs" / finished.name
    shutil.copytree(finished, run)
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    half = next(n for n, e in enumerate(lines) if e["type"] == "checkpoint" and e["step"] == 20)
    end = lines[-1] | {"state": "out-of-memory", "exit_code": 4, "step": 20, "reason": "out of memory in a step",
                       "offer": {"changes": {"batch.B": 2, "batch.accum": 2}, "why": "it fits"}}  # fmt: skip
    (run / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in [*lines[: half + 1], end]))
    data = (run / "steps.bin").read_bytes()
    (run / "steps.bin").write_bytes(data[: len(data) // 2])
    for saved in (run / "checkpoints").glob("step-*"):
        if saved.name != "step-00000020":
            shutil.rmtree(saved)
    found = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(
        json.dumps(found | {"state": "out-of-memory", "step": 20, "reason": "out of memory in a step"})
    )
    bench = a_bench(tmp_path / "runs", run=run)
    async with Workbench(bench, look="dark").run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: bench.run and not bench.run.reading)
        assert bench.offered == {"batch.B": 2, "batch.accum": 2}
        await pilot.press("M")
        await until(pilot, lambda: bench.run.state == "done" and len(bench.run.curves) == 40, 90)
        last = bench.run.curves.last
        assert (last["B"], last["accum"], last["step"]) == (2, 2, 39)
    bench.close()


async def test_a_full_disk_is_told_as_what_it_is_and_space_does_not_pretend(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / finished.name
    shutil.copytree(finished, run)
    written(run, state="paused", phase="waiting: no space left on device",
            reason="steps.bin: no space left on device; it goes on by itself when it can write again")  # fmt: skip
    bench = a_bench(tmp_path / "runs", run=run)
    async with Workbench(bench, look="dark").run_test(size=(160, 40)) as pilot:
        await until(pilot, lambda: bench.run and not bench.run.reading)
        await pilot.press("8")
        top = harmless(pilot)
        assert "waiting" in top.splitlines()[0]
        assert "no space left" in top.splitlines()[0]
        assert "goes on by itself" in top
        await pilot.press("space")
        assert list((run / "commands").iterdir()) == []
        written(run, state="running", phase="training", reason="")
        await until(pilot, lambda: bench.run.state == "running")
        await pilot.pause(0.3)
        assert "waiting" not in harmless(pilot).splitlines()[0]
    bench.close()


async def test_a_run_directory_that_vanishes_is_told_and_taken_up_when_it_comes_back(
    finished: Path, tmp_path: Path
) -> None:
    run, aside = tmp_path / "runs" / finished.name, tmp_path / "aside"
    shutil.copytree(finished, run)
    bench = a_bench(tmp_path / "runs", run=run)
    async with Workbench(bench, look="dark").run_test(size=(120, 35)) as pilot:
        await until(pilot, lambda: bench.run and not bench.run.reading)
        run.rename(aside)
        await until(pilot, lambda: bench.run.error, 20)
        assert "not there" in bench.run.error
        for key in "123456789":
            await pilot.press(key)
            harmless(pilot)
        aside.rename(run)
        await until(pilot, lambda: bench.run.state == "done" and not bench.run.error, 20)
        assert len(bench.run.curves) == 40
        data = (run / "steps.bin").read_bytes()
        (run / "steps.bin").write_bytes(data[: len(data) // 4 + 3])
        await until(pilot, lambda: len(bench.run.curves) == 10, 20)
    bench.close()


def answered(run: Path, *states: str) -> set[str]:
    """The commands that were answered so."""
    return {e["id"] for e in read_events(run) if e["type"] == "answer" and e["state"] in states}


def all_have(benches: list[Bench], lr: float) -> bool:
    return all(bench.now.optimizer.lr == lr for bench in benches)


async def test_two_screens_steer_one_run_and_show_the_same(workbench: Any) -> None:
    (workbench.folder / "p.toml").write_text(presets.to_toml(presets.from_document(LONG, source="test")))
    workbench.start("--headless", "p.toml", "--quiet", "--runs-dir", str(workbench.runs))
    workbench.until(lambda: len(StepReader(workbench.run())) > 5)
    run = workbench.run()
    benches = [a_bench(workbench.runs, run=run, read_only=n == 2) for n in range(3)]
    first, second, looker = benches
    async with (
        Workbench(first, look="dark").run_test(size=(120, 35)) as one,
        Workbench(second, look="dark").run_test(size=(120, 35)) as two,
        Workbench(looker, look="dark").run_test(size=(120, 35)) as three,
    ):
        await until(one, lambda: all(bench.run.alive and not bench.run.reading for bench in benches))
        first.change({"optimizer.lr": 2e-4, "schedule.min_lr": 1e-5})
        await one.press("a")
        await until(one, lambda: all_have(benches, 2e-4))
        second.change({"batch.accum": 2})
        await two.press("a")
        await until(one, lambda: all(bench.now.batch.accum == 2 for bench in benches))
        for _ in range(3):  # both at once, the same key
            first.change({"optimizer.lr": 3e-4})
            second.change({"optimizer.lr": 4e-4})
            await one.press("a")
            await two.press("a")
            await until(one, lambda: not first.under_way and not second.under_way)
            edits = [e for e in read_events(run) if e["type"] == "edit"]
            held = edits[-1]["changes"]["optimizer.lr"][1]
            await until(one, partial(all_have, benches, held))
        assert first.now == second.now == looker.now
        await one.press("space")
        await until(one, lambda: all(bench.run.state == "paused" for bench in benches))
        await two.press("space")
        await until(one, lambda: all(bench.run.state == "running" for bench in benches))
        edits = [e for e in read_events(run) if e["type"] == "edit"]
        looker.change({"optimizer.lr": 5e-4})
        for key in ("space", "a", "full_stop", "u"):
            await three.press(key)
        await three.pause(0.5)
        assert "read-only" in harmless(three)
        assert [e for e in read_events(run) if e["type"] == "edit"] == edits
        assert first.run.state == "running"
        assert first.now.optimizer.lr == looker.now.optimizer.lr == held
        second.send("stop")
        await until(one, lambda: all(bench.run.state == "stopped" for bench in benches))
    for bench in benches:
        bench.close()


async def test_a_preset_that_the_disk_has_no_room_for_is_told_and_the_old_one_kept(small_disk: Path) -> None:
    mine = small_disk / "mine.toml"
    mine.write_text("seed = 1\n")
    test_disk.fill(small_disk)
    bench = a_bench(small_disk / "runs")
    async with Workbench(bench, look="dark").run_test(size=(120, 35)) as pilot:
        await pilot.press("ctrl+s")
        pilot.app.screen.query_one("Input").value = str(mine)
        await pilot.press("enter")
        await until(pilot, lambda: "Overwrite?" in harmless(pilot), 10)
        await pilot.press("o")
        await until(pilot, lambda: "Save preset" in harmless(pilot), 10)
        words = str(pilot.app.screen.query_one(".words").render())
        assert words.startswith(f"{mine}: cannot be written (No space left on device); nothing is changed."), words
        await pilot.press("escape")
        assert mine.read_text() == "seed = 1\n"
        assert {path.name for path in small_disk.iterdir()} == {"mine.toml", "ballast"}
        assert bench.path is None
    bench.close()
