"""Real runs in this process, small enough to take a second, steered by real command files."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from workbench import preset as presets
from workbench.runs import commands
from workbench.runs.events import read_events
from workbench.runs.records import StepReader
from workbench.runs.signals import Signals
from workbench.training import worker
from workbench.training.attempt import Outcome

TEXT = "".join(f"{n} times {m} is {n * m}.\n" for n in range(1, 40) for m in range(1, 40))
LINES = "".join(f"{n:x}{n * n:x}\n" for n in range(1, 400))

GPT: dict[str, Any] = {
    "name": "tiny",
    "data": {"text": TEXT},
    "batch": {"B": 4, "T": 16},
    "model": {"kind": "gpt", "layers": 2, "heads": 2, "width": 16},
    "schedule": {"steps": 40, "warmup": 5},
    "eval": {"every": 20, "tokens": 500},
    "checkpoint": {"every": 20},
    "sample": {"every": 20, "tokens": 5},
    "device": {"threads": 1},
}
FP32 = GPT | {"device": {"threads": 1, "precision": "fp32"}}
"""The same where memory or bits are told: `auto` is bf16 on some processors."""
MLP: dict[str, Any] = {
    "name": "tiny-mlp",
    "data": {"text": LINES, "split": "lines", "layout": "windows"},
    "batch": {"B": 8, "T": 3},
    "model": {"kind": "mlp", "hidden": 20},
    "optimizer": {"kind": "sgd", "lr": 0.1, "weight_decay": 0.0, "clip": 0.0},
    "schedule": {"kind": "step", "steps": 40, "warmup": 0, "milestones": [30]},
    "eval": {"every": 20},
    "checkpoint": {"every": 20},
    "sample": {"every": 20, "tokens": 5},
    "device": {"threads": 1},
}


def document(base: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A copy of `base` with `table__key=value` put in."""
    out = {k: dict(v) if isinstance(v, dict) else v for k, v in base.items()}
    for dotted, value in changes.items():
        table, _, key = dotted.partition("__")
        if key:
            out.setdefault(table, {})[key] = value
        else:
            out[table] = value
    return out


@dataclass
class Script:
    """A narrator that sends commands: at the first record, and after the records that it names."""

    at_start: list[dict[str, Any]] = field(default_factory=list)
    after: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    call: dict[int, Callable[[Path], Any]] = field(default_factory=dict)
    """What is done to the run's directory after some records."""
    run: Path = Path()
    sent: list[str] = field(default_factory=list)

    def record(self, record: tuple[float, ...]) -> None:
        self._send(self.after.get(int(record[0]), []))
        if fault := self.call.get(int(record[0])):
            fault(self.run)

    def event(self, event: dict[str, Any]) -> None:
        if event["type"] in ("start", "resume"):
            self.run = Path(event["run"])

    def phase(self, phase: str) -> None:
        if phase == "training":  # the worker listens from here on
            self._send(self.at_start)
            self.at_start = []

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def _send(self, wanted: list[dict[str, Any]]) -> None:
        for command in wanted:
            arguments = dict(command)
            self.sent.append(commands.send(self.run, arguments.pop("command"), **arguments))


@dataclass
class Ran:
    path: Path
    outcome: Outcome
    sent: list[str]

    @property
    def records(self) -> Any:
        return StepReader(self.path).read()

    @property
    def events(self) -> list[dict[str, Any]]:
        return read_events(self.path)

    def of(self, type: str) -> list[dict[str, Any]]:
        return [e for e in self.events if e["type"] == type]

    def answers(self, n: int) -> list[dict[str, Any]]:
        """Every answer to the n-th command that was sent."""
        return [e for e in self.of("answer") if e["id"] == self.sent[n]]


Train = Callable[..., Ran]


@pytest.fixture
def signals() -> Iterator[Signals]:
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield Signals()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def train(tmp_path: Path, signals: Signals) -> Train:
    """Train a document to its end: `train(document, at_start=[…], after={step: […]})`."""

    def go(doc: dict[str, Any], *, at_start: Any = (), after: Any = None, call: Any = None) -> Ran:
        script = Script(list(at_start), dict(after or {}), dict(call or {}))
        outcome = worker.new(
            presets.from_document(doc, source="test"), tmp_path / "runs", narrators=[script], signals=signals,
            progress=lambda what, share: None, tell=lambda text: None,
        )  # fmt: skip
        return Ran(script.run, outcome, script.sent)

    return go


@pytest.fixture
def resume(signals: Signals) -> Train:
    """Go on with a run: `resume(path, {key: value})`."""

    def go(path: Path, changes: dict[str, Any] | None = None, *, at_start: Any = ()) -> Ran:
        script = Script(list(at_start))
        outcome = worker.resume(
            path, changes or {}, narrators=[script], signals=signals, progress=lambda what, share: None,
            tell=lambda text: None,
        )  # fmt: skip
        return Ran(path, outcome, script.sent)

    return go


@pytest.fixture
def replay(tmp_path: Path, signals: Signals) -> Train:
    def go(path: Path) -> Ran:
        script = Script()
        outcome = worker.replay(
            path, tmp_path / "runs", narrators=[script], signals=signals, progress=lambda what, share: None,
            tell=lambda text: None,
        )  # fmt: skip
        return Ran(script.run, outcome, script.sent)

    return go


def bits(records: Any) -> Any:
    """What two runs of the same settings must share: every field but `seconds` and `time`."""
    names = [name for name in records.dtype.names if name not in ("seconds", "time")]
    return [records[name].tobytes() for name in names]


def weights(path: Path) -> dict[str, bytes]:
    """The last checkpoint's tensors, byte for byte."""
    last = max((path / "checkpoints").glob("step-*"))
    return {name: (last / name).read_bytes() for name in ("model.safetensors", "optimizer.safetensors")}


if __name__ == "__main__":  # a worker to be killed: a document, the commands that it begins with, its runs folder
    doc_, commands_, folder_ = json.loads(sys.argv[1])
    outcome_ = worker.new(
        presets.from_document(doc_, source="test"), Path(folder_), narrators=[Script(commands_)], signals=Signals(),
        progress=lambda what, share: None, tell=lambda text: None,
    )  # fmt: skip
    sys.exit(outcome_.exit_code)
