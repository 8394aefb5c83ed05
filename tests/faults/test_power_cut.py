"""A power cut: of what was not fsynced, any part may be gone. The run is found, goes on, and ends so, bit for bit."""

import itertools
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from faults.power import Disk, Op, Recording
from faults.trainers import Client
from tiny_runs import GPT, bits, document, weights

from workbench import preset as presets
from workbench.errors import WorkbenchError
from workbench.runs import directory, status
from workbench.runs.events import read_events
from workbench.runs.records import DTYPE, StepReader
from workbench.runs.signals import Signals
from workbench.training import checkpoints, worker

SEED = 5
FAST = document(
    GPT, model={"kind": "gpt", "layers": 1, "heads": 1, "width": 8, "dropout": 0.2}, schedule__steps=36, batch__B=2,
    checkpoint__every=6, eval__every=9, eval__tokens=60, sample__every=18,
)  # fmt: skip
COMMANDS: list[dict[str, Any]] = [
    {"command": "set", "at": 8, "changes": {"optimizer.lr": 6e-4}},
    {"command": "rewind", "at": 16},
    {"command": "stop", "at": 21},
    {"command": "set", "at": 26, "changes": {"optimizer.lr": 3e-4, "batch.accum": 2}},
]


@dataclass
class Recorded:
    ops: list[Op]
    bits: Any
    weights: Any


def _train(train: Callable[..., Any], *where: Any, client: Client, signals: Signals) -> None:
    train(
        *where, narrators=[client], signals=signals, progress=lambda what, share: None, tell=lambda text: None
    )  # fmt: skip


def _after_the_cut(run: Path, note: Path, signals: Signals, wanted: list[dict[str, Any]]) -> None:
    """Resume, as a user would: what had not been answered is asked for again."""
    _train(worker.resume, run, {}, client=Client(wanted, note), signals=signals)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A run with edits, evals, checkpoints and a rewind, stopped and resumed; and every operation on its files."""
    folder = tmp_path_factory.mktemp("recorded")
    recording, signals = Recording(folder), Signals()
    client = Client(COMMANDS, tmp_path_factory.mktemp("client") / "sent")
    with recording.on():
        preset = presets.from_document(FAST, source="test")
        _train(worker.new, preset, folder / "runs", client=client, signals=signals)
        (run,) = (folder / "runs").iterdir()
        assert [e["state"] for e in read_events(run) if e["type"] == "end"] == ["stopped"]
        _train(worker.resume, run, {}, client=client, signals=signals)
    told = read_events(run)
    assert [e["step"] for e in told if e["type"] == "edit"] == [8, 26]
    assert [e["attempt"] for e in told if e["type"] == "resume"] == [2, 3]
    _same(Disk(recording.ops), folder, tmp_path_factory.mktemp("again"))
    assert {op.kind for op in recording.ops} == {"make", "mkdir", "write", "cut", "sync", "rename", "remove"}
    return Recorded(recording.ops, bits(StepReader(run).read()), weights(run))


def _same(disk: Disk, folder: Path, again: Path) -> None:
    """The recording is whole: replayed, it gives the very files that are there."""
    disk.put(again)
    there, told = ({p.relative_to(f): p for p in f.rglob("*")} for f in (folder, again))
    assert there.keys() == told.keys()
    assert all(p.is_dir() or p.read_bytes() == told[name].read_bytes() for name, p in there.items())


@pytest.fixture(autouse=True)
def _after_a_boot(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine has been started anew: this very process did not write that status."""
    boots = itertools.count()
    monkeypatch.setattr(status, "boot_id", lambda: f"boot {next(boots)}")


def _goes_on(folder: Path, recorded: Recorded, signals: Signals) -> bool:
    """Whether there is a run in what was left. It is listed, resumes without an error, and ends with the same bits."""
    found = directory.listed(folder / "runs")
    assert len(found) <= 1
    for run, state, _ in found:
        assert state in ("lost", *status.ENDED), state
        read_events(run)
        assert not (why := _trouble(run)) or "`workbench resume` goes back" in why
        wanted = [command for command in COMMANDS if command["command"] == "set"]
        _after_the_cut(run, folder / "sent", signals, [c for c in wanted if c["at"] not in _edited(run)])
        assert bits(StepReader(run).read()) == recorded.bits, "another curve"
        assert weights(run) == recorded.weights, "other weights"
        assert status.read(run).state == "done"  # type: ignore[union-attr]
        assert not checkpoints.damaged(run)
        assert [e["step"] for e in read_events(run) if e["type"] == "edit"] == [8, 26]
    return bool(found)


