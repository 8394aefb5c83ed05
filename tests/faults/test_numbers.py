"""Numbers that are none: the update is not applied, the rows are named, the way back is told and works."""

import json
import math
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from tiny_runs import GPT, MLP, TEXT, Train, document

from workbench import preset as presets
from workbench.runs import settings
from workbench.runs.records import NOT_FINITE, SPIKE
from workbench.training import attempt, checkpoints
from workbench.training.loop import Loop

if TYPE_CHECKING:
    from conftest import Command

QUIET: dict[str, Any] = {"eval__every": 0, "sample__every": 0}
SGD = {"kind": "sgd", "lr": 1e6, "clip": 0.0}
CONSTANT = {"kind": "constant", "steps": 40, "warmup": 0}


def offsets(ran: Any, step: int) -> list[int]:
    """Of the rows of a record, computed from the run directory alone."""
    from workbench.data.corpus import open_corpus
    from workbench.data.rows import Rows

    held = settings.at(ran.path, step)
    tokens = open_corpus(held.preset.data).splits["train"].n
    b = held.preset.batch
    return Rows.of(held.preset, tokens=tokens, base=held.base).offsets(held.first, b.B * b.accum).tolist()


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> list[Loop]:
    """Every loop that is made, so that a fault can be put into its model, and its weights looked at afterwards."""
    made: list[Loop] = []
    real = attempt.Loop

    def make(**parts: Any) -> Loop:
        made.append(real(**parts))
        return made[-1]

    monkeypatch.setattr(attempt, "Loop", make)
    return made


def inject(monkeypatch: pytest.MonkeyPatch, fault: Callable[[Loop], None], *, at: int) -> dict[str, Any]:
    """Before record `at`, do `fault` to the loop; what the weights and the checkpoints were is returned, once done."""
    before: dict[str, Any] = {}
    real = Loop._step

    def step(self: Loop) -> None:
        if self.at.step == at:
            fault(self)
            before["weights"] = {k: v.clone() for k, v in self._model.state_dict().items()}
            before["checkpoints"] = saved(self._journal.run)
            before["loop"] = self
        real(self)

    monkeypatch.setattr(Loop, "_step", step)
    return before


def saved(run: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in (run / "checkpoints").rglob("*") if p.is_file()}


def assert_as_before(before: dict[str, Any], path: Path) -> None:
    for name, tensor in before["loop"]._model.state_dict().items():
        assert tensor.numpy().tobytes() == before["weights"][name].numpy().tobytes(), name
    assert saved(path) == before["checkpoints"]


