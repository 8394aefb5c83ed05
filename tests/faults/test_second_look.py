"""Ways to lose a run, or to get something out of one, that a second look found."""

import shutil
from pathlib import Path

import pytest

from tiny_runs import GPT, Train, document

from workbench.errors import WorkbenchError

SHORT = document(GPT, schedule__steps=12, eval__every=0, sample__every=0, checkpoint__every=4)


@pytest.mark.parametrize("name", ["commands", "checkpoints", "inspect"])
def test_a_link_out_of_a_run_directory_lets_nothing_outside_be_removed(
    train: Train, resume: Train, tmp_path: Path, name: str
) -> None:
    run, outside = train(SHORT).path, tmp_path / "outside"
    shutil.rmtree(run / name) if name != "checkpoints" else (run / name).rename(outside)
    (outside / "step-99").mkdir(parents=True)
    (outside / "step-99" / "precious").write_text("precious")
    (outside / "precious.json").write_text("{}")
    (run / name).symlink_to(outside)
    before = sorted(outside.rglob("*"))
    with pytest.raises(WorkbenchError, match=f"{name}: a symbolic link"):
        resume(run, {"schedule.steps": 20})
    assert sorted(outside.rglob("*")) == before


@pytest.mark.parametrize("name", ["steps.bin", "events.jsonl", "worker.log", "lock", "status.json"])
def test_a_link_in_place_of_a_file_of_a_run_is_not_written_through(
    train: Train, resume: Train, tmp_path: Path, name: str
) -> None:
    run, outside = train(SHORT).path, tmp_path / "outside"
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").mkdir()
    outside.write_bytes(b"x" * 5000)
    (run / name).unlink()
    (run / name).symlink_to(outside)
    with pytest.raises(WorkbenchError, match=f"{name}: a symbolic link"):
        resume(run, {"schedule.steps": 20})
    assert outside.read_bytes() == b"x" * 5000
