"""Nothing is lost: killed, stopped or sent back, a run goes on and ends where an undisturbed one ends, bit for bit."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_runs
from tiny_runs import GPT, MLP, Train, bits, document, weights

from workbench.errors import DataError, UsageError
from workbench.runs import status
from workbench.runs.records import DTYPE, StepReader
from workbench.training import worker

EDITS = [
    {"command": "set", "at": 150, "changes": {"optimizer.lr": 6e-4}},
    {"command": "set", "at": 230, "changes": {"optimizer.lr": 3e-4, "batch.accum": 2}},
]
LONG = {"schedule__steps": 400, "checkpoint__every": 200, "eval__every": 0, "sample__every": 0}
RUNS = {
    "gpt with dropout, adamw": document(GPT, **LONG, model__dropout=0.2),
    "gpt, muon": document(GPT, **LONG, optimizer={"kind": "muon"}),
    "gpt, sgd with momentum": document(GPT, **LONG, optimizer={"kind": "sgd", "momentum": 0.9}),
    "mlp, batch norm": document(MLP, **LONG, model__norm="batch", schedule__milestones=[300]),
}


def killed_past(document: dict[str, Any], step: int, edits: list[dict[str, Any]], tmp_path: Path) -> Path:
    """A real worker, given those edits as it begins, killed by SIGKILL once it is past `step`. Returns its run."""
    asked = json.dumps([document, [{"command": "pace", "rate": 400}, *edits], str(tmp_path / "killed")])
    child = subprocess.Popen([sys.executable, str(Path(tiny_runs.__file__)), asked])
    try:
        runs: list[Path] = []
        deadline = time.monotonic() + 60
        while child.poll() is None and time.monotonic() < deadline:
            runs = list((tmp_path / "killed").glob("*"))
            if runs and len(StepReader(runs[0])) >= step:
                break
            time.sleep(0.001)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    (run,) = runs
    assert status.observed(status.read(run)) == "lost"
    assert step <= len(StepReader(run)) < 400
    return run


@pytest.mark.parametrize("name", RUNS)
def test_killed_and_resumed_equals_undisturbed(name: str, train: Train, resume: Train, tmp_path: Path) -> None:
    undisturbed = train(RUNS[name], at_start=EDITS)
    run = killed_past(RUNS[name], 240, EDITS, tmp_path)
    done = resume(run)
    assert [e["step"] for e in done.of("resume")] == [200]
    assert [e["step"] for e in done.of("edit")] == [150, 230]  # one before the checkpoint, one made again
    assert bits(done.records) == bits(undisturbed.records)
    assert weights(run) == weights(undisturbed.path)


def test_without_a_checkpoint_a_run_begins_again(train: Train, resume: Train, tmp_path: Path) -> None:
    doc = document(GPT, **LONG)
    undisturbed = train(doc, at_start=EDITS)
    run = killed_past(doc, 160, EDITS[:1], tmp_path)
    done = resume(run, {})
    assert [e["step"] for e in done.of("resume")] == [0]
    assert [e["step"] for e in done.of("edit")] == [150]
    assert bits(done.records[:230]) == bits(undisturbed.records[:230])


def test_a_torn_record_and_a_torn_line_are_cut_away(train: Train, resume: Train) -> None:
    whole = train(document(GPT))
    ran = train(document(GPT, schedule__steps=40), at_start=[{"command": "stop", "at": 30}])
    assert ran.outcome.state == "stopped"
    with (ran.path / "steps.bin").open("ab") as file:
        file.write(b"\x01" * (DTYPE.itemsize + 9))
    with (ran.path / "events.jsonl").open("ab") as file:
        file.write(b'{"format":1,"type":"eva')
    done = resume(ran.path)
    assert bits(done.records) == bits(whole.records)
    assert done.of("end")[-1]["state"] == "done"
    assert [e["step"] for e in done.of("eval")] == [0, 20, 40]


def test_stopped_runs_go_on_and_evaluate_once(train: Train, resume: Train) -> None:
    """Stopped exactly where an eval was due: it is neither lost nor made twice."""
    whole = train(document(GPT))
    ran = train(document(GPT), at_start=[{"command": "stop", "at": 20}])
    done = resume(ran.path)
    assert [e["step"] for e in done.of("eval")] == [0, 20, 40]
    assert [(e["step"], e["val_loss"]) for e in done.of("eval")] == [
        (e["step"], e["val_loss"]) for e in whole.of("eval")
    ]
    assert bits(done.records) == bits(whole.records)
    assert weights(ran.path) == weights(whole.path)


def test_evals_stay_the_same_after_an_edit_of_T_and_a_resume(train: Train, resume: Train) -> None:
    edit = {"command": "set", "at": 10, "changes": {"batch.T": 8}}
    whole = train(document(GPT), at_start=[edit])
    ran = train(document(GPT), at_start=[edit, {"command": "stop", "at": 25}])
    done = resume(ran.path)
    assert [e["val_loss"] for e in done.of("eval")] == [e["val_loss"] for e in whole.of("eval")]
    assert bits(done.records) == bits(whole.records)


def test_a_checkpoint_that_cannot_be_read_is_none_and_is_written_anew(train: Train, resume: Train) -> None:
    whole = train(document(GPT))
    ran = train(document(GPT), at_start=[{"command": "stop", "at": 30}])
    broken = ran.path / "checkpoints" / "step-00000030"
    (broken / "meta.json").write_text("{")
    (broken / "model.safetensors").write_bytes(b"")
    done = resume(ran.path, at_start=[{"command": "save", "at": 30}])
    assert done.of("resume")[0]["step"] == 20
    assert bits(done.records) == bits(whole.records)
    assert weights(ran.path) == weights(whole.path)


def test_more_steps_and_settings_are_journalled_edits(train: Train, resume: Train, replay: Train) -> None:
    ran = train(document(GPT))
    done = resume(ran.path, {"schedule.steps": 60, "optimizer.lr": 5e-4})
    assert len(done.records) == 60
    (edit,) = done.of("edit")
    assert edit["step"] == 40
    assert edit["changes"]["schedule.steps"] == [40, 60]
    assert bits(replay(ran.path).records) == bits(done.records)


def test_after_a_divergence_edits_past_the_checkpoint_are_dropped_and_told(train: Train, resume: Train) -> None:
    doc = document(
        GPT, optimizer={"kind": "sgd", "lr": 0.1, "clip": 0.0}, eval__every=0, sample__every=0, schedule__min_lr=0.0
    )
    ran = train(doc, at_start=[{"command": "set", "at": 25, "changes": {"optimizer.lr": 1e6}}])
    assert ran.outcome.state == "diverged"
    done = resume(ran.path, {"optimizer.lr": 0.05})
    assert done.outcome.state == "done"
    (resumed,) = done.of("resume")
    assert resumed["step"] == 20
    assert [(e["step"], e["changes"]) for e in resumed["edits_dropped"]] == [(25, {"optimizer.lr": 1e6})]
    assert [e["changes"] for e in done.of("edit")] == [{"optimizer.lr": [0.1, 0.05]}]
    assert np.isfinite(done.records["loss"]).all()


def test_what_is_asked_for_now_wins_over_an_edit_of_the_lost_attempt(resume: Train, tmp_path: Path) -> None:
    doc = document(GPT, **LONG)
    run = killed_past(doc, 235, EDITS, tmp_path)
    done = resume(run, {"optimizer.lr": 2e-4})
    assert [e["changes"] for e in done.of("edit")] == [
        {"optimizer.lr": [1e-3, 6e-4]}, {"optimizer.lr": [6e-4, 2e-4]}, {"batch.accum": [1, 2]},
    ]  # fmt: skip


def test_edits_that_wait_survive_an_attempt_that_ends_before_their_step(
    train: Train, resume: Train, tmp_path: Path
) -> None:
    """Killed past an edit, resumed and stopped before it, resumed again: the edit is made all the same."""
    undisturbed = train(RUNS["gpt with dropout, adamw"], at_start=EDITS)
    run = killed_past(RUNS["gpt with dropout, adamw"], 240, EDITS, tmp_path)
    assert resume(run, at_start=[{"command": "stop", "at": 210}]).outcome.state == "stopped"
    done = resume(run)
    assert [e["step"] for e in done.of("edit")] == [150, 230]
    assert bits(done.records) == bits(undisturbed.records)


@pytest.mark.parametrize("kept", [True, False], ids=["with its checkpoint", "without any"])
def test_a_replay_that_was_stopped_is_still_a_replay(
    train: Train, resume: Train, signals: Any, tmp_path: Path, kept: bool
) -> None:
    ran = train(document(GPT), at_start=[{"command": "set", "at": 25, "changes": {"optimizer.lr": 3e-4}}])
    script = tiny_runs.Script([{"command": "stop", "at": 10}])
    worker.replay(
        ran.path, tmp_path / "again", narrators=[script], signals=signals, progress=lambda a, b: None,
        tell=lambda t: None,
    )  # fmt: skip
    if not kept:
        shutil.rmtree(script.run / "checkpoints")
        (script.run / "checkpoints").mkdir(mode=0o700)
    assert bits(resume(script.run).records) == bits(ran.records)


def test_a_resume_whose_waiting_edits_cannot_be_made_is_refused(resume: Train, tmp_path: Path) -> None:
    run = killed_past(document(GPT, **LONG), 235, EDITS, tmp_path)
    before = (run / "events.jsonl").read_bytes()
    with pytest.raises(UsageError, match="the edit at step 230"):
        resume(run, {"schedule.min_lr": 5e-4})
    assert (run / "events.jsonl").read_bytes() == before


def test_a_rewind_keeps_the_pace(train: Train) -> None:
    ran = train(document(GPT), at_start=[{"command": "pace", "rate": 400, "at": 5}, {"command": "rewind", "at": 33}])
    ended = status.read(ran.path)
    assert ended is not None
    assert (ended.state, ended.pace) == ("done", 400.0)


def test_rewind_goes_back_to_the_last_checkpoint_in_the_same_process(train: Train) -> None:
    whole = train(document(GPT))
    ran = train(document(GPT), at_start=[{"command": "rewind", "at": 33}])
    assert ran.answers(0)[-1]["state"] == "applied"
    assert [(e["step"], e["attempt"]) for e in ran.of("resume")] == [(20, 2)]
    assert bits(ran.records) == bits(whole.records)
    assert weights(ran.path) == weights(whole.path)


def test_a_corpus_that_has_changed_is_refused(train: Train, resume: Train, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(GPT["data"]["text"])
    ran = train(document(GPT, data={"dataset": str(text)}), at_start=[{"command": "stop", "at": 5}])
    before = (ran.path / "events.jsonl").read_bytes()
    text.write_text(GPT["data"]["text"].upper())
    with pytest.raises(DataError, match="changed since the run began"):
        resume(ran.path)
    assert (ran.path / "events.jsonl").read_bytes() == before


def test_another_machine_is_refused_unless_accepted(train: Train, signals: Any, tmp_path: Path) -> None:
    ran = train(document(GPT), at_start=[{"command": "stop", "at": 25}])
    path = ran.path / "resolved.json"
    resolved = json.loads(path.read_text())
    assert resolved["threads"] == 1
    path.write_text(json.dumps({**resolved, "device_model": "another CPU"}))
    quiet: dict[str, Any] = {"narrators": [], "signals": signals, "progress": lambda a, b: None, "tell": lambda t: None}
    with pytest.raises(UsageError, match=r"device_model was another CPU.*--re-resolve"):
        worker.resume(ran.path, {}, **quiet)
    assert worker.resume(ran.path, {}, re_resolve=True, **quiet).state == "done"
    assert ran.of("resume")[0]["re_resolved"]["device_model"][0] == "another CPU"


def test_a_second_worker_is_kept_out(train: Train, resume: Train) -> None:
    ran = train(document(GPT), at_start=[{"command": "stop", "at": 25}])
    with worker.locked(ran.path), pytest.raises(worker.Busy, match="another worker has it"):
        resume(ran.path)


def test_a_status_that_was_never_written_is_a_lost_run(train: Train, resume: Train) -> None:
    ran = train(document(GPT), at_start=[{"command": "stop", "at": 25}])
    (ran.path / "status.json").write_bytes(b"")
    assert status.observed(status.read(ran.path)) == "lost"
    assert resume(ran.path).outcome.state == "done"


def test_files_are_private(train: Train) -> None:
    ran = train(document(GPT))
    for folder, _, files in os.walk(ran.path):
        assert Path(folder).stat().st_mode & 0o777 == 0o700
        for name in files:
            assert (Path(folder) / name).stat().st_mode & 0o777 == 0o600, name