@pytest.mark.parametrize("value", [math.nan, math.inf], ids=str)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp64"])
def test_one_token_whose_embedding_is_no_number(
    train: Train, monkeypatch: pytest.MonkeyPatch, value: float, precision: str
) -> None:
    """Only the rows with this token are named, in the micro-batch in which it stands first."""
    text = TEXT.replace("17 times 23", "17 times é3")
    doc = document(GPT, **QUIET, data={"text": text}, batch={"B": 4, "T": 16, "accum": 8}, checkpoint__every=2,
                   device={"threads": 1, "precision": precision}, model__dropout=0.2)  # fmt: skip

    def fault(loop: Loop) -> None:  # a row of this very step that holds no "é" gets a token of its own
        first = loop.rows.offsets(loop.at.rows_before, 32)
        ids = loop._corpus.splits["train"].gather(first, 16).astype(np.int64)
        counts = {int(t): np.unique(np.nonzero(ids == t)[0]) for t in np.unique(ids)}
        token = min(counts, key=lambda t: (len(counts[t]), t))
        before["rows"] = [int(r) for r in counts[token]]
        with torch.no_grad():
            table = next(
                p for n, p in loop._model.named_parameters() if p.shape[0] == loop._corpus.tokenizer.vocab_size
            )
            loop._model.eval().train()
            table.register_hook(lambda g: g)
            embed = next(m for m in loop._model.modules() if isinstance(m, torch.nn.Embedding) and m.weight is table)
        embed.register_forward_hook(lambda m, x, y: torch.where((x[0] == token).unsqueeze(-1), value, y))

    before = inject(monkeypatch, fault, at=3)
    ran = train(doc)
    assert (ran.outcome.state, ran.outcome.exit_code) == ("diverged", 3)
    (end,) = ran.of("end")
    assert ran.records["flags"][-1] & NOT_FINITE
    culprit = end["culprit"]
    assert (culprit["record"], culprit["what"]) == (3, "loss")
    micro = before["rows"][0] // 4
    expected = [r % 4 for r in before["rows"] if r // 4 == micro]
    assert culprit["micro"] == micro
    assert [r["row"] for r in culprit["rows"]] == expected
    starts = offsets(ran, 3)
    assert [r["offset"] for r in culprit["rows"]] == [starts[micro * 4 + r] for r in expected]
    for row in culprit["rows"]:
        assert row["text"] == text[row["offset"] : row["offset"] + 16].replace("\n", "↵")
        assert row["text"] in end["reason"]
        assert str(row["offset"]) in end["reason"]
    assert_as_before(before, ran.path)


@pytest.mark.parametrize("micro", [0, 2])
def test_a_gradient_alone_that_is_no_number(train: Train, monkeypatch: pytest.MonkeyPatch, micro: int) -> None:
    """Of four micro-batches one has a NaN in one parameter's gradient: its rows and the parameter are named."""
    seen: list[list[int]] = []

    def fault(loop: Loop) -> None:
        wanted = loop.rows.offsets(loop.at.rows_before, 16)[micro * 4 : micro * 4 + 4]
        bad = loop._corpus.splits["train"].gather(wanted, 16).astype(np.int64)
        loop._model.register_forward_pre_hook(lambda m, x: seen.append(x[0].numpy().tolist()))
        name, parameter = list(loop._model.named_parameters())[3]
        before["parameter"] = name
        parameter.register_hook(lambda g: g * math.nan if seen[-1] == bad.tolist() else g)

    before = inject(monkeypatch, fault, at=22)
    ran = train(document(GPT, **QUIET, batch={"B": 4, "T": 16, "accum": 4}))
    (end,) = ran.of("end")
    assert (ran.outcome.exit_code, end["state"]) == (3, "diverged")
    culprit = end["culprit"]
    assert (culprit["what"], culprit["micro"], culprit["record"]) == ("gradient", micro, 22)
    assert culprit["parameter"] == before["parameter"]
    assert culprit["parameter"] in end["reason"]
    assert [r["offset"] for r in culprit["rows"]] == offsets(ran, 22)[micro * 4 : micro * 4 + 4]
    assert math.isfinite(ran.records["loss"][-1])
    assert_as_before(before, ran.path)


def test_the_second_look_is_under_the_dropout_of_the_first(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other masks might show other rows, or none."""
    seen: list[torch.Tensor] = []

    def fault(loop: Loop) -> None:
        loop._model.register_forward_hook(lambda m, x, y: seen.append(y.detach().clone()))
        parameter = list(loop._model.parameters())[3]
        parameter.register_hook(lambda g: g * math.nan if len(seen) in (2, 6) else g)  # of four, and looked at again

    inject(monkeypatch, fault, at=3)
    ran = train(document(GPT, **QUIET, batch={"B": 4, "T": 16, "accum": 4}, model__dropout=0.3))
    assert ran.of("end")[0]["culprit"]["micro"] == 1
    assert len(seen) == 6
    assert torch.equal(seen[4], seen[0])
    assert torch.equal(seen[5], seen[1])


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"optimizer": SGD}, id="gpt"),
        pytest.param({"optimizer": SGD, "batch": {"B": 4, "T": 16, "accum": 3}}, id="accum"),
        pytest.param({"optimizer": SGD, "device": {"threads": 1, "precision": "bf16"}}, id="bf16"),
        pytest.param({"optimizer": SGD, "device": {"threads": 1, "precision": "fp64"}}, id="fp64"),
        pytest.param({"optimizer": SGD, "model": {"kind": "bigram"}}, id="bigram"),
        pytest.param({"optimizer": {"lr": 1e6, "clip": 0.0}}, id="adamw"),
    ],
)
@pytest.mark.parametrize("base", [GPT, MLP], ids=["stream", "windows"])
def test_a_learning_rate_that_overflows(train: Train, base: dict[str, Any], changes: dict[str, Any]) -> None:
    if base is MLP:
        changes = {k: v for k, v in changes.items() if k not in ("model", "batch")}
    ran = train(document(base, **QUIET, schedule=CONSTANT, checkpoint__every=0, **changes))
    if base is MLP and ran.records["loss"].max() > 1e150 and ran.outcome.state == "done":
        return  # fp64 has room for more than 40 such steps: large, and no error
    assert (ran.outcome.state, ran.outcome.exit_code) == ("diverged", 3), ran.outcome
    (end,) = ran.of("end")
    last = ran.records[-1]
    if last["flags"] & NOT_FINITE:
        starts = offsets(ran, int(last["step"]))
        b = settings.at(ran.path, int(last["step"])).preset.batch
        assert end["culprit"]["rows"]
        for row in end["culprit"]["rows"]:
            assert row["offset"] == starts[end["culprit"]["micro"] * b.B + row["row"]]
    assert end["offer"]["changes"]["optimizer.lr"] <= 0.1
    for checkpoint in checkpoints.available(ran.path):
        assert all(torch.isfinite(t).all() for t in checkpoint.model().values())


def test_finite_losses_whose_mean_overflows(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(loop: Loop) -> None:
        loop._model.register_forward_hook(lambda m, x, y: y * 1e37 * 9)

    inject(monkeypatch, fault, at=2)
    ran = train(document(GPT, **QUIET, batch={"B": 16, "T": 16, "accum": 2}))
    (end,) = ran.of("end")
    assert end["state"] == "diverged"
    assert end["culprit"]["rows"]
    assert end["culprit"].get("how") == "overflow"


def test_weights_that_overflow_in_the_last_update_are_not_saved(
    train: Train, resume: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No record follows that would say so, and no eval: what is finite no more is no end to be done with."""
    doc = document(GPT, **QUIET, optimizer=SGD | {"lr": 1e-2}, schedule=CONSTANT, checkpoint__every=10)

    def fault(loop: Loop) -> None:
        real = loop._optimizer.step

        def step() -> None:
            real()
            loop._optimizer.parameters[0].data[0].fill_(math.inf)

        loop._optimizer.step = step  # type: ignore[method-assign]

    with monkeypatch.context() as patch:
        inject(patch, fault, at=39)
        ran = train(doc)
    assert (ran.outcome.state, ran.outcome.exit_code) == ("diverged", 3)
    assert [c.step for c in checkpoints.available(ran.path)] == [20, 30]
    (end,) = ran.of("end")
    done = resume(ran.path, end["offer"]["changes"])
    assert done.outcome.state == "done"


def test_a_spike_is_marked_and_not_fatal(train: Train) -> None:
    wild = [{"command": "set", "at": 130, "changes": {"optimizer.lr": 1.0}},
            {"command": "set", "at": 134, "changes": {"optimizer.lr": 1e-3}}]  # fmt: skip
    ran = train(document(GPT, **QUIET, schedule=CONSTANT | {"steps": 150}), at_start=wild)
    assert ran.outcome.state == "done"
    spikes = [int(r["step"]) for r in ran.records if r["flags"] & SPIKE]
    assert spikes
    assert 131 <= spikes[0] <= 134
    assert not any(r["flags"] & NOT_FINITE for r in ran.records)


def test_a_divergence_offers_less_than_a_resume_would_begin_with(train: Train) -> None:
    """The edit that did it is dropped by a resume: a tenth of *its* lr could be more than what trained well."""
    ran = train(
        document(GPT, **QUIET, optimizer=SGD | {"lr": 0.01}, schedule__min_lr=0.005),
        at_start=[{"command": "set", "at": 25, "changes": {"optimizer.lr": 1e6}}],
    )
    (end,) = ran.of("end")
    assert end["offer"]["changes"] == {"optimizer.lr": 0.001, "schedule.min_lr": 0.0001}
    assert presets.apply(presets.load(str(ran.path / "preset.toml")).preset, end["offer"]["changes"])


def test_what_the_reason_says_to_type_works(workbench: "Command") -> None:
    """Every command in it, by the real command line, to the end of the run."""
    text = workbench.folder / "text.txt"
    text.write_text(TEXT + "\x1b[31m red\n" * 50)
    sets = ["B=4", "T=16", "model.layers=1", "model.heads=2", "model.width=16", "steps=6", "schedule.warmup=0",
            "eval.every=0", "sample.every=0", "checkpoint.every=2", "optimizer.lr=1e6", "optimizer.clip=0",
            "device.name=cpu", "device.threads=1", "optimizer.kind=sgd", f"dataset={text}"]  # fmt: skip
    told = workbench("--headless", "char", "--quiet", *(f"--set={s}" for s in sets))
    assert told.returncode == 3, told.stderr
    assert "\x1b" not in told.stderr
    (end,) = [e for e in workbench.events() if e["type"] == "end"]
    commands = [shlex.split(c) for c in re.findall(r"`(workbench [^`]+)`", end["reason"])]
    assert [c[1] for c in commands] == ["rows", "resume"]
    assert end["reason"].endswith(f"`{' '.join(commands[-1])}`")
    shown = workbench(*commands[0][1:], "--json")
    assert shown.returncode == 0, shown.stderr
    rows = json.loads(shown.stdout)
    for row in end["culprit"]["rows"]:
        assert rows["offsets"][end["culprit"]["micro"] * 4 + row["row"]] == row["offset"]
    resumed = workbench(*commands[1][1:], "--quiet")
    assert resumed.returncode == 0, resumed.stderr
