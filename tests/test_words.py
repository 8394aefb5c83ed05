"""The words that look at things, called in this process: runs, rows, data, export, --dry-run, sample, eval, doctor."""

import csv
import io
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_runs import GPT, LINES, MLP, TEXT, Ran, Train, document

from workbench import preset as presets
from workbench.data import catalog
from workbench.data.batches import fingerprint
from workbench.errors import DataError, UsageError, WorkbenchError
from workbench.headless.lines import Preparing
from workbench.plan import schedule
from workbench.plan.parameters import itemise, total
from workbench.runs.records import DTYPE
from workbench.training import offline
from workbench.words import doctor
from workbench.words.telling import data, dry_run, export, rows, runs

Capture = pytest.CaptureFixture[str]
ESCAPE = "\x1b"


def objects(capsys: Capture) -> list[dict[str, Any]]:
    """What was written to stdout, strictly as JSON lines; every object has its format."""

    def refuse(name: str) -> None:
        pytest.fail(f"{name} is no JSON")

    told = [json.loads(line, parse_constant=refuse) for line in capsys.readouterr().out.splitlines()]
    assert all(o["format"] == 1 for o in told)
    return told


def the_object(capsys: Capture) -> dict[str, Any]:
    (told,) = objects(capsys)
    return told


def test_the_preset_knows_the_catalogs_names() -> None:
    assert set(presets.NAMED_DATASETS) == set(catalog.DATASETS)
    assert len(presets.NAMED_DATASETS) == len(catalog.DATASETS)


# ------------------------------------------------------------------------------------- lr is plan.schedule's


@pytest.mark.parametrize(
    "keys",
    [
        {"kind": "cosine", "warmup": 5},
        {"kind": "cosine", "warmup": 0},
        {"kind": "constant", "warmup": 3},
        {"kind": "step", "warmup": 2, "milestones": [8, 15], "gamma": 0.5},
        {"kind": "wsd", "warmup": 4, "decay_fraction": 0.4},
    ],
    ids=lambda keys: f"{keys['kind']}, warmup {keys['warmup']}",
)
def test_a_run_takes_the_lr_that_the_plan_draws(train: Train, keys: dict[str, Any]) -> None:
    doc = document(GPT, schedule={"steps": 20, **keys}, eval__every=0, sample__every=0, optimizer={"lr": 2e-3})
    ran = train(doc, at_start=[{"command": "set", "at": 12, "changes": {"optimizer.lr": 4e-3}}])
    before = presets.from_document(doc, source="test")
    after = presets.apply(before, {"optimizer.lr": 4e-3})
    expected = [*schedule.curve(before, np.arange(12)), *schedule.curve(after, np.arange(12, 20))]
    assert ran.records["lr"].tolist() == expected  # to the bit


# ------------------------------------------------------------------------------------- runs


def test_runs_tells_each_run_and_where_it_stands(train: Train, capsys: Capture) -> None:
    first = train(document(GPT, name="first"), at_start=[{"command": "stop", "at": 25}])
    second = train(document(MLP, name="second"))
    folder = str(first.path.parent)
    capsys.readouterr()
    assert runs.tell(folder, json=True) == 0
    told = objects(capsys)
    assert [(o["run"], o["state"], o["step"], o["steps"]) for o in told] == [
        (first.path.name, "stopped", 25, 40), (second.path.name, "done", 40, 40),
    ]  # fmt: skip
    for o, ran in zip(told, (first, second), strict=True):
        assert o["loss"] == ran.records["loss"][-1]
        assert o["val_loss"] == ran.of("eval")[-1]["val_loss"]
        assert o["path"] == str(ran.path)
    assert runs.tell(folder, json=False) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "state", "step", "loss", "val", "loss"]
    assert lines[0].split()[:3] == [first.path.name, "stopped", "25/40"]
    assert lines[1].split()[:3] == [second.path.name, "done", "40/40"]
    assert f"{second.records['loss'][-1]:.4f}" in lines[1]


