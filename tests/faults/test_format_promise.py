"""Runs of the first format open in every later version. What stands here is never made to fit: format-1/README.md."""

import csv
import hashlib
import json
import shutil
from pathlib import Path

import pytest
from faults.golden_1 import GOLDEN

from workbench import cli
from workbench.runs import inspections
from workbench.screen.bench.follow import Followed

FORMAT_1 = Path(__file__).parent / "format-1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(FORMAT_1, tmp_path / "runs")
    return tmp_path / "runs"


def told(folder: Path, capsys: pytest.CaptureFixture[str], word: str, code: int = 0) -> str:
    capsys.readouterr()
    assert cli.main([*word.split(), "--runs-dir", str(folder)]) == code, capsys.readouterr().err
    return capsys.readouterr().out


def test_the_list(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = [json.loads(line) for line in told(folder, capsys, "runs --json").splitlines()]
    states = {o["run"].partition("-")[0]: (o["state"], o["step"], o["steps"]) for o in listed}
    assert states == {"done": ("done", 12, 12), "resumed": ("done", 12, 12), "lost": ("lost", 9, 12),
                      "diverged": ("diverged", 2, 12)}  # fmt: skip


@pytest.mark.parametrize("run", GOLDEN)
def test_every_reader_tells_the_same_numbers(folder: Path, capsys: pytest.CaptureFixture[str], run: str) -> None:
    golden = GOLDEN[run]
    rows = list(csv.reader(told(folder, capsys, f"export {run} --csv").splitlines()))
    first, last = (dict(zip(rows[0], rows[at], strict=True)) for at in (1, -1))
    assert (len(rows) - 1, first["loss"], last["loss"], last["tokens"]) == golden["records"]
    kinds = [json.loads(line)["type"] for line in told(folder, capsys, f"export {run} --jsonl").splitlines()]
    assert hashlib.sha256(" ".join(kinds).encode()).hexdigest() == golden["kinds"]
    assert json.loads(told(folder, capsys, f"rows {run} --step 7 --json"))["hash"] == golden["rows_7"]
    found = json.loads(told(folder, capsys, f"eval {run} --json"))
    assert found["val_loss"] == pytest.approx(golden["val_loss"], abs=1e-4)
    assert json.loads(told(folder, capsys, f"sample {run} --tokens 5 --json"))["step"] == golden["checkpoint"]
    compared = json.loads(told(folder, capsys, f"compare {run} --json"))["runs"][0]
    assert compared["val_loss"] == golden["last_eval"]
    followed = Followed(next(folder.glob(f"{run}-*")))
    followed.look()
    assert followed.error == ""
    assert golden["B"] == followed.live.batch.B
    assert len(followed.curves) == golden["records"][0]


@pytest.mark.parametrize("run", ["done", "resumed", "lost"])
def test_it_goes_on_from_where_it_stood(folder: Path, capsys: pytest.CaptureFixture[str], run: str) -> None:
    said = told(folder, capsys, f"resume {run} --steps 14 --re-resolve --json")
    events = [json.loads(line) for line in said.splitlines()]
    resumed = next(e for e in events if e["type"] == "resume")
    assert resumed["step"] == GOLDEN[run]["checkpoint"]
    assert (events[-1]["type"], events[-1]["state"], events[-1]["step"]) == ("end", "done", 14)


def test_a_replay(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = told(folder, capsys, "replay done --re-resolve --json")
    assert [e["step"] for e in map(json.loads, said.splitlines()) if e["type"] == "edit"] == [3, 6]


def test_an_inspection_and_a_look_at_the_test_split(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = folder.glob("done-*")
    (file,) = (run / "inspect").glob("*.safetensors")
    assert inspections.read(run, f"inspect/{file.name}").step == 7
    looked = json.loads(told(folder, capsys, "eval resumed --split test --json"))
    assert (looked["recorded"], looked["step"], looked["test_loss"]) == (True, 12, GOLDEN["resumed"]["test_loss"])
