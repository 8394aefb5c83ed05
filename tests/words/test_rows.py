"""`workbench rows`, called in this process."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import GPT, MLP, TEXT, Train, document
from told import Capture, the_object

from workbench.data.batches import fingerprint
from workbench.errors import DataError, UsageError
from workbench.words.telling import rows

ESCAPE = "\x1b"


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
        captured = capsys.readouterr()
        assert json.loads(captured.out)["offsets"] == [16 * g for g in range(first, first + count)]
        assert ("is still to come (6 are there)" in captured.err) == (step >= 6)


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
