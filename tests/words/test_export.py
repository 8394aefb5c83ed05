"""`workbench export`, called in this process."""

import csv
import io
import math

import pytest
from tiny_runs import GPT, Train, document
from told import Capture, objects

from workbench.runs.records import DTYPE
from workbench.words.telling import export


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
