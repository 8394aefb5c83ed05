"""SIGKILL at any instant: the run is found as lost, is resumed, and ends where an undisturbed one ends, bit for bit."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from faults.trainers import KILLED, Job, Trainers, trainers
from tiny_runs import GPT, bits, document, weights

from workbench import preset as presets
from workbench.runs import commands, directory, status
from workbench.runs.events import read_events
from workbench.runs.files import replace_json
from workbench.runs.records import StepReader

SEED = 5
FAST = document(
    GPT, model__dropout=0.2, schedule__steps=48, checkpoint__every=8, eval__every=12, eval__tokens=200, sample__every=24
)
COMMANDS: list[dict[str, Any]] = [
    {"command": "set", "at": 13, "changes": {"optimizer.lr": 6e-4}},
    {"command": "save", "at": 19},
    {"command": "eval", "at": 22},
    {"command": "set", "at": 29, "changes": {"optimizer.lr": 3e-4, "batch.accum": 2}},
    {"command": "rewind", "at": 35},
    {"command": "set", "at": 41, "changes": {"optimizer.clip": 0.1}},
]
Aim = Callable[[float], bool]
"""Asked with the seconds since the worker's start, again and again: is this the instant?"""


@dataclass
class Undisturbed:
    path: Path
    seconds: float
    bits: Any = field(init=False)
    weights: Any = field(init=False)

    def __post_init__(self) -> None:
        self.bits, self.weights = bits(StepReader(self.path).read()), weights(self.path)

    def check(self, run: Path) -> None:
        """That a run has ended as this one has."""
        assert status.observed(status.read(run)) == "done"
        assert bits(StepReader(run).read()) == self.bits, "another curve"
        assert weights(run) == self.weights, "other weights"
        assert not list((run / "commands").glob("*.json"))


@pytest.fixture(scope="module")
def train() -> Iterator[Trainers]:
    with trainers() as there:
        yield there


