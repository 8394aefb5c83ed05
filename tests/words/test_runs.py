"""`workbench runs`, called in this process."""

from pathlib import Path

from tiny_runs import GPT, MLP, Train, document
from told import Capture, objects

from workbench.runs import directory
from workbench.words.telling import runs


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
        last = ran.of("eval")[-1]
        assert (o["val_loss"], o["val_step"]) == (last["val_loss"], last["step"])
        assert o["path"] == str(ran.path)
    assert runs.tell(folder, json=False) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "state", "step", "loss", "val", "loss"]
    assert lines[0].split()[:3] == [first.path.name, "stopped", "25/40"]
    assert lines[0].endswith(f"{first.of('eval')[-1]['val_loss']:.4f} at 20"), "it says of which step"
    assert lines[1].split()[:3] == [second.path.name, "done", "40/40"]
    assert lines[1].endswith(f"{second.of('eval')[-1]['val_loss']:.4f}")
    assert f"{second.records['loss'][-1]:.4f}" in lines[1]


def test_without_a_validation_split_there_is_no_loss_of_any_step(train: Train, capsys: Capture) -> None:
    doc = document(GPT, data__val_fraction=0.0)
    ran = train(doc, at_start=[{"command": "stop", "at": 25}])
    assert ran.of("eval")
    capsys.readouterr()
    runs.tell(str(ran.path.parent), json=False)
    assert capsys.readouterr().out.splitlines()[1].split()[-1] == "–"


def test_one_damaged_run_hides_no_other(train: Train, capsys: Capture) -> None:
    ran, bad = train(document(GPT, schedule__steps=5)), train(document(GPT, schedule__steps=5))
    (bad.path / "steps.json").write_text("{")
    capsys.readouterr()
    runs.tell(str(ran.path.parent), json=True)
    assert {o["run"]: o["state"] for o in objects(capsys)} == {ran.path.name: "done", bad.path.name: "unreadable"}
    (bad.path / "status.json").write_text("{")
    runs.tell(str(ran.path.parent), json=False)
    assert "unreadable" in capsys.readouterr().out


def test_a_name_that_would_act_on_a_terminal_is_told_harmless(tmp_path: Path, capsys: Capture) -> None:
    """A run's folder may come from anywhere."""
    run = directory.create(tmp_path, "made", 'name = "made"\n')
    run.rename(tmp_path / "\x1b[2Jgone\r")
    for json in (False, True):
        assert runs.tell(str(tmp_path), json=json) == 0
        out = capsys.readouterr().out
        assert "[2Jgone" in out
        assert not {"\x1b", "\r"} & set(out)


def test_no_runs(tmp_path: Path, capsys: Capture) -> None:
    assert runs.tell(str(tmp_path / "nowhere"), json=False) == 0
    assert "no runs in" in capsys.readouterr().out
    assert runs.tell(str(tmp_path / "nowhere"), json=True) == 0
    assert objects(capsys) == []
