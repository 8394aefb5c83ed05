"""Pictures of the screen, as SVG in snapshots/: every pane at three sizes, and the situations that people meet.

A picture that differs fails, and says how to accept it: WORKBENCH_SNAPSHOTS=write pytest tests/screen/test_snapshots.py
Everything that varies is pinned: clocks, pids, gauges, dates, paths, what the terminal is. The run is `shore`'s.
"""

import difflib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import shore
from strips import until
from textual.pilot import Pilot

from tests.screen.conftest import GONE, MadeApp, MadeBench, MadeRun, Story
from workbench import preset as presets
from workbench.data import entropy
from workbench.data.corpus import Corpus, open_kept
from workbench.lab import lessons
from workbench.plan import parameters
from workbench.runs import status
from workbench.runs.events import EventLog, event
from workbench.screen.app import Workbench
from workbench.screen.bench import text
from workbench.screen.charts import pane as charts_pane
from workbench.screen.data import pane as data_pane
from workbench.screen.frame.aside import Aside
from workbench.screen.frame.slots import LAB, STEP, TITLES
from workbench.screen.lesson.session import Session
from workbench.screen.main import Main
from workbench.screen.system import gauges
from workbench.screen.system import pane as system_pane
from workbench.screen.system.gauges import Gauges, History, Load, Sample

FOLDER = Path(__file__).parent / "snapshots"
WRITING = os.environ.get("WORKBENCH_SNAPSHOTS") == "write"
SIZES = {"80x24": (80, 24), "120x35": (120, 35), "200x60": (200, 60)}
GIB = 2**30
GROUND = re.compile(r'<rect fill="(#\w+)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="24\.65"/>')
HALF = shore.STEPS // 2
"""Records of a run that is half way."""


# ------------------------------------------------------------------------------- what is pinned


