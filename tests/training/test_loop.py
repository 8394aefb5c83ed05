"""A run from end to end: what it writes, what it hears, and that nothing but arithmetic changes its curve."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from tiny_runs import GPT, MLP, TEXT, Train, bits, document, weights

from workbench import preset as presets
from workbench.data.rows import Rows
from workbench.runs import settings, status
from workbench.runs.events import read_events
from workbench.runs.records import StepReader
from workbench.words.telling import rows as rows_word


def test_a_run_writes_one_record_an_update_and_ends_done(train: Train) -> None:
    ran = train(document(GPT, optimizer__lr=1e-2))
    r = ran.records
    assert ran.outcome.state == "done"
    assert r["step"].tolist() == list(range(40))
    assert r["tokens"].tolist() == [64 * (s + 1) for s in range(40)]
    assert r["rows_before"].tolist() == [4 * s for s in range(40)]
    assert r["lr"][4] == pytest.approx(1e-2)  # the peak, at the last step of the warmup
    assert r["lr"][39] == 1e-4
    assert r["loss"][-5:].mean() < r["loss"][:5].mean() - 0.3
    assert np.allclose(np.cumsum(r["seconds"]), r["time"])
    assert [e["step"] for e in ran.of("eval")] == [0, 20, 40]
    assert [e["step"] for e in ran.of("sample")] == [0, 20, 40]
    assert ran.of("end")[0]["step"] == 40
    assert status.observed(status.read(ran.path)) == "done"


@pytest.mark.parametrize("base", [GPT, MLP], ids=["gpt", "mlp"])
def test_evals_samples_and_checkpoints_change_no_bit(train: Train, base: dict[str, Any]) -> None:
    often = train(document(base, eval__every=3, sample__every=7, checkpoint__every=5, sample__tokens=9))
    never = train(document(base, eval__every=0, sample__every=0, checkpoint__every=0))
    assert bits(often.records) == bits(never.records)
    assert weights(often.path) == weights(never.path)


def test_a_reader_changes_no_bit(train: Train, tmp_path: Path) -> None:
    """Someone reads records, events and status all the while, as a screen does."""
    seen: list[int] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            for run in (tmp_path / "runs").glob("*"):
                seen.append(len(StepReader(run).read()))
                read_events(run)
                status.observed(status.read(run))

    reader = threading.Thread(target=read)
    reader.start()
    watched = train(document(GPT, schedule__steps=300))
    over.set()
    reader.join()
    assert seen
    assert bits(watched.records) == bits(train(document(GPT, schedule__steps=300)).records)


def test_an_edit_acts_at_its_step_and_replays_to_the_bit(train: Train, replay: Train) -> None:
    edits = [
        {"command": "set", "at": 10, "changes": {"optimizer.lr": 3e-4}},
        {"command": "set", "at": 20, "changes": {"batch.accum": 3, "optimizer.clip": 0.1}},
        {"command": "set", "at": 25, "changes": {"batch.T": 8, "data.order": "shuffled"}},
        {"command": "set", "at": 30, "changes": {"schedule.steps": 45}},
    ]
    ran = train(document(GPT), at_start=edits)
    r = ran.records
    assert [a["step"] for n in range(4) for a in ran.answers(n) if a["state"] == "applied"] == [10, 20, 25, 30]
    assert r["lr"][9] > 3e-4 >= r["lr"][10]
    assert r["accum"][19] == 1
    assert r["accum"][20] == 3
    assert r["T"][[24, 25]].tolist() == [16, 8]
    assert len(r) == 45
    assert ran.of("edit")[0]["changes"] == {"optimizer.lr": [1e-3, 3e-4]}
    again = replay(ran.path)
    assert again.path != ran.path
    assert bits(again.records) == bits(r)
    assert weights(again.path) == weights(ran.path)


def test_a_saved_preset_gives_the_same_run(train: Train) -> None:
    import tomllib

    ran = train(document(GPT, model__dropout=0.1))
    saved = tomllib.loads((ran.path / "preset.toml").read_text())
    assert bits(train(saved).records) == bits(ran.records)


REFUSED = [
    ({"command": "set", "changes": {"model.width": 32}}, "model.width: not a live key"),
    ({"command": "set", "changes": {"batch.T": 17}}, "model.context = 16"),
    ({"command": "set", "changes": {"optimizer.lr": 1e-5}}, "min_lr"),
    ({"command": "set", "changes": {"optimizer.lr": "fast"}}, "optimizer.lr"),
    ({"command": "set", "changes": {"schedule.steps": 2}}, "schedule.warmup"),
    ({"command": "set", "changes": {"sample.prompt": "é"}}, "'é'"),
    ({"command": "set", "changes": {}}, "expected `changes`"),
    ({"command": "set", "at": -1, "changes": {"optimizer.lr": 3e-4}}, "is past"),
    ({"command": "pace", "rate": -1}, "steps a second"),
]


def test_a_bad_command_is_refused_with_its_reason_and_changes_nothing(train: Train) -> None:
    ran = train(document(GPT), at_start=[command for command, _ in REFUSED])
    for n, (_, reason) in enumerate(REFUSED):
        answer = ran.answers(n)[-1]  # after an `accepted`, where it came during an eval
        assert answer["state"] == "refused"
        assert reason in answer["reason"]
    assert not ran.of("edit")
    assert bits(ran.records) == bits(train(document(GPT)).records)


@pytest.mark.parametrize("order", ["random", "sequential", "shuffled"])
@pytest.mark.parametrize("base", [GPT, MLP], ids=["stream", "windows"])
def test_the_rows_that_are_told_are_the_rows_that_were_trained_on(
    train: Train, base: dict[str, Any], order: str, capsys: pytest.CaptureFixture[str]
) -> None:
    live = {"batch.B": 6, "batch.accum": 2} | ({} if base is MLP else {"batch.T": 8})
    asked = [
        {"command": "inspect", "at": 3},
        {"command": "set", "at": 10, "changes": live},
        {"command": "inspect", "at": 15},
    ]
    ran = train(document(base, data__order=order, schedule__steps=20, schedule__milestones=[])
                if base is MLP else document(base, data__order=order, schedule__steps=20), at_start=asked)  # fmt: skip
    for n, step in ((0, 3), (2, 15)):
        (answer,) = [a for a in ran.answers(n) if a["state"] == "applied"]
        assert answer["step"] == step
        with safe_open(ran.path / answer["file"], "np") as file:
            told = file.metadata()
            assert told["hash"] == answer["hash"]
            mean = file.get_tensor("losses").astype("f8").mean()
            x = file.get_tensor("x")
        assert mean == pytest.approx(ran.records["loss"][step], abs=1e-6)  # the mean of the cells is what was logged
        capsys.readouterr()
        rows_word.tell(str(ran.path), sets=[], step=step, runs=None, json=True)
        printed = json.loads(capsys.readouterr().out)
        assert printed["hash"] == answer["hash"]
        assert printed["x"] == x.tolist()


def test_sequential_visits_every_token_once_through_edits_of_B_and_T(train: Train) -> None:
    edits = [
        {"command": "set", "at": 2, "changes": {"batch.B": 8}},
        {"command": "set", "at": 4, "changes": {"batch.T": 32}},
        {"command": "set", "at": 6, "changes": {"batch.B": 4}},
    ]
    base = document(GPT, data__order="sequential", batch__T=64, schedule__steps=8, eval__every=0, sample__every=0)
    ran = train(base, at_start=edits)
    assert [a["state"] for n in range(3) for a in ran.answers(n)][-1] == "applied"
    positions: list[int] = []
    for step in range(8):
        held = settings.at(ran.path, step)
        record = ran.records[step]
        assert record["B"] == [4, 4, 8, 8, 8, 8, 4, 4][step]
        function = Rows.of(held.preset, tokens=100_000, base=held.base)
        for offset in function.offsets(held.first, held.preset.batch.B).tolist():
            positions += range(offset, offset + int(record["T"]))
    assert positions == list(range(2 * 4 * 64 + 2 * 8 * 64 + 2 * 8 * 32 + 2 * 4 * 32))


def test_a_run_that_diverges_keeps_its_weights_and_names_the_rows(train: Train) -> None:
    wild = {"kind": "sgd", "lr": 1e6, "clip": 0.0}
    ran = train(document(GPT, optimizer=wild, eval__every=0, checkpoint__every=1, sample__every=0))
    (end,) = ran.of("end")
    assert ran.outcome.exit_code == 3
    assert ran.outcome.state == "diverged"
    last = ran.records[-1]
    assert last["flags"] & 2
    assert f"record {last['step']}" in end["reason"]
    assert "resume" in end["reason"]


def test_samples_without_an_encoder_are_refused_and_end_no_run(
    train: Train, test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kept corpus opens without one."""
    (tmp_path / "text.txt").write_text(TEXT)
    data = {"dataset": str(tmp_path / "text.txt"), "tokenizer": "gpt2"}
    doc = document(GPT, data=data, sample__every=0, eval__every=0, schedule__steps=12)
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("WORKBENCH_OFFLINE", "1")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(test_data / "tiktoken"))
    (tmp_path / "doc.toml").write_text(presets.to_toml(presets.from_document(doc, source="test")))
    subprocess.run(
        [sys.executable, "-m", "workbench", "rows", str(tmp_path / "doc.toml")], check=True, capture_output=True
    )
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "empty"))
    monkeypatch.setattr("tiktoken.registry.ENCODINGS", {})  # what other tests of this process have loaded
    commands = [{"command": "sample", "at": 3}, {"command": "set", "at": 5, "changes": {"sample.every": 5}}]
    ran = train(doc, at_start=commands)
    assert ran.outcome.state == "done"
    for n in (0, 1):
        assert [e["state"] for e in ran.answers(n)] == ["accepted", "refused"]
        assert "TIKTOKEN_CACHE_DIR" in ran.answers(n)[1]["reason"]
    assert ran.of("edit") == ran.of("sample") == []
