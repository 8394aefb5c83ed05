"""Two workers, two clients, a thousand commands, and everything that is no command in commands/."""

import json
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_runs import GPT, Train, bits, document, weights

from workbench import preset as presets
from workbench.runs import commands
from workbench.runs.events import read_events
from workbench.runs.records import StepReader

Command = Any
Trials = Callable[..., int]
Tell = Callable[[str], None]
HUGE = 10**400
LONG = document(
    GPT, schedule__steps=200_000, eval__every=200_000, checkpoint__every=200_000, sample__every=200_000,
    eval__tokens=64,
)  # fmt: skip


@pytest.fixture
def live(workbench: Command) -> tuple[Command, Path]:
    """A run that trains, in a process of its own."""
    return workbench, begun(workbench, LONG, "runs")


def begun(workbench: Command, settings: dict[str, Any], runs: str) -> Path:
    """A worker of those settings, alone in its folder of runs, that trains by now. Returns its run."""
    preset = workbench.folder / f"{runs}.toml"
    preset.write_text(presets.to_toml(presets.from_document(settings, source="test")))
    workbench.start("--headless", preset.name, "--quiet", "--runs-dir", runs)
    workbench.until(lambda: [run for run in (workbench.folder / runs).iterdir() if len(StepReader(run)) > 5])
    (run,) = (workbench.folder / runs).iterdir()
    return run


def answers(run: Path) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for e in read_events(run):
        if e["type"] == "answer":
            out.setdefault(e["id"], []).append(e["state"])
    return out


def answered_once(run: Path, ids: list[str], timeout: float = 60) -> float:
    """Wait until all have their final answer; each has exactly one. Returns the seconds waited."""
    began = time.monotonic()
    while time.monotonic() - began < timeout:
        found = answers(run)
        if all(any(s in commands.FINAL for s in found.get(id, ())) for id in ids):
            break
        time.sleep(0.05)
    found = answers(run)
    finals = Counter(sum(s in commands.FINAL for s in found.get(id, ())) for id in ids)
    assert finals == {1: len(ids)}
    return time.monotonic() - began


def write(run: Path, name: str, data: bytes) -> Path:
    path = run / "commands" / name
    path.write_bytes(data)
    return path


def told(id: str, **fields: Any) -> bytes:
    return json.dumps(
        {"format": 1, "id": id, "sent": 0.0, "command": "set", "changes": {"optimizer.lr": 9e-4}} | fields
    ).encode()


def test_a_second_worker_is_refused_and_the_first_is_undisturbed(live: tuple[Command, Path]) -> None:
    workbench, run = live
    before = len(StepReader(run))
    refused = workbench("resume", run.name, "--runs-dir", str(workbench.runs))
    assert refused.returncode == 2
    assert "nothing to resume" in refused.stderr
    workbench.until(lambda: len(StepReader(run)) > before + 5)
    assert [e["type"] for e in read_events(run)].count("resume") == 0


RACER = """
import sys
from pathlib import Path
from workbench.runs.signals import Signals
from workbench.training import worker
run, signals = Path(sys.argv[1]), Signals()
print("ready", flush=True)
for line in sys.stdin:
    try:
        worker.resume(run, {"schedule.steps": int(line)}, narrators=[], signals=signals,
                      progress=lambda what, share: None, tell=lambda text: None)
        print("trained", flush=True)
    except worker.Busy:
        print("refused", flush=True)
"""


def test_of_two_resumes_at_one_instant_one_wins(
    workbench: Command, train: Train, replay: Train, trials: Trials, tell: Tell
) -> None:
    ran = train(document(GPT, schedule__steps=5, schedule__warmup=0, eval__every=0, sample__every=0))
    n, failures, steps = trials(ci=3, full=100), [], 5
    both = [workbench.start(str(ran.path), python=("-c", RACER), stdin=subprocess.PIPE) for _ in range(2)]
    assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
    for seed in range(n):
        steps += 250
        rng = random.Random(seed)
        for process in rng.sample(both, 2):
            process.stdin.write(f"{steps}\n")
            process.stdin.flush()
            time.sleep(rng.choice((0, 0, 0.001, 0.01)))
        said = sorted(process.stdout.readline().strip() for process in both)
        records, resumes = StepReader(ran.path), len(ran.of("resume"))
        if (said, len(records), resumes) != (["refused", "trained"], steps, seed + 1):
            failures.append(f"seed {seed}: {said}, {len(records)} of {steps} records, {resumes} resumes")
    tell(f"two resumes at one instant: {n} trials, {len(failures)} failures")
    assert not failures, failures
    assert bits(replay(ran.path).records) == bits(ran.records)