@pytest.fixture(scope="module")
def undisturbed(train: Trainers, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The same run and the same commands, and nobody kills it. The second one tells how long it takes."""
    for name in ("warm", "undisturbed"):
        folder = tmp_path_factory.mktemp(name)
        _, seconds = train(_new(folder))
    (run,) = (folder / "runs").iterdir()
    assert [e["step"] for e in read_events(run) if e["type"] == "edit"] == [13, 29, 41]
    return Undisturbed(run, seconds)


def _new(folder: Path, doc: dict[str, Any] = FAST, wanted: list[dict[str, Any]] = COMMANDS) -> Job:
    told = {"commands": wanted, "sent": str(folder / "sent")}
    return {"kind": "new", "document": doc, "folder": str(folder / "runs"), **told}


def _resume(run: Path, job: Job) -> Job:
    return {"kind": "resume", "run": str(run), **{k: v for k, v in job.items() if k in ("commands", "sent")}}


def _somewhere(chance: random.Random, life: float, runs: Path) -> Aim:
    """Anywhere in its life."""
    at = chance.uniform(0, life)
    return lambda seconds: seconds >= at


def _seen(pattern: str, within: float) -> Callable[[random.Random, float, Path], Aim]:
    def aim(chance: random.Random, life: float, runs: Path) -> Aim:
        """Up to `within` seconds after a path of this pattern is there for the n-th time."""
        left, delay = chance.randrange(4), chance.uniform(0, within)
        names: set[Path] = set()
        at: list[float] = []

        def now(seconds: float) -> bool:
            with contextlib.suppress(FileNotFoundError):  # what is made aside gets its name while it is looked into
                names.update(runs.glob(pattern))
            if len(names) > left and not at:
                at.append(seconds + delay)
            return bool(at) and seconds >= at[0]

        return now

    return aim


AIMS = {
    "anywhere": _somewhere,
    "directory": _seen("*", 0.02),
    "aside": _seen("*/checkpoints/.step-*", 0.002),
    "checkpoint": _seen("*/checkpoints/step-*", 0.003),
    "command": _seen("*/commands/*.json", 0.05),
}


def _killed(train: Trainers, job: Job, aim: Aim, runs: Path) -> bool:
    """Whether it was: one that has ended before is none. A killed one is found as lost, or there is none yet."""
    how, _ = train(job, aim)
    for found in directory.listed(runs):
        assert found.state == ("lost" if how == KILLED else "done") or found.state == "done", found
        read_events(found.path)
        StepReader(found.path).read()
    return how == KILLED


def _trial(train: Trainers, undisturbed: Undisturbed, folder: Path, chance: random.Random, aim: str) -> int:
    """One run, killed until it has been killed enough, and what became of it. Returns how often it was killed."""
    runs = folder / "runs"
    replayed = chance.random() < 0.4
    job = _new(folder)
    if replayed:
        job = {"kind": "replay", "run": str(undisturbed.path), "folder": str(runs)}
    wanted, kills = chance.choice((1, 1, 1, 2, 4)), 0
    for n in range(20):
        begun = directory.listed(runs)
        assert len(begun) <= 1
        if begun and begun[0].state == "done":
            break
        again = _resume(begun[0].path, job) if begun else job
        if kills == wanted or n > 10:
            train(again)
        else:
            name = aim if n == 0 or chance.random() < 0.3 else "anywhere"
            kills += _killed(train, again, AIMS[name](chance, undisturbed.seconds, runs), runs)
    (ended,) = directory.listed(runs)
    undisturbed.check(ended.path)
    return kills


def test_killed_at_any_instant_a_run_loses_nothing(
    train: Trainers, undisturbed: Undisturbed, tmp_path: Path, trials: Any, tell: Any
) -> None:
    n = trials(ci=8, full=300)
    failed: list[str] = []
    made = kills = seed = 0
    while made < n and len(failed) < 5:
        seed += 1
        aim = list(AIMS)[seed % len(AIMS)] if seed % 2 else "anywhere"
        try:
            hit = _trial(train, undisturbed, tmp_path / str(seed), random.Random(f"{SEED} {seed}"), aim)
        except Exception as error:  # noqa: BLE001 - the others are tried all the same
            failed.append(f"seed {SEED} {seed}, {aim}: {type(error).__name__}: {error}")
            hit = 1
        made += hit > 0
        kills += hit
    tell(f"SIGKILL at random instants: {made} trials ({kills} kills), {len(failed)} failures")
    assert not failed, "\n".join(failed)


def test_a_fresh_process_killed_from_its_first_instant_on(
    train: Trainers, workbench: Any, tmp_path: Path, trials: Any, tell: Any
) -> None:
    n = trials(ci=1, full=12)
    preset = presets.from_document(FAST, source="test")
    (tmp_path / "fast.toml").write_text(presets.to_toml(preset))
    calm = tmp_path / "calm"
    train(_new(calm, wanted=[]))
    (run,) = (calm / "runs").iterdir()
    undisturbed = Undisturbed(run, 0)
    chance = random.Random(SEED)
    began = time.perf_counter()
    workbench("--headless", "fast.toml", "--quiet", "--runs-dir", "whole")
    life = time.perf_counter() - began
    found = 0
    for i in range(n):
        runs = tmp_path / str(i)
        process = workbench.start("--headless", "fast.toml", "--quiet", "--runs-dir", str(runs))
        at = life * (chance.uniform(0.7, 1.0) if i % 2 == 0 else chance.uniform(0, 1))  # before, it imports
        time.sleep(at)
        process.kill()
        process.communicate()
        for there in directory.listed(runs):
            assert there.state in ("lost", "done"), f"seed {SEED} trial {i}: {there}"
            found += 1
            if there.state == "lost":
                train({"kind": "resume", "run": str(there.path)})
            undisturbed.check(there.path)
    tell(f"SIGKILL of `workbench --headless`: {n} trials ({found} with a run directory by then), 0 failures")


def test_killed_while_it_compiles(train: Trainers, tmp_path: Path, trials: Any, tell: Any) -> None:
    n = trials(ci=0, full=2)
    if not n:
        pytest.skip("takes a minute: with --full")
    doc = document(FAST, device={"threads": 1, "compile": "on"})
    train(_new(tmp_path / "calm", doc))
    (run,) = (tmp_path / "calm" / "runs").iterdir()
    undisturbed = Undisturbed(run, 0)
    chance = random.Random(SEED)
    for i in range(n):
        job, runs = _new(tmp_path / str(i), doc), tmp_path / str(i) / "runs"

        def compiling(seconds: float, runs: Path = runs) -> bool:
            there = [status.read(run) for run in runs.glob("tiny-*")]
            return any(s and s.phase == "compiling" for s in there) and chance.random() < 0.2

        assert _killed(train, job, compiling, runs)
        (lost,) = directory.listed(runs)
        train(_resume(lost.path, job))
        undisturbed.check(lost.path)
    tell(f"SIGKILL while compiling: {n} trials, 0 failures")


@pytest.mark.parametrize("counts", [True, False], ids=["it counts", "it was dropped"])
def test_an_edit_that_was_made_and_not_answered_is_answered_as_what_it_is(
    train: Trainers, tmp_path: Path, counts: bool
) -> None:
    """Killed between the edit's event and its answer, the command's file is still there."""
    job = _new(tmp_path, wanted=[COMMANDS[0], {"command": "stop", "at": 15}])
    train(job)
    (run,) = (tmp_path / "runs").iterdir()
    path = run / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    last = next(n for n, line in enumerate(lines) if b'"type":"edit"' in line)
    path.write_bytes(b"".join(lines[: last + 1]))
    for late in (run / "checkpoints").glob("step-0000001[3-9]"):
        for file in late.iterdir():
            file.unlink()
        late.rmdir()
    edit = read_events(run)[-1]
    asked = {"format": 1, "id": edit["id"], "sent": 0.0, **COMMANDS[0]}
    replace_json(run / "commands" / f"{edit['id']}.json", asked)
    ended = status.read(run)
    assert ended is not None
    document = {"format": 1, **vars(ended), "state": "running" if counts else "diverged"}
    replace_json(run / "status.json", document)
    train({"kind": "resume", "run": str(run)})
    (answer,) = [
        e for e in read_events(run) if e["type"] == "answer" and e["id"] == edit["id"] and e["state"] != "accepted"
    ]
    assert answer["state"] == ("applied" if counts else "expired")
    assert answer["reason"]
    edits = [e["step"] for e in read_events(run) if e["type"] == "edit"]
    assert edits == ([13] if counts else [])


def test_a_replay_killed_before_its_first_event_is_still_a_replay(
    train: Trainers, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    job = {"kind": "replay", "run": str(undisturbed.path), "folder": str(tmp_path / "runs")}
    train(job)
    (run,) = (tmp_path / "runs").iterdir()
    born = directory.create(tmp_path / "born", "tiny", (run / "preset.toml").read_text())
    (run / "edits.json").rename(born / "edits.json")  # all that the replay's directory has when it appears
    train({"kind": "resume", "run": str(born)})
    undisturbed.check(born)
    assert commands.Inbox(born).poll() == []
