"""What the screen's tests share: an app on a bench of its own, and run directories written without a worker.

`app` is used as `async with app("to-be", size=(80, 24)) as pilot: …`; `pilot.app.bench` is its model. `made_run` writes
what a worker would have written, at once: records of a falling loss, evals, samples, an edit, checkpoints, a status.
"""

import math
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.pilot import Pilot

from tests.screen.taught import lesson_folder, taught  # noqa: F401 - fixtures
from workbench import preset as presets
from workbench.plan import schedule
from workbench.preset import Loaded
from workbench.runs import FORMAT, directory, status
from workbench.runs.events import Event, EventLog, event
from workbench.runs.files import replace_json
from workbench.runs.records import CLIPPED, StepLog
from workbench.runs.status import Inside, Status
from workbench.screen.app import Workbench
from workbench.screen.bench.bench import Bench
from workbench.screen.bench.follow import Followed

TEXT = "".join(f"{n} times {m} is {n * m}.\n" for n in range(1, 30) for m in range(1, 30))
DOCUMENT: dict[str, Any] = {
    "name": "tiny",
    "data": {"text": TEXT},
    "batch": {"B": 4, "T": 16},
    "model": {"kind": "gpt", "layers": 2, "heads": 2, "width": 16},
    "optimizer": {"lr": 1e-3},
    "schedule": {"steps": 1000, "warmup": 20, "min_lr": 1e-4},
    "eval": {"every": 100},
    "checkpoint": {"every": 100},
    "sample": {"every": 200, "tokens": 20},
    "device": {"name": "cpu", "threads": 1},
}
"""A preset with a text of its own, so that nothing is fetched and little is tokenised."""
BEGAN = datetime(2026, 1, 2, 10, 0, 0, tzinfo=UTC)
GONE = 2**22 + 1
"""A pid that no process has: above the kernel's largest."""
LOSS_AT = (3.3, 1.2)
"""About where the loss of a made run begins, and what it falls towards."""

MadeRun = Callable[..., Path]


@dataclass(frozen=True)
class Story:
    """What a made run tells instead of its times tables."""

    record: Callable[[int], tuple[float, float, float]]
    """The loss, the gradient's norm and the seconds of a record."""
    evaluated: Callable[[int], tuple[float, float]]
    """The training and the validation loss after so many updates."""
    sample: Callable[[int], str]
    """After so many updates, without its prompt."""


MadeBench = Callable[..., Bench]
MadeApp = Callable[..., AbstractAsyncContextManager[Pilot[int]]]


def loaded(preset: str | Mapping[str, Any]) -> Loaded:
    """A shipped preset by its name, or a document."""
    if isinstance(preset, str):
        return presets.load(preset)
    return Loaded(presets.from_document(dict(preset), source="test"), [], None)


@pytest.fixture
def runs_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.fixture
def bench(runs_folder: Path) -> Any:
    """`bench(preset="to-be", run=None, read_only=False, clock=…)`: a Bench whose runs folder is the test's own."""
    made: list[Bench] = []

    def make(preset: str | Mapping[str, Any] = "to-be", *, run: Path | None = None, **more: Any) -> Bench:
        given = presets.load(str(run / "preset.toml")) if run else loaded(preset)
        source = str(run / "preset.toml") if run else preset if isinstance(preset, str) else "test.toml"
        it = Bench(given, source=source, runs=runs_folder, **more)
        made.append(it)
        if run:
            it.open_run(Followed(run))
        return it

    yield make
    for it in made:
        it.close()


@pytest.fixture
def app(bench: MadeBench) -> MadeApp:
    """`async with app(preset="to-be", size=(120, 35), run=None, read_only=False, look=None, big=False) as pilot`.

    Entered, the run (if one is given) has been looked at once and drawn.
    """

    @asynccontextmanager
    async def start(
        preset: str | Mapping[str, Any] = "to-be", *, size: tuple[int, int] = (120, 35), run: Path | None = None,
        look: str | None = "dark", big: bool = False, **more: Any,
    ) -> AsyncIterator[Pilot[int]]:  # fmt: skip
        made = bench(preset, run=run, **more)
        async with Workbench(made, look=look, big=big).run_test(size=size) as pilot:
            deadline = time.monotonic() + 60
            while made.run is not None and made.run.reading and time.monotonic() < deadline:
                await pilot.pause(0.01)
            await pilot.pause()
            yield pilot

    return start


@pytest.fixture
def made_run(runs_folder: Path) -> MadeRun:
    """`made_run(document, records=500, state="done", …)` writes a run directory and returns its path."""
    return lambda *a, **k: make_run(runs_folder, *a, **k)