def test_one_damaged_run_hides_no_other(train: Train, capsys: Capture) -> None:
    ran, bad = train(document(GPT, schedule__steps=5)), train(document(GPT, schedule__steps=5))
    (bad.path / "steps.json").write_text("{")
    capsys.readouterr()
    runs.tell(str(ran.path.parent), json=True)
    assert {o["run"]: o["state"] for o in objects(capsys)} == {ran.path.name: "done", bad.path.name: "unreadable"}
    (bad.path / "status.json").write_text("{")
    runs.tell(str(ran.path.parent), json=False)
    assert "unreadable" in capsys.readouterr().out


def test_no_runs(tmp_path: Path, capsys: Capture) -> None:
    assert runs.tell(str(tmp_path / "nowhere"), json=False) == 0
    assert "no runs in" in capsys.readouterr().out
    assert runs.tell(str(tmp_path / "nowhere"), json=True) == 0
    assert objects(capsys) == []


# ------------------------------------------------------------------------------------- rows


def test_rows_of_a_preset(capsys: Capture) -> None:
    assert rows.tell("to-be", sets=["data.order=sequential", "B=2"], step=0, runs=None, json=True) == 0
    told = the_object(capsys)
    assert (told["step"], told["B"], told["T"], told["offsets"]) == (0, 2, 8, [0, 8])
    assert told["x_text"] == ["To be or", " not to "]
    assert told["y_text"] == ["o be or ", "not to b"]
    x, y = np.array(told["x"]), np.array(told["y"])
    assert x.shape == y.shape == (2, 8)
    assert (x[:, 1:] == y[:, :-1]).all()
    assert told["hash"] == fingerprint([x], [y])


def test_rows_are_told_in_text_with_what_cannot_be_seen_made_visible(tmp_path: Path, capsys: Capture) -> None:
    text = tmp_path / "text.txt"
    text.write_text(f"a\tb\n{ESCAPE}[31mred" * 3)
    rows.tell(
        "to-be", sets=[f"dataset={text}", "data.order=sequential", "B=1", "accum=2"], step=0, runs=None, json=False
    )
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == "B·T · accum = 1·8·2 = 16 predictions"
    assert len(lines) == 5
    assert lines[1].lstrip().startswith("0  x  a→b↵")
    assert ESCAPE not in captured.out + captured.err
    assert "hash" in captured.err


def test_rows_of_windows(train: Train, capsys: Capture) -> None:
    ran = train(document(MLP, data__order="sequential", schedule__steps=5, schedule__milestones=[]))
    capsys.readouterr()
    rows.tell(ran.path.name, sets=[], step=1, runs=str(ran.path.parent), json=True)
    told = the_object(capsys)
    assert told["offsets"] == list(range(8, 16))
    assert np.array(told["x"]).shape == (8, 3)
    assert np.array(told["y"]).shape == (8,)
    assert all(len(text) == 1 for text in told["y_text"])
    rows.tell(ran.path.name, sets=[], step=1, runs=str(ran.path.parent), json=False)
    assert "8 predictions, one a row" in capsys.readouterr().out


def test_rows_of_records_to_come_follow_from_the_last_settings(train: Train, capsys: Capture) -> None:
    edits = [{"command": "set", "at": 3, "changes": {"batch.B": 2}}, {"command": "stop", "at": 6}]
    ran = train(document(GPT, data__order="sequential"), at_start=edits)
    for step, first, count in ((2, 8, 4), (3, 12, 2), (5, 16, 2), (6, 18, 2), (9, 24, 2)):
        capsys.readouterr()
        rows.tell(str(ran.path), sets=[], step=step, runs=None, json=True)
        assert the_object(capsys)["offsets"] == [16 * g for g in range(first, first + count)]