CLIENT = """
import json, random, sys, time
from pathlib import Path
from workbench.runs import commands
run, rng = Path(sys.argv[1]), random.Random(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
told = []
for _ in range(int(sys.argv[3])):
    changes = rng.choice((
        {"optimizer.lr": rng.uniform(5e-4, 2e-3)}, {"optimizer.clip": rng.uniform(0.1, 2.0)},
        {"batch.B": rng.randint(2, 6)}, {"batch.T": rng.choice((8, 12, 16)), "batch.accum": rng.randint(1, 2)},
    ))
    id = commands.send(run, "set", changes=changes)
    if rng.random() < 0.3:
        commands.wait(run, id, timeout=60)
    time.sleep(rng.choice((0, 0.002, 0.02)))
    told.append((id, changes))
answers = [commands.wait(run, id, timeout=60) for id, _ in told]
print(json.dumps([(id, changes, a["state"]) for (id, changes), a in zip(told, answers)]))
"""


def test_two_clients_steer_at_once(workbench: Command, replay: Train, trials: Trials, tell: Tell) -> None:
    """Two processes edit the same keys: the journal is one order of all edits, and replays to the same bits."""
    n, each, failures = trials(ci=1, full=20), 25, []
    settings = document(LONG, model__dropout=0.1)
    for seed in range(n):
        run = begun(workbench, settings, f"runs-{seed}")
        commands.wait(run, commands.send(run, "pace", rate=400), timeout=60)
        both = [
            workbench.start(str(run), f"{seed} {who}", str(each), python=("-c", CLIENT), stdin=subprocess.PIPE)
            for who in "ab"
        ]
        assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
        told = [json.loads(out) for out in _together(both)]
        end = commands.send(run, "set", changes={"schedule.steps": len(StepReader(run)) + 200})
        assert commands.wait(run, end, timeout=60)["state"] == "applied"
        workbench.until(lambda run=run: read_events(run)[-1]["type"] == "end")
        failures += [f"seed {seed}: {problem}" for problem in _not_one_order(run, settings, told, end)]
        again = replay(run)
        if bits(again.records) != bits(StepReader(run).read()) or weights(again.path) != weights(run):
            failures.append(f"seed {seed}: its replay differs")
    tell(f"two clients steering at once: {n} trials of 2 × {each} edits, {len(failures)} failures")
    assert not failures, failures


def _together(clients: list[Any]) -> list[str]:
    for client in clients:
        client.stdin.write("go\n")
        client.stdin.flush()
    return [client.communicate(timeout=90)[0] for client in clients]


def _not_one_order(run: Path, settings: dict[str, Any], told: list[list[Any]], end: str) -> Iterator[str]:
    """Every edit that was asked for is applied once, in one order, in which each client's own are in theirs."""
    asked = {id: changes for client in told for id, changes, _ in client}
    if len(asked) != sum(map(len, told)) or any(state != "applied" for client in told for *_, state in client):
        yield f"answered {Counter(state for client in told for *_, state in client)}"
    events = [e for e in read_events(run) if e.get("id") in asked]
    order = [e["id"] for e in events if e["type"] == "answer" and e["state"] in commands.FINAL]
    if sorted(order) != sorted(asked):
        yield "a command was answered twice, or not at all"
    for client in told:
        mine = {id for id, *_ in client}
        if [id for id in order if id in mine] != [id for id, *_ in client]:
            yield "a client's edits were made out of order"
    held = presets.to_document(presets.from_document(settings, source="test"))
    edits = {e["id"]: e for e in events if e["type"] == "edit"}
    B = np.full(len(StepReader(run)), held["batch"]["B"])
    for id in order:
        changed = {}
        for key, value in asked[id].items():
            table, _, name = key.partition(".")
            if held[table][name] != value:
                changed[key] = [held[table][name], value]
                held[table][name] = value
        if edits.get(id, {"changes": {}})["changes"] != changed:
            yield f"{id} should have changed {changed}, its event is {edits.get(id)}"
        if "batch.B" in changed:
            B[edits[id]["step"] :] = asked[id]["batch.B"]
    if not np.array_equal(StepReader(run).read()["B"], B):
        yield "an edit acted at another step than it says"


