"""The pass that is compiled: from a fixed step on, for each shape by itself, and never the end of a run that can go on
without."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Command
from tiny_runs import GPT, Ran, Train, bits, document, weights
from torch import Tensor

from workbench import preset as presets
from workbench.runs.files import read_json
from workbench.training import compiling, device, stepping
from workbench.training.compiling import FIRST, Forward
from workbench.training.models import Bigram, Model

QUIET = {"eval__every": 0, "sample__every": 0}
ONE = {"threads": 1, "precision": "fp32"}
ON = document(GPT, **QUIET, device={**ONE, "compile": "on"})
OFF = document(ON, device=ONE)

Compiler = Callable[..., list[tuple[int, ...]]]


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    """`compiler()`: a compiler that changes nothing, and the shapes it was asked for; or one that fails."""

    def go(fails: Exception | None = None) -> list[tuple[int, ...]]:
        asked: list[tuple[int, ...]] = []

        def compiled(model: Model) -> Callable[[Tensor], Tensor]:
            def call(x: Tensor) -> Tensor:
                asked.append(tuple(x.shape))
                if fails:
                    raise fails
                logits: Tensor = model(x)
                return logits

            return call

        monkeypatch.setattr(compiling, "compiled", compiled)
        return asked

    return go


@pytest.fixture
def resolved_as(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """As if the rule had chosen this."""

    def go(**changes: Any) -> None:
        resolve = device.resolve
        monkeypatch.setattr(device, "resolve", lambda p, tell=print: replace(resolve(p), **changes))

    return go


def steps_of(doc: dict[str, Any]) -> int:
    return int(presets.from_document(doc, source="test").schedule.steps)


def of_run(ran: Ran) -> tuple[Any, Any]:
    return bits(ran.records), weights(ran.path)


# ------------------------------------------------------------------------------------- which steps


def test_it_begins_at_a_fixed_step_which_is_recorded(train: Train, compiler: Compiler) -> None:
    asked = compiler()
    ran = train(ON)
    b = presets.from_document(ON, source="test").batch
    assert asked == [(b.B, b.T)] * (steps_of(ON) - FIRST) * b.accum
    recorded = read_json(ran.path / "resolved.json")
    assert (recorded["compile"], recorded["compile_from"]) == (True, FIRST)
    assert of_run(ran) == of_run(train(OFF))


def test_many_steps_a_launch_change_over_at_that_step_too(
    train: Train, compiler: Compiler, resolved_as: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many steps are launched at once, and each pass is captured for itself."""
    asked = compiler()
    monkeypatch.setattr(stepping, "A_LAUNCH", 100.0)
    resolved_as(steps="replayed")
    launched: list[tuple[int, int, bool]] = []
    real = stepping.engine

    def engine(*args: Any, **more: Any) -> Any:
        made = real(*args, **more)
        launch = made.many.launch

        def noted(shape: Any, first: int, lrs: Any, offsets: Any) -> Any:
            there = launch(shape, first, lrs, offsets)
            launched.append((first, there.n, shape.compiled))
            return there

        made.many.launch = noted
        return made

    monkeypatch.setattr(stepping, "engine", engine)
    ran = train(ON)
    assert ran.outcome.state == "done"
    assert all(compiled == (first >= FIRST) for first, _, compiled in launched)
    assert all(first + n <= FIRST for first, n, compiled in launched if not compiled)
    assert sum(n for *_, n, _ in launched) == steps_of(ON)
    assert len(asked) == steps_of(ON) - FIRST


def test_an_earlier_versions_run_is_compiled_from_its_first_step_on(
    train: Train, resume: Train, compiler: Compiler
) -> None:
    asked = compiler()
    ran = train(ON, at_start=[{"command": "stop", "at": 5}])
    assert not asked
    path = ran.path / "resolved.json"
    recorded = read_json(path)
    del recorded["compile_from"]
    path.write_text(json.dumps(recorded))
    resume(ran.path)
    assert len(asked) == steps_of(ON) - 5