def make_run(
    folder: Path, preset: str | Mapping[str, Any] = DOCUMENT, *, records: int = 500, steps: int | None = None,
    state: str = "done", reason: str = "", edit: float = 10.0, events: tuple[tuple[str, dict[str, Any]], ...] = (),
    age: float = 0.0, pid: int | None = None, host: str | None = None, phase: str = "training", seed: int = 0,
    name: str = "", story: Story | None = None, start: Mapping[str, Any] | None = None, inside: Inside | None = None,
    seconds: float = 0.01,
) -> Path:  # fmt: skip
    """A run that has done `records` updates of `steps` (the same, unless `state` says that it is not over).

    A live `state` is that of this process, unless `pid` says otherwise; "lost" is "running" of a process that is gone.
    `edit` multiplies lr half way, unless it is 0; `events` are (type, fields) written before the end; `age` makes it
    older, in seconds; `name` is the directory's; `start` are fields of the first event; `inside` is where a step waits;
    a step takes `seconds`.
    """
    lost, live = state == "lost", state in status.LIVE
    written = "running" if lost else state
    steps = steps or (records if state == "done" else max(2 * records, 1))
    p = presets.apply(loaded(preset).preset, {"schedule.steps": steps, "schedule.warmup": min(20, steps)})
    path = directory.create(folder, p.name, presets.to_toml(p))
    if name:
        path = path.rename(folder / name)
    rows = p.batch.B * p.batch.accum
    per_step = rows * (1 if p.data.layout == "windows" else p.batch.T)
    edited_at = records // 2 if edit and records else None
    random = np.random.default_rng(seed)

    def losses(done: int, offset: float = 0.0) -> float:
        return LOSS_AT[1] + (LOSS_AT[0] - LOSS_AT[1]) * math.exp(-5 * done / max(records, 1)) + offset

    def evaluated(done: int) -> tuple[float, float]:
        return story.evaluated(done) if story else (losses(done), losses(done, 0.08))

    log, steps_log = EventLog(path), StepLog(path)

    def say(type: str, done: int, **fields: Any) -> None:
        document: Event = event(type, done * seconds, **fields)
        at = BEGAN + timedelta(seconds=done * seconds)
        log.append(document | {"at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z")})

    first = {
        "params": 12345, "vocab": 27, "train_tokens": 12000, "val_tokens": 1300, "steps_per_epoch": 12000 / per_step,
        "fingerprint": "f" * 64, **(start or {}),
    }  # fmt: skip
    say("start", 0, run=str(path), steps=steps, tokens_per_step=per_step, device="cpu", precision="fp32", **first)
    best, trained = math.inf, 0.0
    for done in range(records + 1):
        if done % p.eval.every == 0 or done == records:
            train, val = evaluated(done)
            say("eval", done, step=done, train_loss=train, val_loss=val, perplexity=math.exp(val))
        if done % p.sample.every == 0 or done == records:
            text = story.sample(done) if story else f"{done} times 2 is {2 * done}.\n"
            say("sample", done, step=done, prompt="\n", text=text)
        if done and (
            done % p.checkpoint.every == 0 or (done == records and state in ("done", "stopped", "interrupted"))
        ):
            val = evaluated(done)[1]
            improved, best = val < best, min(best, val)
            saved = f"checkpoints/step-{done:08d}"
            say("checkpoint", done, step=done, path=saved, val_loss=val, best=improved)
            (path / saved).mkdir(exist_ok=True)
            replace_json(path / saved / "meta.json", {"format": FORMAT, "step": done})
        if done == records:
            break
        if done == edited_at:
            lr = p.optimizer.lr
            say("edit", done, step=done, id="edit-1", changes={"optimizer.lr": [lr, lr * edit]},
                base={"row": 0, "token": 0, "epoch": 0})  # fmt: skip
            say("answer", done, step=done, id="edit-1", state="applied", reason="")
            p = presets.apply(p, {"optimizer.lr": lr * edit})
        noisy = losses(done, 0.1 * float(random.standard_normal()) * math.exp(-done / max(records, 1)))
        grad_norm, took = 0.5 + float(random.random()), seconds
        if story:
            noisy, grad_norm, took = story.record(done)
        trained = trained + took if story else (done + 1) * seconds
        steps_log.append(
            done, (done + 1) * per_step, done * rows, noisy, schedule.lr_of(p, done), grad_norm, took,
            trained, p.batch.B, p.batch.T, p.batch.accum, 1,
            CLIPPED if grad_norm > p.optimizer.clip else 0,
        )  # fmt: skip
    for type, fields in events:
        say(type, records, **fields)
    if not (live or lost):
        code = {"done": 0, "stopped": 0, "diverged": 3, "out-of-memory": 4}.get(state, 1)
        say("end", records, state=state, step=records, val_loss=evaluated(records)[1], seconds=records * seconds,
            exit_code=code, reason=reason)  # fmt: skip
    log.close()
    steps_log.close()
    (path / "worker.log").write_text("")
    (path / "lock").touch()
    pid = pid or (GONE if lost or not live else os.getpid())
    found = Status(
        state=written, phase=phase if live or lost else "", step=records, steps=steps, reason=reason, pid=pid,
        started=status.process_start(pid) or 0.0, boot=status.boot_id(), host=host or socket.gethostname(),
        heartbeat=time.time(), uptime=time.monotonic(), inside=inside,
    )  # fmt: skip
    replace_json(path / "status.json", {"format": FORMAT, **asdict(found)})
    if age:
        then = time.time() - age
        os.utime(path / "preset.toml", (then, then))
    return path
