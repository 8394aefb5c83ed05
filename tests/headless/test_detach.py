"""`--detach`: a worker of its own goes on when the command has returned, and what it refuses is told."""

import json
import re
import shutil
import signal
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
    assert " from step 20; " in begun.stdout
    workbench.until(lambda: (status.read(run) or status.Status()).state == "done")
    assert len(StepReader(run)) == 60

    over = workbench("resume", run.name, "--detach")
    assert (over.returncode, over.stdout) == (0, "done already, 60 steps\n")
    told = workbench("resume", run.name, "--detach", "--json")
    assert json.loads(told.stdout)["type"] == "end"


def test_a_lost_run_says_what_is_made_again_and_of_which_step_its_last_eval_was(workbench: "Command") -> None:
    doc = document(GPT, schedule__steps=30, checkpoint__every=20, eval__every=20)
    (workbench.folder / "tiny.toml").write_text(presets.to_toml(presets.from_document(doc, source="test")))
    assert workbench("--headless", "tiny.toml", "--quiet").returncode == 0
    run = workbench.run()
    events = (run / "events.jsonl").read_text().splitlines()
    saved = next(n for n, e in enumerate(events) if '"checkpoint"' in e and json.loads(e)["step"] == 20)
    edit = json.loads(events[0]) | {"type": "edit", "step": 25, "id": "x", "changes": {"optimizer.lr": [3e-4, 1e-4]},
                                    "base": {"row": 0, "token": 0, "epoch": 0}}  # fmt: skip
    (run / "events.jsonl").write_text("".join(f"{e}\n" for e in (*events[: saved + 1], json.dumps(edit))))
    for later in (run / "checkpoints").glob("step-00000030"):
        shutil.rmtree(later)
    found = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps(found | {"state": "running", "pid": 1, "boot": "other"}))
    begun = workbench("resume", run.name, "--detach", "--steps", "27")
    assert begun.returncode == 0, begun.stderr
    assert " from step 20, where edits are made again at 25 (optimizer.lr); " in begun.stdout
    workbench.until(lambda: (status.read(run) or status.Status()).state == "done")


def test_the_last_line_says_of_which_step_the_validation_loss_is(workbench: "Command") -> None:
    doc = document(GPT, schedule__steps=3000, eval__every=3000, checkpoint__every=0, sample__every=0)
    (workbench.folder / "tiny.toml").write_text(presets.to_toml(presets.from_document(doc, source="test")))
    training = workbench.start("--headless", "tiny.toml")
    workbench.until(lambda: workbench.run() and len(StepReader(workbench.run())) > 5)
    training.send_signal(signal.SIGTERM)
    told = "".join(training.communicate(timeout=60))
    assert re.search(r"interrupted after [\d,]+ steps and .* of training, validation loss [\d.]+ \(at step 0\)", told)