@pytest.fixture(autouse=True)
def _pinned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """One machine, one hour, one terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("TZ", "UTC")
    for name in ("NO_COLOR", "COLORTERM", "WORKBENCH_RUNS"):
        monkeypatch.delenv(name, raising=False)
    time.tzset()
    monkeypatch.setattr("socket.gethostname", lambda: "desk")
    monkeypatch.setattr(status.Status, "alive", lambda self: self.pid == PID)
    monkeypatch.setattr(status, "SILENT_AFTER", 1e9)
    monkeypatch.setattr(charts_pane, "_has_braille", lambda: True)
    monkeypatch.setattr(data_pane, "counted", lambda data: None)
    monkeypatch.setattr(text, "kept_floors", _floors)
    monkeypatch.setattr(Gauges, "sample", _sample)
    monkeypatch.setattr(system_pane, "History", _a_minute)
    monkeypatch.setattr(Main, "_heard_in_turn", _heard_at_once)
    yield
    monkeypatch.undo()
    time.tzset()


PID = 4242
NOW = Sample(
    cpu=61.0, cores=8, memory=int(5.2 * GIB), memory_total=16 * GIB, disk_free=212 * GIB, disk_total=476 * GIB,
    run_size=1_310_720, worker=Load(98.0, 412 * 2**20), screen=Load(3.0, 71 * 2**20), written=1638.0, gpus=(),
)  # fmt: skip


def _sample(self: Gauges, *_: Any) -> Sample:
    self.no_gpu = "no NVIDIA driver here"
    return NOW


async def _heard_at_once(self: Main, changed: set[str]) -> None:
    """No picture of some panes that have heard of a change and others that have not yet."""
    self.heard(changed)


def _a_minute() -> History:
    """A history that ends with NOW; a pane adds only what is not its latest."""
    at = iter(range(gauges.SPAN))
    history = History(lambda: float(next(at)))
    for n in range(gauges.SPAN - 1, -1, -1):
        wave = 1 - 0.25 * (n % 7) / 7 - 0.5 * (n > 40)
        history.add(NOW if n == 0 else replace(NOW, cpu=61.0 * wave, worker=Load(98.0 * wave, 412 * 2**20)))
    return history


@lru_cache
def _counted(corpus_text: str, sizes: tuple[int, ...]) -> entropy.Floors:
    corpus = open_kept(presets.from_document({"data": {"text": corpus_text}}, source="test").data)
    assert corpus is not None
    assert tuple(split.n for split in corpus.splits.values()) == sizes
    return entropy.floors(corpus)


def _floors(corpus: Corpus) -> entropy.Floors:
    """Counted at once, where a process of its own would bring them some time later."""
    return _counted(shore.TEXT, tuple(split.n for split in corpus.splits.values()))


# ------------------------------------------------------------------------------- the pictures


def picture(app: Any) -> str:
    """The screen as SVG, without what another export would write differently: no font to fetch, no generated ids."""
    svg = app.export_screenshot(title=" ", simplify=True)
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"terminal-\d+-", "", svg)
    # Nothing is drawn outside its cells: without clipping, the file has half the size.
    svg = re.sub(r'<clipPath id="line-\d+">.*?</clipPath>', "", svg, flags=re.DOTALL)
    svg = re.sub(r' clip-path="url\(#line-\d+\)"', "", svg)
    svg = svg.replace(' shape-rendering="crispEdges"', "").replace("<style>", "<style>rect{shape-rendering:crispEdges}")
    svg = svg.replace("Fira Code, monospace", "monospace").replace("&#160;", "\N{NO-BREAK SPACE}")
    svg = re.sub(r"(?<=>)(?=<(?:rect|text))", "\n", svg)
    return "\n".join(joined(line.strip() for line in svg.splitlines() if line.strip())) + "\n"


def joined(lines: Iterable[str]) -> Iterator[str]:
    """The lines of an SVG, neighbouring cells of one ground as one rectangle: most of a picture is ground."""
    kept: tuple[str, float, str, float] | None = None
    for line in (*lines, ""):
        found = GROUND.fullmatch(line)
        fill, x, y, width = (found[1], float(found[2]), found[3], float(found[4])) if found else ("", 0.0, "", 0.0)
        if kept and (fill, y) == (kept[0], kept[2]) and abs(kept[1] + kept[3] - x) < 0.05:
            kept = (fill, kept[1], y, kept[3] + width)
            continue
        if kept:
            yield f'<rect fill="{kept[0]}" x="{kept[1]:g}" y="{kept[2]}" width="{kept[3]:g}" height="24.65"/>'
        kept = (fill, x, y, width) if found else None
        if line and not found:
            yield line


async def settled(pilot: Pilot[int], seconds: float = 60) -> str:
    """The picture once nothing more is to come: threads are done, and a second of ticks changes nothing."""
    main: Any = pilot.app.screen_stack[0]
    main.bench.runs = Path("/home/you/runs")
    before, deadline = "", time.monotonic() + seconds
    await until(pilot, lambda: not any(run.reading for run in (main.bench.run, *main.bench.overlays) if run))
    await pilot.pause(0.1)  # what was read is told a moment later
    while True:
        busy = any(run.reading for run in (main.bench.run, *main.bench.overlays) if run) or any(
            aside._busy.locked() for pane in main.house.shown() for aside in vars(pane).values() if type(aside) is Aside
        )
        for _ in range(4):
            main.heard(main.tick())
            await pilot.pause()
        now = picture(pilot.app)
        if now == before and not busy:
            return now
        assert time.monotonic() < deadline, "the screen does not come to rest"
        before = now


def differing(name: str, svg: str) -> list[str]:
    """How a picture differs from the accepted one, and where it lies; nothing while they are written anew."""
    path = FOLDER / f"{name}.svg"
    if WRITING:
        FOLDER.mkdir(exist_ok=True)
        path.write_text(svg, encoding="utf-8")
    elif not path.exists() or path.read_text(encoding="utf-8") != svg:
        drawn = Path.cwd() / path.name
        drawn.write_text(svg, encoding="utf-8")
        accepted = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        lines = difflib.unified_diff(accepted, svg.splitlines(), str(path), str(drawn), n=0, lineterm="")
        return ["\n    ".join(islice(lines, 20))]
    return []


def accept(drawn: list[str]) -> None:
    """Fail if any picture differs."""
    if drawn:
        told = "\n  ".join(drawn)
        pytest.fail(
            f"not as in tests/screen/snapshots:\n  {told}\nLook at what changed; if it is meant, accept it: "
            "WORKBENCH_SNAPSHOTS=write pytest tests/screen/test_snapshots.py",
            pytrace=False,
        )


# ------------------------------------------------------------------------------- the runs in them


Made = Callable[..., Path]


@pytest.fixture
def shore_run(made_run: MadeRun) -> Made:
    """`shore_run(preset, records=…, …)`: make_run's, telling the story of tests/shore.py."""

    def make(preset: dict[str, Any] = shore.PRESET, *, name: str = "", record: Any = shore.record, **more: Any) -> Path:
        p = presets.from_document(dict(preset), source="test")
        corpus = open_kept(p.data)
        assert corpus is not None
        n = {split: tokens.n for split, tokens in corpus.splits.items()}
        items = parameters.itemise(p.model, corpus.tokenizer.vocab_size, p.batch.T)
        start = {
            "params": parameters.total(items), "vocab": corpus.tokenizer.vocab_size, "train_tokens": n["train"],
            "val_tokens": n["val"], "fingerprint": corpus.fingerprint,
            "steps_per_epoch": n["train"] / (p.batch.B * p.batch.T * p.batch.accum),
        }  # fmt: skip
        more = {"records": HALF, "steps": shore.STEPS, "state": "running", "edit": 0.5} | more
        live = more["state"] in status.LIVE
        return made_run(
            dict(preset), name=name or f"{p.name}-20260102-100000", host="desk", pid=PID if live else GONE, start=start,
            seconds=shore.SECONDS, story=Story(record, shore.evaluated, shore.sample), **more,
        )  # fmt: skip

    return make


