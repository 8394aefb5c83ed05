"""`workbench sample` and `workbench eval`: a run's last checkpoint. Called in this process."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import GPT, LINES, MLP, TEXT, Ran, Train, document
from told import Capture, the_object

from workbench.errors import DataError, UsageError, WorkbenchError
from workbench.training import offline


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


def test_a_sample_is_told_harmless(train: Train, capsys: Capture) -> None:
    """A model says what its corpus says, and that may clear a screen."""
    ran = train(document(GPT, data={"text": TEXT.replace(" times ", "\x1b[2J")}, schedule__steps=5))
    capsys.readouterr()
    offline.sample(ran.path, **HOW | {"prompt": "7\x1b[2J", "json": False})
    out = capsys.readouterr().out
    assert out.startswith("7")
    assert "[2J" in out
    assert "\x1b" not in out
    offline.sample(ran.path, **HOW | {"prompt": "7\x1b[2J"})
    assert "\x1b" not in (out := capsys.readouterr().out)
    assert json.loads(out)["prompt"] == "7\x1b[2J"


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


def test_the_same_step_of_another_attempt_is_looked_at_anew(train: Train, resume: Train, capsys: Capture) -> None:
    windows = train(document(MLP))
    capsys.readouterr()
    offline.evaluate(windows.path, split="test", json=True)
    first = the_object(capsys)
    shutil.rmtree(windows.path / "checkpoints" / "step-00000040")
    resume(windows.path, {"optimizer.lr": 0.01})  # from step 20, and to other weights
    capsys.readouterr()
    offline.evaluate(windows.path, split="test", json=True)
    told = the_object(capsys)
    assert (first["step"], first["attempt"], told["step"], told["attempt"]) == (40, 1, 40, 2)
    assert (told["looks"], told["recorded"]) == (2, False)
    assert told["test_loss"] != first["test_loss"]


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