def _trouble(run: Path) -> str:
    """Why the curve cannot be read: NULs or garbage behind the last synced record are told."""
    try:
        StepReader(run).read()
    except WorkbenchError as error:
        return str(error)
    return ""


def _edited(run: Path) -> set[int]:
    return {e["step"] for e in read_events(run) if e["type"] == "edit"}


class Promised(NamedTuple):
    """What was on the disk for good after so many operations."""

    begun: bool
    checkpoint: int
    edits: set[int]

    @classmethod
    def by(cls, ops: list[Op]) -> "Promised":
        begun, checkpoint, edits = False, 0, set[int]()
        renamed, written = 0, set[int]()
        for op in ops:
            if "checkpoints/step-" in op.to:
                renamed = int(op.to[-8:])
            elif op.kind == "sync" and op.path.endswith("/checkpoints"):
                checkpoint = renamed
            elif op.path.endswith("/events.jsonl"):
                lines = op.data.splitlines() if op.kind == "write" else []
                written |= {json.loads(line)["step"] for line in lines if b'"type":"edit"' in line}
                if op.kind == "sync":
                    begun, edits = True, edits | written
        return cls(begun, checkpoint, edits)

    def check(self, runs: Path, *, resumed: bool) -> None:
        found = list(runs.glob("tiny-*"))
        assert found or not self.begun, "the run is gone"
        for run in found:
            if not resumed:
                assert self.edits <= _edited(run), "an edit is gone"
            elif begun := [e["step"] for e in read_events(run) if e["type"] == "resume"]:
                assert begun[-1] >= self.checkpoint, "a checkpoint is gone"
            else:
                assert not self.checkpoint, "a checkpoint is gone"


def _tell(what: str, made: int, runs: int, failed: list[str], tell: Any) -> None:
    tell(f"{what}: {made} states ({runs} of them a run), {len(failed)} failures")
    assert not failed, "\n".join(failed)


def test_whatever_a_power_cut_leaves_goes_on(
    recorded: Recorded, tmp_path: Path, signals: Signals, trials: Any, tell: Any
) -> None:
    n, failed, runs, made = trials(ci=20, full=600), list[str](), 0, 0
    for seed in range(n):
        chance = random.Random(f"{SEED} {seed}")
        within = 60 if seed % 5 == 0 else len(recorded.ops)  # start-up is short, and has its share
        point, folder = chance.randint(0, within), tmp_path / str(seed)
        promised = Promised.by(recorded.ops[:point])
        try:
            Disk(recorded.ops[:point]).put(folder, chance)
            promised.check(folder / "runs", resumed=False)
            runs += _goes_on(folder, recorded, signals)
            promised.check(folder / "runs", resumed=True)
        except Exception as error:  # noqa: BLE001 - the others are tried all the same
            failed.append(f"seed {SEED} {seed}, operation {point}: {type(error).__name__}: {error}")
        made += 1
        if len(failed) == 5:
            break
        shutil.rmtree(folder, ignore_errors=True)
    _tell("power cuts at random operations", made, runs, failed, tell)


# ------------------------------------------------------------------------------------- every combination

Damage = Callable[[Path], object]


def _append(data: bytes) -> Callable[[Path], None]:
    def do(path: Path) -> None:
        with path.open("ab") as file:
            file.write(data)

    return do


def _keep(path: Path) -> None: ...


def _cut_to(key: str, size: int) -> Callable[[Path], None]:
    """To what the newest checkpoint has synced."""

    def do(path: Path) -> None:
        synced = int(checkpoints.available(path.parent)[-1].meta[key]) * size
        path.write_bytes(path.read_bytes()[:synced])

    return do


def _whole(folder: Path) -> None: ...


def _newest(folder: Path) -> Path:
    return max(folder.glob("step-*"))


def _half_aside(folder: Path) -> None:
    aside = _newest(folder).rename(folder / ".step-00000024.abcd")
    (aside / "meta.json").unlink()
    model = aside / "model.safetensors"
    model.write_bytes(model.read_bytes()[:100])