def test_a_thousand_commands_in_a_burst(live: tuple[Command, Path], tell: Tell) -> None:
    _, run = live
    speeds = [_steps_a_second(run, 0.5)]
    before, began = len(StepReader(run)), time.monotonic()
    ids = [commands.send(run, "set", changes={"optimizer.lr": 1e-3 + n * 1e-7}) for n in range(1, 1001)]
    answered_once(run, ids)
    took = time.monotonic() - began
    speeds += [(len(StepReader(run)) - before) / took, _steps_a_second(run, 0.5)]
    tell(
        f"1,000 commands in a burst: all answered once within {took:.1f} s; steps/s before, meanwhile and after: "
        + ", ".join(f"{speed:,.0f}" for speed in speeds)
    )
    assert [e["id"] for e in read_events(run) if e["type"] == "edit"] == ids
    assert min(speeds) > 0
    assert not list((run / "commands").iterdir())


def _steps_a_second(run: Path, seconds: float) -> float:
    before = len(StepReader(run))
    time.sleep(seconds)
    return (len(StepReader(run)) - before) / seconds


def test_what_is_no_command_is_refused_and_stops_nothing(live: tuple[Command, Path], tell: Tell) -> None:
    workbench, run = live
    rng = random.Random(5)
    folder = run / "commands"
    bad = {
        "garbage": rng.randbytes(500), "empty": b"", "huge": b"x" * 10_000_000, "half": told("half")[:40],
        "deep": b"[" * 60_000, "deep-object": b'{"a":' * 10_000, "nan": told("nan", at=float("nan")),
        "infinite": told("infinite", sent=float("inf")), "large": told("large", at=10**400),
        "far": told("far", sent=10**400), "other": told("not-other"), "format": told("format", format=2),
        "unknown": told("unknown", command="rm"), "past": told("past", at=0),
        "a\x1b[31m": told("a\x1b[31m"), "digits": b'{"at":' + b"9" * 5000 + b"}",
        "keys": told("keys", changes={"\x1b[2J": HUGE}), "list": told("list", changes=[1]),
        "inspect": told("inspect", command="inspect", top=10**400), "pace": told("pace", command="pace", rate=10**400),
        "sample": told("sample", command="sample", tokens=-5, temperature="hot"),
        "less": told("less", command="inspect", top=-1), "micro": told("micro", command="step", micro="yes"),
        "escape": told("escape", command="[2J"), "too-much": told("too-much", lr=1e-3),
        "line\nbreak": told("line\nbreak"), "\udcff": b"{}", "n" * 250: b"{}",
    }  # fmt: skip
    os.mkfifo(folder / "fifo.json")
    (folder / "link.json").symlink_to("/etc/hostname")
    (folder / "folder.json").mkdir()
    if os.geteuid() == 0:
        other = write(run, ".owned", told("owned"))
        os.chown(other, 12345, 12345)
        other.rename(folder / "owned.json")
        bad["owned"] = b""
    for id, data in bad.items():
        if id != "owned":
            write(run, ".aside", data).rename(folder / f"{id}.json")
    answered_once(run, [*bad, "fifo", "link", "folder"])
    last = {id: states[-1] for id, states in answers(run).items()}
    wrong = {id: last[id] for id in (*bad, "fifo", "link", "folder") if last[id] != "refused"}
    tell(f"files that are no command: {len(bad) + 3} trials, {len(wrong)} failures")
    assert wrong == {}
    good = commands.send(run, "set", changes={"optimizer.lr": 7e-4})
    answered_once(run, [good])
    write(run, ".again", told(good)).rename(folder / f"{good}.json")  # an id acts once
    workbench.until(lambda: not (folder / f"{good}.json").exists())
    assert answers(run)[good] == ["applied"]
    for n in range(10_000):
        (folder / f"junk-{n}").touch()
    before, began = len(StepReader(run)), time.monotonic()
    answered_once(run, [commands.send(run, "set", changes={"optimizer.lr": 8e-4})])
    tell(f"with 10,000 junk files a command is answered in {time.monotonic() - began:.2f} s")
    assert len(StepReader(run)) > before
    assert not [e for e in read_events(run) if e["type"] == "end"]


def test_an_id_answered_in_an_earlier_attempt_acts_no_more(train: Train, resume: Train) -> None:
    ran = train(document(GPT, schedule__steps=8), at_start=[{"command": "set", "changes": {"optimizer.lr": 2e-3}}])
    (id,) = ran.sent
    (ran.path / "commands" / f"{id}.json").write_bytes(told(id))
    (ran.path / "commands" / "late.json").write_bytes(told("late"))
    again = resume(ran.path, {"schedule.steps": 12})
    assert answers(again.path)["late"] == ["expired"]
    assert len(answers(again.path)[id]) == len(ran.answers(0))
    assert not list((ran.path / "commands").glob("*.json"))