def test_rows_that_cannot_be_told(train: Train, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    ran = train(document(GPT, data={"dataset": str(text)}, schedule__steps=5))
    with pytest.raises(UsageError, match="--step -1"):
        rows.tell("to-be", sets=[], step=-1, runs=None, json=False)
    with pytest.raises(UsageError, match="--set goes with a preset"):
        rows.tell(str(ran.path), sets=["B=2"], step=0, runs=None, json=False)
    with pytest.raises(UsageError, match="no run named"):
        rows.tell("nobody", sets=[], step=0, runs=str(tmp_path), json=False)
    text.write_text(TEXT[1:])
    with pytest.raises(DataError, match="corpus has changed"):
        rows.tell(str(ran.path), sets=[], step=0, runs=None, json=False)


# ------------------------------------------------------------------------------------- export


def test_csv_is_steps_bin(train: Train, capsys: Capture) -> None:
    ran = train(document(GPT))
    capsys.readouterr()
    assert export.csv(ran.path) == 0
    out = capsys.readouterr().out
    assert "\r" not in out
    told = list(csv.DictReader(io.StringIO(out)))
    assert list(told[0]) == [*(DTYPE.names or ()), "tokens_per_s"]
    assert len(told) == 40
    for name in DTYPE.names or ():
        kind = float if DTYPE[name].kind == "f" else int
        assert [kind(row[name]) for row in told] == ran.records[name].tolist(), name  # not a digit is lost
    assert float(told[3]["tokens_per_s"]) == pytest.approx(64 / ran.records["seconds"][3])


def test_jsonl_is_what_json_told(train: Train, capsys: Capture) -> None:
    edit = {"command": "set", "at": 13, "changes": {"optimizer.lr": 3e-4}}
    ran = train(document(GPT), at_start=[edit])
    capsys.readouterr()
    assert export.jsonl(ran.path) == 0
    told = objects(capsys)
    assert [o for o in told if o["type"] != "step"] == ran.events
    steps = [o for o in told if o["type"] == "step"]
    assert [o["step"] for o in steps] == list(range(40))
    assert [o["loss"] for o in steps] == ran.records["loss"].tolist()
    assert [o["time"] for o in steps] == ran.records["time"].tolist()
    needed = {"step", "loss", "lr", "grad_norm", "tokens", "seconds", "tokens_per_s", "B", "T", "accum", "time", "at"}
    assert all(needed <= set(o) for o in steps)
    assert (told[0]["type"], told[-1]["type"]) == ("start", "end")
    done = 0  # an event at n stands where n updates are done
    for o in told[1:]:
        if o["type"] == "step":
            assert o["step"] == done
            done += 1
        elif o["type"] != "answer":
            assert o["step"] == done, o


def test_a_divergence_exports_its_last_record_and_then_its_end(train: Train, capsys: Capture) -> None:
    ran = train(document(GPT, optimizer={"kind": "sgd", "lr": 1e6, "clip": 0.0}, eval__every=0, sample__every=0))
    assert ran.outcome.state == "diverged"
    capsys.readouterr()
    export.jsonl(ran.path)
    *_, record, end = objects(capsys)
    assert (record["type"], end["type"]) == ("step", "end")
    assert record["loss"] is None or record["grad_norm"] is None
    assert set(record["nonfinite"].values()) <= {"nan", "inf"}
    export.csv(ran.path)
    last = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))[-1]
    assert not math.isfinite(float(last["loss"])) or not math.isfinite(float(last["grad_norm"]))


def test_a_run_without_records_exports_its_header(train: Train, capsys: Capture) -> None:
    ran = train(document(GPT), at_start=[{"command": "stop", "at": 0}])
    capsys.readouterr()
    export.csv(ran.path)
    assert capsys.readouterr().out == ",".join([*(DTYPE.names or ()), "tokens_per_s"]) + "\n"
    export.jsonl(ran.path)
    assert [o["type"] for o in objects(capsys)][-1] == "end"


# ------------------------------------------------------------------------------------- data