def _absent(folder: Path) -> None:
    shutil.rmtree(_newest(folder))


def _empty_meta(folder: Path) -> None:
    (_newest(folder) / "meta.json").write_bytes(b"")


def _cut_tensors(folder: Path) -> None:
    path = _newest(folder) / "optimizer.safetensors"
    path.write_bytes(path.read_bytes()[:-9])


def _half_a_command(folder: Path) -> None:
    (folder / "00000000000000000001-abcd.json").write_bytes(b'{"format":1,"id":"0000')


STEPS: dict[str, Damage] = {
    "whole": _keep, "as synced": _cut_to("records", DTYPE.itemsize), "torn record": _append(b"\x01" * 31),
    "NUL tail": _append(bytes(3 * DTYPE.itemsize + 7)),
    "garbage tail": _append(random.Random(SEED).randbytes(5 * DTYPE.itemsize)),
}  # fmt: skip
EVENTS: dict[str, Damage] = {
    "whole": _keep, "as synced": _cut_to("events_bytes", 1), "torn line": _append(b'{"format":1,"type":"edi'),
    "NUL tail": _append(bytes(300)), "garbage line": _append(b'{"format":1,"type":"x\xe2\x82\n\xff\xfe\x00[[\n'),
}  # fmt: skip
NEWEST: dict[str, Damage] = {
    "whole": _whole, "half-written aside": _half_aside, "absent": _absent, "empty meta.json": _empty_meta,
    "cut tensors": _cut_tensors,
}  # fmt: skip
STATUS: dict[str, Damage] = {
    "fine": _keep, "empty": lambda path: path.write_bytes(b""), "missing": lambda path: path.unlink(),
    "NULs": lambda path: path.write_bytes(bytes(300)), "cut": lambda path: path.write_bytes(path.read_bytes()[:99]),
}  # fmt: skip
INBOX: dict[str, Damage] = {"none": _keep, "half a file": _half_a_command}


def test_every_combination_of_what_can_be_torn_goes_on(
    recorded: Recorded, tmp_path: Path, signals: Signals, trials: Any, tell: Any
) -> None:
    every = list(itertools.product(STEPS, EVENTS, NEWEST, STATUS, INBOX))
    n = trials(ci=15, full=len(every))
    base = tmp_path / "base"
    Disk(recorded.ops[: _mid_training(recorded)]).put(base)
    (run,) = (base / "runs").iterdir()
    assert [c.step for c in checkpoints.available(run)][-2:] == [21, 24]
    failed, made = list[str](), 0
    for combination in random.Random(SEED).sample(every, n):
        folder = tmp_path / str(made)
        made += 1
        shutil.copytree(base, folder)
        there = folder / "runs" / run.name
        steps, events, newest, state, inbox = combination
        try:
            STEPS[steps](there / "steps.bin")
            EVENTS[events](there / "events.jsonl")
            NEWEST[newest](there / "checkpoints")
            STATUS[state](there / "status.json")
            INBOX[inbox](there / "commands")
            assert _goes_on(folder, recorded, signals)
            resumed = [e for e in read_events(there) if e["type"] == "resume"][-1]
            assert resumed["step"] == (24 if newest == "whole" else 21)
            warned = [e for e in read_events(there) if e["type"] == "warning" and "missing or cut" in e["message"]]
            assert len(warned) == (newest in ("empty meta.json", "cut tensors"))
        except Exception as error:  # noqa: BLE001 - the others are tried all the same
            failed.append(f"{', '.join(combination)}: {type(error).__name__}: {error}")
            if len(failed) == 5:
                break
        shutil.rmtree(folder, ignore_errors=True)
    _tell("power cuts, combinations of damage", made, made, failed, tell)


def _mid_training(recorded: Recorded) -> int:
    """The operation after the first durable edit that follows the checkpoint of step 24."""
    renamed = next(n for n, op in enumerate(recorded.ops) if op.to.endswith("checkpoints/step-00000024"))
    return next(
        n + 2
        for n, op in enumerate(recorded.ops)
        if n > renamed and op.kind == "write" and b'"type":"answer"' in op.data and op.path.endswith("events.jsonl")
    )
