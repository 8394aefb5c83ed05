"""How the runs in format-1/ were made, once. Never run it again into that folder: they are a promise, not a cache.

`python make_format_1.py FOLDER` makes their like in a new folder, as format-2's script will.
"""

import json
import socket
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import tiny_runs
from tiny_runs import Script, document

from workbench import preset as presets
from workbench.runs.signals import Signals
from workbench.training import checkpoints, offline, worker

TEXT = "".join(f"{n}+{m}={n + m}\n" for n in range(1, 12) for m in range(1, 12))
GPT = document(
    tiny_runs.GPT, data__text=TEXT, batch__T=8, model__layers=1, model__heads=1, model__width=8, schedule__steps=12,
    schedule__warmup=2, eval__every=6, eval__tokens=64, checkpoint__every=6, sample__every=6,
)  # fmt: skip
MLP = document(
    tiny_runs.MLP, data__text="".join(f"{n:x}{n * n:x}\n" for n in range(1, 60)), batch__B=4, model__hidden=6,
    model__embedding=3, schedule__steps=12, schedule__milestones=[8], eval__every=4, checkpoint__every=4,
    sample__every=6,
)  # fmt: skip
SLOWLY = [{"command": "pace", "rate": 20}]  # slow enough to be steered
EDITS = [
    *SLOWLY,
    {"command": "set", "at": 3, "changes": {"optimizer.lr": 0.002}},
    {"command": "set", "at": 6, "changes": {"batch.B": 2}},
    {"command": "sample", "at": 6, "seed": 3},
    {"command": "inspect", "at": 7},
    {"command": "set", "at": 8, "changes": {"optimizer.nonsense": 1}},
]


def _train(folder: Path, doc: dict[str, Any], name: str, commands: list[dict[str, Any]]) -> Path:
    script = Script(at_start=list(commands))
    worker.new(
        presets.from_document(doc | {"name": name}, source="format-1"), folder, narrators=[script], signals=Signals(),
        progress=lambda what, share: None, tell=lambda text: None,
    )  # fmt: skip
    return script.run


def _settle(run: Path, name: str, **status: Any) -> Path:
    """A name without the day, a status without this machine."""
    path = run / "status.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {"host": "elsewhere", "boot": "", "pid": 1} | status) + "\n")
    (run / "lock").unlink(missing_ok=True)
    assert not list((run / "commands").glob("*.json"))
    for part in ("commands", "inspect"):  # an empty folder is not kept by git
        (run / part / ".keep").touch()
    assert socket.gethostname() != "elsewhere"
    return run.rename(run.with_name(f"{name}-20261121-120000"))


def make(folder: Path) -> None:
    done = _train(folder, GPT, "done", EDITS)
    _settle(done, "done")
    stopped = _train(folder, MLP, "resumed", [*SLOWLY, {"command": "stop", "at": 5}])
    worker.resume(
        stopped, {"optimizer.lr": 0.05}, narrators=[], signals=Signals(), progress=lambda what, share: None,
        tell=lambda text: None,
    )  # fmt: skip
    offline.evaluate(stopped, split="test", json=True)  # its one look is in test.json
    _settle(stopped, "resumed")
    lost = _train(folder, GPT, "lost", [*SLOWLY, {"command": "stop", "at": 9}])
    events = (lost / "events.jsonl").read_bytes().splitlines(keepends=True)
    (lost / "events.jsonl").write_bytes(b"".join(events[:-2]) + events[-2][:20])  # as a kill tears it
    checkpoints.forget_after(lost, 6)
    _settle(lost, "lost", state="running", phase="training", exit_code=None, step=9)
    wild = document(GPT, optimizer__kind="sgd", optimizer__lr=1e6, optimizer__clip=0.0, schedule__min_lr=0.0)
    wild["optimizer"].pop("betas", None)
    _settle(_train(folder, wild, "diverged", SLOWLY), "diverged")


if __name__ == "__main__":
    if Path(sys.argv[1]).exists():
        sys.exit(f"{sys.argv[1]}: is there already; what was promised is never made again")
    make(Path(sys.argv[1]).absolute())