def test_data_lists_every_dataset(capsys: Capture) -> None:
    assert data.tell(None, tokenizer="char", fetch=False, json=True) == 0
    told = objects(capsys)
    assert [o["name"] for o in told] == list(catalog.DATASETS)
    assert {o["name"]: o["here"] for o in told if o["kind"] == "embedded"} == dict.fromkeys(
        ("python-docs", "python-source", "unicode-names", "markov"), True
    )
    assert data.tell(None, tokenizer="char", fetch=False, json=False) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in catalog.DATASETS)
    with pytest.raises(UsageError, match="which dataset"):
        data.tell(None, tokenizer="char", fetch=True, json=False)


def test_data_of_a_file(tmp_path: Path, capsys: Capture) -> None:
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    assert data.tell(str(text), tokenizer="char", fetch=False, json=True) == 0
    told = the_object(capsys)
    n = int(len(TEXT) * 0.9)
    assert (told["characters"], told["bytes"], told["lines"]) == (len(TEXT), len(TEXT.encode()), 39 * 39)
    assert told["tokens"] == {"train": n, "val": len(TEXT) - n}
    assert told["vocab"] == len(set(TEXT))
    floors = told["floors"]
    assert floors["uniform"] == pytest.approx(math.log(len(set(TEXT))))
    assert floors["uniform"] > floors["unigram"] > floors["bigram"] > floors["trigram"] > 0
    assert data.tell(str(text), tokenizer="byte", fetch=False, json=False) == 0
    out = capsys.readouterr().out
    assert "tokenizer    byte, vocabulary 256" in out
    assert told["fingerprint"] in out
    assert "begins       1 times 1 is 1.↵" in out
    with pytest.raises(UsageError, match="nothing to fetch"):
        data.tell(str(text), tokenizer="char", fetch=True, json=False)
    with pytest.raises(UsageError, match=r"data\.tokenizer"):
        data.tell(str(text), tokenizer="chr", fetch=False, json=False)


# ------------------------------------------------------------------------------------- --dry-run


@pytest.mark.parametrize("base", [GPT, MLP], ids=["gpt", "mlp"])
def test_a_dry_run_is_what_the_run_then_says(
    train: Train, tmp_path: Path, base: dict[str, Any], capsys: Capture
) -> None:
    doc = document(base, batch__accum=3)
    preset = presets.from_document(doc, source="test")
    assert dry_run.tell(preset, json=True, progress=Preparing(silent=True)) == 0
    told = the_object(capsys)
    assert not (tmp_path / "runs").exists()
    (start,) = train(doc).of("start")
    same = ("params", "vocab", "train_tokens", "val_tokens", "tokens_per_step", "steps_per_epoch", "fingerprint")
    assert {key: told[key] for key in same} == {key: start[key] for key in same}
    assert sum(told["parameters"].values()) == told["params"]
    assert sum(told["memory"].values()) == told["memory_bytes"] > 4 * told["params"]
    assert presets.from_document(told["preset"], source="test") == preset


def test_a_dry_run_in_text(capsys: Capture) -> None:
    preset = presets.from_document(document(GPT, batch__accum=2), source="test")
    dry_run.tell(preset, json=False, progress=Preparing(silent=True))
    out = capsys.readouterr().out
    items = itemise(preset.model, len(set(TEXT)), 16)
    lines = [line.strip() for line in out.splitlines()]
    for name, count in [("parameters", total(items)), *((item.name, item.count) for item in items)]:
        assert any(line.startswith(name) and line.endswith(f" {count:,}") for line in lines), name
    assert "tokens a step   128 = B 4 · T 16 · accum 2" in out
    assert "each step reads 128 characters" in out


def test_a_dry_run_refuses_what_the_run_would(tmp_path: Path) -> None:
    preset = presets.from_document({"data": {"text": "short", "val_fraction": 0.0}, "batch": {"T": 16}}, source="test")
    with pytest.raises(UsageError, match=r"batch\.T = 16 is too large"):
        dry_run.tell(preset, json=True, progress=Preparing(silent=True))