async def looked_into(pilot: Pilot[int]) -> None:
    """The screen asks what the last record's step was like, and the worker answers."""
    bench = pilot.app.screen_stack[0].bench  # type: ignore[attr-defined]
    bench.looking.ask()
    (asked,) = (bench.run.path / "commands").glob("*.json")
    told = shore.inspect(bench.run.path, "inspect/step.safetensors", bench.text.corpus, bench.now, HALF - 1)
    log = EventLog(bench.run.path)
    log.append(event("answer", 1.0, id=asked.stem, state="applied", **told))
    log.close()
    deadline = time.monotonic() + 10
    while bench.looking.latest is None:
        assert time.monotonic() < deadline, bench.looking.error
        await pilot.pause(0.02)


def clock() -> float:
    """What the screen says stays said, and nothing is asked again."""
    return 100.0


# ------------------------------------------------------------------------------- every pane


@pytest.mark.parametrize("size", SIZES)
async def test_every_pane(app: MadeApp, shore_run: Made, size: str) -> None:
    wrong: list[str] = []
    async with app(run=shore_run(), size=SIZES[size], clock=clock) as pilot:
        await looked_into(pilot)
        for number, title in TITLES.items():
            await pilot.press(str(number))
            wrong += differing(f"{number}-{title.lower()}-{size}", await settled(pilot))
    accept(wrong)


# ------------------------------------------------------------------------------- situations


async def test_first_start(app: MadeApp) -> None:
    wrong: list[str] = []
    for size in SIZES:
        async with app(shore.PRESET, size=SIZES[size], clock=clock) as pilot:
            wrong += differing(f"first-start-{size}", await settled(pilot))
    accept(wrong)


async def test_half_way_through_a_step_of_eight_micro_batches(app: MadeApp, shore_run: Made) -> None:
    inside: status.Inside = {
        "micro": 5, "accum": 8, "first": 0, "losses": [1.1412, 1.0871, 1.1629, 1.1015, 1.0748],
        "norms": [0.4093, 0.6968, 0.9801, 1.2577, 1.5402],
    }  # fmt: skip
    run = shore_run(shore.ACCUMULATED, state="paused", inside=inside, edit=0)
    async with app(run=run, size=(120, 35), clock=clock) as pilot:
        await pilot.press(str(STEP))
        accept(differing("inside-a-step", await settled(pilot)))


async def test_three_runs_over_each_other(app: MadeApp, shore_run: Made) -> None:
    others = [
        shore_run(shore.PRESET | {"name": "lr-2e-2"}, name="lr-2e-2-20260102-093000", records=shore.STEPS, state="done",
                  edit=0, record=lambda s: shore.record(s, up=0.35), age=1800),
        shore_run(shore.PRESET | {"name": "B-2", "batch": {"B": 2, "T": 64}}, name="B-2-20260102-090000",
                  state="stopped", records=380, edit=0, record=lambda s: shore.record(s, up=0.2, noise=2), age=3600),
    ]  # fmt: skip
    async with app(run=shore_run(), size=(120, 35), clock=clock) as pilot:
        for other in others:
            pilot.app.screen.toggle_overlay(other)  # type: ignore[attr-defined]
        await pilot.press("5", "0")
        accept(differing("three-runs", await settled(pilot)))


