"""Steps by tables on the device: the same bits as one step after another, whatever happens between them.

Without a CUDA device nothing is captured; what is captured there is the very code that runs here.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import GPT, MLP, Train, bits, document, weights

from workbench import preset as presets
from workbench.data.batches import batch
from workbench.data.store import Split, TokenStore
from workbench.runs.records import CLIPPED, NOT_FINITE
from workbench.training import device, engines
from workbench.training.models import build
from workbench.training.optimizers import Optimizer
from workbench.training.replays import KEPT, Replays, Shape, fits

FP32 = {"device": {"threads": 1, "precision": "fp32"}}
CASES: dict[str, dict[str, Any]] = {
    "gpt": document(GPT, **FP32, optimizer={"clip": 0.5}),
    "gpt, bf16": document(GPT, device={"threads": 1, "precision": "bf16"}, optimizer={"clip": 0.5}),
    "gpt with dropout, accum": document(GPT, **FP32, model__dropout=0.2, batch__accum=3, optimizer={"clip": 0.5}),
    "gpt, shuffled": document(GPT, **FP32, data__order="shuffled", optimizer={"clip": 0.5}),
    "gpt, many tokens": document(
        GPT,
        **FP32,
        data={"text": "".join(chr(0x4E00 + i * 7919 % 4999) for i in range(20_000)), "val_fraction": 0.5},
        optimizer={"clip": 0.5},
        schedule={"steps": 20, "warmup": 5},
    ),
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


def split_of(folder: Path, ids: Any, dtype: str) -> Split:
    (path := folder / "x.tokens").write_bytes(np.array(ids, dtype).tobytes())
    return Split(TokenStore(path, np.dtype(dtype), len(ids), 1 << 30), 0, len(ids))


def replays(split: Split, newline: int | None = None) -> Replays:
    preset = presets.from_document(CASES["gpt"], source="test")
    model = build(preset.model, vocab=9, T=4, seed=1)
    optimizer = Optimizer(model, preset.optimizer)
    cpu = torch.device("cpu")
    return Replays(model, optimizer, split, newline=newline, device=cpu, autocast=device.by_rule(preset).autocast)


@pytest.mark.parametrize("dtype", ["<u1", "<u2", "<u4"])
@pytest.mark.parametrize("newline", [None, 9])
def test_rows_on_the_device_are_those_of_the_store(tmp_path: Path, dtype: str, newline: int | None) -> None:
    """Ids past the half of what two bytes hold, too, which lie there as negative ones."""
    most = int(min(np.iinfo(dtype).max, 100_000))
    split = split_of(tmp_path, [0, 9, most, most // 2, most // 2 + 1, 7, 9, 3, most - 1, 1, 2, 9], dtype)
    at = np.array([0, 1, 2, 5, 7])
    found = replays(split, newline)._batch(torch.from_numpy(at), 4)
    for got, wanted in zip(found, batch(split, at, 4, newline), strict=True):
        assert got.tolist() == wanted.tolist()


def test_the_shapes_that_are_kept_are_those_last_used(tmp_path: Path) -> None:
    """An edit of B and one back captures nothing, however many went before."""
    many = replays(split_of(tmp_path, list(range(9)), "<u2"))
    for B in (*range(1, KEPT + 1), 1, KEPT + 1):
        many.launch(Shape(B, 4, 1, 0.0, 0.0), 0, [1e-3], np.zeros((1, B), np.int64))
    assert [shape.B for shape in many._shapes] == [*range(3, KEPT + 1), 1, KEPT + 1]


def test_a_corpus_too_large_for_the_card_is_not_replayed_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split, card = split_of(tmp_path, [1] * 100, "<u2"), SimpleNamespace(total_memory=800)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    asked = replace(device.by_rule(presets.from_document(CASES["gpt"], source="test")), device="cuda:0")
    for steps, total, wanted in (
        ("replayed", 800, "replayed"), ("replayed", 799, "eager"), ("eager", 800, "eager"), ("by hand", 799, "by hand"),
    ):  # fmt: skip
        card.total_memory = total
        assert engines.settled(replace(asked, steps=steps), split).steps == wanted
        assert fits(split, torch.device("cuda")) == (total == 800)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("case", ["gpt", "gpt, many tokens"])
def test_a_graph_gives_the_eager_curve_and_takes_a_new_lr_without_a_capture(
    train: Train, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    from workbench.training import replays

    doc = document(CASES[case], device={"name": "cuda"}, schedule={"steps": 40, "warmup": 5})
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