# ------------------------------------------------------------------------------------- sample and eval


@pytest.fixture
def ran(train: Train, capsys: Capture) -> Ran:
    out = train(document(GPT, optimizer__lr=1e-2, eval__tokens=0))
    capsys.readouterr()
    return out


HOW: dict[str, Any] = {"prompt": None, "tokens": None, "temperature": None, "top_k": None, "seed": None, "json": True}


def test_sample_goes_on_as_the_run_itself_did(ran: Ran, capsys: Capture) -> None:
    assert offline.sample(ran.path, **HOW) == 0
    told, last = the_object(capsys), ran.of("sample")[-1]
    assert (told["step"], told["prompt"], told["text"]) == (40, last["prompt"], last["text"])
    offline.sample(ran.path, **HOW | {"prompt": "7 times ", "tokens": 60, "seed": 5, "json": False})
    text = capsys.readouterr().out
    assert text.startswith("7 times ")
    assert len(text) == len("7 times ") + 60 + 1
    offline.sample(ran.path, **HOW | {"prompt": "7 times ", "tokens": 60, "temperature": 0.0, "seed": 5})
    greedy = the_object(capsys)["text"]
    offline.sample(ran.path, **HOW | {"prompt": "7 times ", "tokens": 60, "top_k": 1, "seed": 6})
    assert the_object(capsys)["text"] == greedy


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"prompt": "é"}, r"--prompt 'é': character 'é'"),
        ({"prompt": ""}, "sample.prompt"),
        ({"temperature": -1.0}, "sample.temperature"),
        ({"temperature": math.nan}, "sample.temperature"),
        ({"tokens": -1}, "sample.tokens"),
        ({"top_k": -1}, "sample.top_k"),
    ],
)
def test_a_sample_that_cannot_be_made_names_why(ran: Ran, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        offline.sample(ran.path, **HOW | changes)


@pytest.mark.parametrize("precision", ["fp32", "fp64", "bf16"])
@pytest.mark.parametrize("base", [GPT, MLP], ids=["gpt", "mlp"])
def test_eval_is_the_runs_own_last_eval(train: Train, base: dict[str, Any], precision: str, capsys: Capture) -> None:
    ran = train(document(base, device__precision=precision, device__name="cpu", eval__tokens=0))
    capsys.readouterr()
    assert offline.evaluate(ran.path, split="val", json=True) == 0
    told, last = the_object(capsys), ran.of("eval")[-1]
    same = ("step", "train_loss", "val_loss", "perplexity")
    assert {key: told[key] for key in same} == {key: last[key] for key in same}  # to the bit


def test_the_test_split_is_looked_at_once(train: Train, resume: Train, ran: Ran, capsys: Capture) -> None:
    windows = train(document(MLP))
    capsys.readouterr()
    offline.evaluate(windows.path, split="test", json=True)
    told = the_object(capsys)
    assert told["tokens"] == windows.of("start")[0]["test_examples"]
    assert 0 < told["test_loss"] < math.log(len(set(LINES))) + 1
    assert (told["looks"], told["recorded"]) == (1, False)
    weights = windows.path / "checkpoints" / "step-00000040" / "model.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:-400] + bytes(400))
    assert offline.evaluate(windows.path, split="test", json=True) == 0  # nothing is evaluated: these are others
    again = the_object(capsys)
    assert again == told | {"recorded": True}
    offline.evaluate(windows.path, split="test", json=False)
    text = capsys.readouterr().out
    assert f"test {told['test_loss']:.4f}" in text
    assert f"the figure of {told['at']}" in text
    weights.write_bytes(kept)
    resume(windows.path, {"schedule.steps": 60})
    capsys.readouterr()
    offline.evaluate(windows.path, split="test", json=False)
    text = capsys.readouterr().out
    assert "at step 60" in text
    assert "look 2 at the test split" in text
    offline.evaluate(windows.path, split="test", json=True)
    last = the_object(capsys)
    assert (last["looks"], last["recorded"], last["first_at"]) == (2, True, told["at"])
    assert last["test_loss"] != told["test_loss"]
    with pytest.raises(UsageError, match="no test split: only split = 'lines'"):
        offline.evaluate(ran.path, split="test", json=True)


def test_the_first_look_says_so(train: Train, capsys: Capture) -> None:
    windows = train(document(MLP))
    capsys.readouterr()
    offline.evaluate(windows.path, split="val", json=False)
    assert "test" not in capsys.readouterr().out
    assert not (windows.path / "test.json").exists()
    offline.evaluate(windows.path, split="test", json=False)
    assert "its one look" in capsys.readouterr().out


def test_eval_of_a_model_whose_perplexity_is_beyond_numbers(train: Train, capsys: Capture) -> None:
    wild = document(MLP, optimizer={"kind": "sgd", "lr": 1e5, "clip": 0.0, "weight_decay": 0.0})
    ran = train(wild)
    assert ran.outcome.state == "done"
    capsys.readouterr()
    offline.evaluate(ran.path, split="val", json=True)
    told = the_object(capsys)
    assert told["val_loss"] > 710
    assert told["perplexity"] is None
    assert told["nonfinite"] == {"perplexity": "inf"}
    offline.evaluate(ran.path, split="val", json=False)
    assert "perplexity inf" in capsys.readouterr().out


def test_a_run_without_a_checkpoint_or_with_another_text(train: Train, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    ran = train(document(GPT, data={"dataset": str(text)}, schedule__steps=5))
    text.write_text(TEXT.upper())
    with pytest.raises(DataError, match="corpus has changed"):
        offline.evaluate(ran.path, split="val", json=True)
    assert offline.sample(ran.path, **HOW) == 0  # needs no corpus: the checkpoint holds its tokenizer
    for path in (ran.path / "checkpoints").iterdir():
        (path / "meta.json").unlink()
    with pytest.raises(WorkbenchError, match="missing or cut, and there is no other checkpoint"):
        offline.sample(ran.path, **HOW)
    for path in (ran.path / "checkpoints").iterdir():
        shutil.rmtree(path)
    with pytest.raises(UsageError, match="no checkpoint yet"):
        offline.sample(ran.path, **HOW)


# ------------------------------------------------------------------------------------- doctor


def test_doctor_tells_what_there_is(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    class Told:
        stdout = json.dumps({"version": "9.9", "cuda": None, "gpus": [], "mps": False, "capability": "AVX9"})

    def run(command: list[str], **how: Any) -> Told:
        asked.append(command)
        return Told()

    monkeypatch.setattr(doctor.subprocess, "run", run)  # its import takes seconds; test_cli asks the real one
    assert doctor.tell(str(tmp_path), json=True) == 0
    told = objects(capsys)
    assert {"python", "torch", "gpu", "machine", "runs", "cache"} <= {o["about"] for o in told}
    assert [o["found"] for o in told if o["about"] == "torch"] == ["9.9, CPU kernels AVX9"]
    assert "import json, torch" in asked[0][-1]
    doctor.tell(str(tmp_path), json=False)
    assert ESCAPE not in capsys.readouterr().out


def test_doctor_says_what_is_missing_and_how_to_mend_it(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_ASK_TORCH", "raise ImportError('libgomp is not here')")
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    assert doctor.tell(str(tmp_path), json=True) == 1
    missing = {o["about"]: o for o in objects(capsys) if o["level"] == "missing"}
    assert missing.keys() == {"torch", "runs", "cache"}
    assert "libgomp is not here" in missing["torch"]["found"]
    assert "pip install" in missing["torch"]["remedy"]
    assert "--runs-dir" in missing["runs"]["remedy"]
    assert "WORKBENCH_CACHE" in missing["cache"]["remedy"]
