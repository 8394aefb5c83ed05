"""`--detach`: a worker of its own goes on when the command has returned, and what it refuses is told."""

import json
from typing import TYPE_CHECKING

from tiny_runs import GPT, document

from workbench import preset as presets
from workbench.runs import status
from workbench.runs.records import StepReader

if TYPE_CHECKING:
    from conftest import Command


def test_a_detached_resume_trains_on_and_a_finished_or_refused_one_says_so(workbench: "Command") -> None:
    preset = presets.to_toml(presets.from_document(document(GPT), source="test"))
    (workbench.folder / "tiny.toml").write_text(preset)
    assert workbench("--headless", "tiny.toml", "--steps", "20", "--quiet").returncode == 0
    run = workbench.run()

    refused = workbench("resume", run.name, "--detach", "--set", "model.width=8", "--steps", "30")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("workbench: model.width: not a live key")

    begun = workbench("resume", run.name, "--detach", "--steps", "60")
    assert begun.returncode == 0, begun.stderr
    assert begun.stdout.startswith(f"{run.name}: trains on as process ")
    workbench.until(lambda: (status.read(run) or status.Status()).state == "done")
    assert len(StepReader(run)) == 60

    over = workbench("resume", run.name, "--detach")
    assert (over.returncode, over.stdout) == (0, "done already, 60 steps\n")
    told = workbench("resume", run.name, "--detach", "--json")
    assert json.loads(told.stdout)["type"] == "end"