@pytest.mark.parametrize(
    ("device_", "layers", "steps", "wanted", "compiles"),
    [
        ("cuda", 12, 1000, "auto", True), ("cuda", 12, 999, "auto", False), ("cuda", 4, 1000, "auto", False),
        ("cpu", 12, 1000, "auto", False), ("cuda", 12, 1000, "off", False), ("cpu", 1, 10, "on", True),
    ],
)  # fmt: skip
def test_the_rule(device_: str, layers: int, steps: int, wanted: str, compiles: bool) -> None:
    """A large model's long run on a card; otherwise only where it is asked for."""
    model = {"kind": "gpt", "layers": layers, "width": 768, "heads": 12}
    schedule = {"steps": steps, "warmup": 0}
    doc = document(GPT, model=model, schedule=schedule, device={"compile": wanted})
    assert device._compiles(presets.from_document(doc, source="test"), device_) == compiles


# ------------------------------------------------------------------------------------- compiled for real


def test_resumed_past_an_edit_it_makes_the_same_bits(train: Train, resume: Train, tmp_path: Path) -> None:
    """One pass that served every B would depend on which B came first; each has its own."""
    doc = document(
        {key: value for key, value in ON.items() if key not in ("model", "optimizer")}, model={"kind": "bigram"},
        schedule={"steps": 30, "warmup": 0}, checkpoint={"every": 0},
    )  # fmt: skip
    edits = [{"command": "set", "at": at, "changes": {"batch.B": B}} for at, B in ((14, 6), (24, 3))]
    whole = train(doc, at_start=edits)
    stopped = train(doc, at_start=[*edits[:1], {"command": "stop", "at": 20}])
    resume(stopped.path, at_start=edits[1:])
    assert len(whole.records) == 30
    assert of_run(stopped) == of_run(whole)
    undisturbed = train(document(doc, device=ONE), at_start=edits)
    assert bits(undisturbed.records)[: FIRST + 1] == bits(whole.records)[: FIRST + 1]


def test_more_shapes_than_torch_would_compile_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.compiler.reset()
    model = Bigram(7)
    compiled = compiling.compiled(model)
    counters = torch._dynamo.utils.counters
    counters.clear()
    for B in range(1, 12):
        compiled(torch.zeros(B, 4, dtype=torch.int64))
    assert counters["stats"]["unique_graphs"] == 11
    torch.compiler.reset()


# ------------------------------------------------------------------------------------- where it cannot be done


def test_what_need_not_be_compiled_goes_on_without(
    train: Train, resume: Train, compiler: Compiler, resolved_as: Any
) -> None:
    asked = compiler(fails=RuntimeError("no compiler here\nand a page of more"))
    resolved_as(compile=True, compile_from=FIRST)
    ran = train(OFF, at_start=[{"command": "stop", "at": 20}])
    assert len(asked) == 1  # it is not tried again
    (warning,) = ran.of("warning")
    assert warning["message"].endswith("(RuntimeError: no compiler here); the steps of this run go on without it")
    assert read_json(ran.path / "resolved.json")["compile"] is False
    compiler()  # it is mended: but the run has begun without
    assert of_run(resume(ran.path)) == of_run(train(OFF))


def test_memory_refused_is_no_trouble_of_the_compilers(compiler: Compiler) -> None:
    compiler(fails=MemoryError())
    forward = Forward(Bigram(7), 0, required=False)
    forward.begin(0, 10)
    with pytest.raises(MemoryError):
        forward(torch.zeros(1, 1, dtype=torch.int64))
    assert not forward.trouble


def test_what_was_asked_for_and_cannot_be_done_says_what_to_do(workbench: Command, tmp_path: Path) -> None:
    preset = tmp_path / "compiled.toml"
    preset.write_text(presets.to_toml(presets.from_document(ON, source="test")))
    done = workbench(
        "--headless", str(preset), env={"CXX": "/nowhere", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor")}
    )
    assert done.returncode == 1
    assert "device.compile = 'on': torch.compile cannot compile this model here" in done.stdout
    assert "--set device.compile=off" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_on_a_card_each_pass_is_captured_for_itself(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.training import replays

    captured: list[bool] = []
    real = replays.Replays._capture
    monkeypatch.setattr(
        replays.Replays, "_capture", lambda self, shape: (captured.append(shape.compiled), real(self, shape))[1]
    )
    ran, plain = (train(document(ON, device={"name": "cuda", "compile": how})) for how in ("on", "off"))
    assert captured == [False, True, False]
    assert bits(ran.records)[:FIRST] == bits(plain.records)[:FIRST]
    assert torch.allclose(torch.tensor(ran.records["loss"]), torch.tensor(plain.records["loss"]), rtol=1e-3)
