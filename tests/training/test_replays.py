"""Steps by tables on the device: the same bits as one step after another, whatever happens between them.

Without a CUDA device nothing is captured; what is captured there is the very code that runs here.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_runs import GPT, MLP, Train, bits, document, weights

from workbench.runs.records import CLIPPED, NOT_FINITE
from workbench.training import device

FP32 = {"device": {"threads": 1, "precision": "fp32"}}
CASES: dict[str, dict[str, Any]] = {
    "gpt": document(GPT, **FP32, optimizer={"clip": 0.5}),
    "gpt, bf16": document(GPT, device={"threads": 1, "precision": "bf16"}, optimizer={"clip": 0.5}),
    "gpt with dropout, accum": document(GPT, **FP32, model__dropout=0.2, batch__accum=3, optimizer={"clip": 0.5}),
    "gpt, shuffled": document(GPT, **FP32, data__order="shuffled", optimizer={"clip": 0.5}),
    "mlp of windows": document(MLP, **FP32, optimizer={"kind": "adamw", "lr": 0.01, "clip": 0.5}),
}
STEERED = {
    "at_start": [{"command": "set", "at": 7, "changes": {"optimizer.lr": 3e-4, "batch.B": 3}}],
    "after": {
        12: [
            {"command": "set", "changes": {"optimizer.weight_decay": 0.0, "optimizer.clip": 0.1}},
            {"command": "save"},
        ],
        30: [{"command": "eval"}],
    },
}


Made = Callable[[str], None]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """`made("replayed")`: from now on steps are made so, as on a card."""
    real = device.resolve

    def way(steps: str) -> None:
        monkeypatch.setattr(device, "resolve", lambda preset, tell=print: replace(real(preset), steps=steps))

    return way


def evals(ran: Any) -> list[tuple[int, float]]:
    return [(e["step"], e["val_loss"]) for e in ran.of("eval")]


@pytest.mark.parametrize("doc", CASES.values(), ids=CASES)
def test_the_same_bits(train: Train, doc: dict[str, Any], made: Made) -> None:
    made("eager")
    eager = train(doc)
    made("replayed")
    ran = train(doc)
    assert bits(ran.records) == bits(eager.records)
    assert weights(ran.path) == weights(eager.path)
    assert evals(ran) == evals(eager)
    assert (ran.records["flags"] & CLIPPED).any()


def test_commands_act_between_them(train: Train, made: Made) -> None:
    doc = CASES["gpt"]
    made("replayed")
    ran = train(doc, **STEERED)
    edits = {e["step"]: {key: new for key, (_, new) in e["changes"].items()} for e in ran.of("edit")}
    assert edits[7] == {"optimizer.lr": 3e-4, "batch.B": 3}
    assert len(edits) == 2
    assert {e["state"] for e in ran.of("answer")} == {"accepted", "applied"}
    again = train(doc, at_start=[{"command": "set", "at": at, "changes": changes} for at, changes in edits.items()])
    assert bits(again.records) == bits(ran.records)
    assert weights(again.path) == weights(ran.path)


def test_what_is_not_finite_stops_them_and_changes_nothing(train: Train, made: Made) -> None:
    doc = document(
        CASES["gpt"], optimizer={"kind": "adamw", "lr": 1e5, "clip": 0.0}, schedule__warmup=0, schedule__kind="constant"
    )
    made("eager")
    eager = train(doc)
    assert eager.outcome.state == "diverged"
    made("replayed")
    ran = train(doc)
    assert ran.outcome.state == "diverged"
    assert ran.outcome.reason == eager.outcome.reason.replace(eager.path.name, ran.path.name)
    assert ran.records["flags"][-1] & NOT_FINITE
    assert bits(ran.records) == bits(eager.records)
    assert ran.outcome.fields["culprit"] == eager.outcome.fields["culprit"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_a_graph_gives_the_eager_curve_and_takes_a_new_lr_without_a_capture(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.training import replays

    doc = document(GPT, device={"name": "cuda"})
    captures = []
    real = replays.Replays._capture
    monkeypatch.setattr(replays.Replays, "_capture", lambda self, shape: (captures.append(shape), real(self, shape))[1])
    edit = [{"command": "set", "at": 20, "changes": {"optimizer.lr": 3e-4}}]
    ran = train(doc, at_start=edit)
    assert len(captures) == 1
    monkeypatch.setattr(replays, "WARM_UP", 10_000)
    eager = train(doc, at_start=edit)
    assert len(captures) == 1
    assert torch.allclose(torch.tensor(ran.records["loss"]), torch.tensor(eager.records["loss"]), rtol=1e-3)