async def test_a_loss_that_is_not_a_number(app: MadeApp, shore_run: Made) -> None:
    def record(step: int) -> tuple[float, float, float]:
        loss, norm, seconds = shore.record(step)
        over = max(step - 125, 0)
        if over > 60:
            return float("nan"), float("nan"), seconds
        return round(loss + over * over / 250, 4), round(norm * (1 + over / 4), 4), seconds

    run = shore_run(records=187, state="diverged", edit=10.0, record=record, reason="the loss of step 186 is NaN")
    async with app(run=run, size=(120, 35), clock=clock) as pilot:
        await pilot.press("5")
        accept(differing("diverged", await settled(pilot)))


async def test_a_worker_that_is_lost(app: MadeApp, shore_run: Made) -> None:
    async with app(run=shore_run(state="lost"), size=(120, 35), clock=clock) as pilot:
        await pilot.press("8")
        accept(differing("lost", await settled(pilot)))


async def test_a_run_that_is_done(app: MadeApp, shore_run: Made) -> None:
    async with app(run=shore_run(records=shore.STEPS, state="done"), size=(120, 35), clock=clock) as pilot:
        await pilot.press("6")
        accept(differing("done", await settled(pilot)))


async def test_a_staged_knob(app: MadeApp, shore_run: Made) -> None:
    async with app(run=shore_run(), size=(120, 35), clock=clock) as pilot:
        await pilot.press("4", "/")
        accept(differing("staged", await settled(pilot)))


async def test_what_fits_and_what_is_fastest(app: MadeApp) -> None:
    """What `workbench fit char --memory-limit 300MiB` told on two cores."""
    probes = [
        {"type": "probe", "B": B, "T": 64, "accum": accum, "tokens_per_step": 64 * B * accum, "fits": rate is not None,
         "memory_bytes": rate and (20.7 + 2.19 * B) * 2**20, "tokens_per_s": rate,
         "seconds_per_step": rate and 64 * B * accum / rate, "reason": (rate is None and "out of memory") or None}
        for B, accum, rate in [(1, 48, 6_980), (2, 24, 11_720), (4, 12, 17_560), (8, 6, 23_400), (16, 3, 27_100),
                               (24, 2, 28_050), (48, 1, 28_400), (127, 1, 27_800), (128, 1, None)]
    ]  # fmt: skip
    end = {
        "type": "fit", "limit_bytes": 300 * 2**20, "largest": {"B": 127, "accum": 1}, "next": 128, "device": "cpu",
        "fastest": {"B": 48, "accum": 1, "tokens_per_s": 28_400}, "precision": "fp32", "probes": probes,
        "line": {"intercept_bytes": 20.7 * 2**20, "bytes_per_B": 2.19 * 2**20}, "figures": {},
        "sentences": ["B = 127 is the largest that fits in 300.0 MiB: 3 full steps and evaluations held 298.8 MiB. "
                      "B = 128 does not.", "B = 48 is the fastest; B = 127 is 2% slower."],
    }  # fmt: skip
    async with app(shore.PRESET, size=(120, 35), clock=clock) as pilot:
        await pilot.press("9", "f", "0")
        lab: Any = pilot.app.screen.house.pane(LAB)  # type: ignore[attr-defined]
        for told in (*probes, end):
            lab._heard_object(lab.view, told)
        accept(differing("lab-fit", await settled(pilot)))


@pytest.mark.parametrize("size", ["80x24", "120x35"])
async def test_the_end_of_a_lessons_part(bench: MadeBench, monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    monkeypatch.setattr(text, "kept_floors", entropy.floors)
    lesson = lessons.load("rows")
    part = lesson.parts[0]
    made = bench(presets.to_document(part.preset), clock=clock)
    session = Session(made, lesson, part=1)
    async with Workbench(made, look="dark", lesson=session).run_test(size=SIZES[size]) as pilot:
        await until(pilot, lambda: made.text.corpus is not None)
        while session.now.kind in ("say", "ask"):
            await pilot.press(*(["1", "1", "enter"] if session.now.kind == "ask" else ["enter"]))
        await until(pilot, lambda: session.results)
        accept(differing(f"lesson-{size}", await settled(pilot)))


@pytest.mark.parametrize(("name", "more"), [("light", {"look": "light"}), ("big", {"big": True})])
async def test_another_look(app: MadeApp, shore_run: Made, name: str, more: dict[str, Any]) -> None:
    async with app(run=shore_run(), size=(120, 35), clock=clock, **more) as pilot:
        await looked_into(pilot)
        await pilot.press("5")
        accept(differing(name, await settled(pilot)))
