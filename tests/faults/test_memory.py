"""Memory that runs out for real: under a limit of the process on the CPU, and of the card where there is one."""

import re
import resource
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import torch
from tiny_runs import GPT, TEXT, Train, document

from workbench.runs import status
from workbench.runs.records import StepReader
from workbench.training import checkpoints, shortage, worker

if TYPE_CHECKING:
    from conftest import Command

linux = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA binds on Linux only")
MIB = 2**20
STEP = {"B": 256, "T": 64, "model.width": 64}


def settings(folder: Path, sets: dict[str, Any]) -> list[str]:
    text = folder / "text.txt"
    text.write_text("".join(chr(0x4E00 + n) for n in range(400)) + TEXT)
    fixed = {
        "model.layers": 2, "model.heads": 2, "steps": 4, "schedule.warmup": 0, "eval.every": 0, "sample.every": 0,
        "checkpoint.every": 1, "device.name": "cpu", "device.threads": 1, "device.precision": "fp32", "dataset": text,
    }  # fmt: skip
    return [f"--set={key}={value}" for key, value in (fixed | sets).items()]


def at_most(size: int, kind: int = resource.RLIMIT_DATA) -> Callable[[], None]:
    return lambda: resource.setrlimit(kind, (size, size))


def found(workbench: "Command", sets: dict[str, Any], wanted: str) -> tuple[int, Any]:
    """A limit under which the run ends with these words, by bisection: no machine needs what another one does."""
    low, high = 250 * MIB, 950 * MIB
    for _ in range(8):
        middle = (low + high) // 2
        told = workbench("--headless", "char", "--quiet", *settings(workbench.folder, sets),
                         preexec_fn=at_most(middle), env={"WORKBENCH_RUNS": f"runs-{middle}"})  # fmt: skip
        assert told.returncode in (0, 4, -6, 127), told.stderr
        assert "Traceback" not in told.stderr
        if wanted in told.stderr:
            return middle, told
        low, high = (low, middle) if told.returncode == 0 else (middle, high)
    raise AssertionError(f"no limit gives {wanted!r}")


@linux
def test_a_step_that_does_not_fit_and_what_does(workbench: "Command") -> None:
    """What is offered runs to its end under the same limit, on the same rows."""
    limit, told = found(workbench, STEP, "would fit")
    assert told.returncode == 4
    workbench.runs = workbench.folder / f"runs-{limit}"
    end = workbench.events()[-1]
    assert (end["state"], end["exit_code"]) == ("out-of-memory", 4)
    assert all(word in end["reason"] for word in ("B = 256", "T = 64", "accum = 1", "parameters", "MiB"))
    changes = end["offer"]["changes"]
    assert changes["batch.B"] < 256
    assert changes["batch.B"] * changes["batch.accum"] == 256
    command = shlex.split(re.findall(r"`(workbench resume [^`]+)`", end["reason"])[-1])
    done = workbench(*command[1:], "--quiet", preexec_fn=at_most(limit), env={"WORKBENCH_RUNS": f"runs-{limit}"})
    assert done.returncode == 0, done.stderr
    records = StepReader(workbench.run()).read()
    assert records["rows_before"].tolist() == [0, 256, 512, 768]
    assert records["B"][-1] == changes["batch.B"]


def test_out_of_memory_on_a_card(train: Train, resume: Train) -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device here")
    torch.cuda.empty_cache()
    _, whole = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(512 * MIB / whole)
    try:
        big = document(GPT, batch={"B": 4096, "T": 64}, model={"kind": "gpt", "layers": 2, "heads": 2, "width": 128},
                       device={"name": "cuda", "precision": "fp32"}, eval__every=0, sample__every=0,
                       schedule__steps=3, schedule__warmup=0)  # fmt: skip
        ran = train(big)
        assert (ran.outcome.state, ran.outcome.exit_code) == ("out-of-memory", 4)
        (end,) = ran.of("end")
        done = resume(ran.path, end["offer"]["changes"])
        assert done.outcome.state == "done", done.outcome
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize("where", ["evaluating", "sampling", "saving"])
def test_memory_that_runs_out_beside_the_steps(train: Train, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """A real refusal, of more than any machine has: the run says what it was doing, and its last checkpoint stays."""
    from workbench.training import loop, sampling

    def refused(*_: Any, **__: Any) -> Any:
        return torch.empty(2**60, dtype=torch.uint8)

    def later(real: Callable[..., Any], times: int) -> Callable[..., Any]:
        calls = []
        return lambda *a, **k: (calls.append(1), refused() if len(calls) > times else real(*a, **k))[1]

    if where == "evaluating":
        monkeypatch.setattr(loop.Evaluator, "mean_loss", later(loop.Evaluator.mean_loss, 4))
    elif where == "sampling":
        monkeypatch.setattr(loop, "generate", later(sampling.generate, 2))
    else:
        monkeypatch.setattr(checkpoints, "_write_tensors", later(checkpoints._write_tensors, 4))
    ran = train(document(GPT, batch={"B": 1, "T": 16}))
    (end,) = ran.of("end")
    assert (end["state"], end["exit_code"]) == ("out-of-memory", 4)
    assert f"while {where} after" in end["reason"]
    assert "whatever B is" in end["reason"]
    assert "offer" not in end
    for checkpoint in checkpoints.available(ran.path):
        assert checkpoint.model()
        assert checkpoint.optimizer() is not None
    assert checkpoints.newest(ran.path)
    assert not list((ran.path / "checkpoints").glob(".*"))


@linux
@pytest.mark.parametrize("mib", [200, 260])
def test_too_little_to_start_with(workbench: "Command", mib: int) -> None:
    """Python, numpy or torch itself is refused: a sentence and exit code 4, wherever it is."""
    told = workbench("--headless", "char", "--quiet", *settings(workbench.folder, STEP), preexec_fn=at_most(mib * MIB))
    if told.returncode in (-6, 127):  # libc or C++ end the process inside torch's import: nobody here is asked
        assert re.search("bad_alloc|cannot allocate memory", told.stderr)
        return
    assert told.returncode == 4, told.stderr
    assert "Traceback" not in told.stderr
    assert "memory" in told.stderr


@linux
def test_a_resume_that_does_not_fit(workbench: "Command", trials: Callable[..., int]) -> None:
    """Wherever it is refused, while torch, the corpus, the weights or the optimizer's state are loaded, or in a step:
    the run says so, or is what it was."""
    sets = {"B": 4, "T": 64, "model.width": 512, "checkpoint.every": 2}
    assert workbench("--headless", "char", "--quiet", *settings(workbench.folder, sets)).returncode == 0
    run = workbench.run()
    n = trials(ci=1, full=12)
    for trial in range(n):
        limit = (330 + 30 * trial) * MIB
        told = workbench("resume", str(run), "--steps", "8", "--quiet", preexec_fn=at_most(limit))
        if told.returncode in (-6, 127):
            assert re.search("bad_alloc|cannot allocate memory", told.stderr)
            continue
        assert told.returncode in (0, 4), told.stderr
        assert "Traceback" not in told.stderr
        state = status.observed(status.read(run))
        assert state in (("done",) if told.returncode == 0 else ("done", "out-of-memory")), (limit // MIB, state)
        if told.returncode == 0:
            break


def test_what_would_bring_the_computer_down_is_refused_before_it_begins(train: Train, tmp_path: Path) -> None:
    """Nothing is allocated for it: a kernel that promises more than it has would end the process in mid-step."""
    with pytest.raises(worker.OutOfMemory, match=r"B = 1048576, .* B = \d+ with accum = \d+ would fit"):
        train(document(GPT, batch__B=1_048_576, batch__T=64))
    huge = {"batch.B": 1_048_576, "batch.T": 64}
    ran = train(document(GPT, model__context=64), at_start=[{"command": "set", "at": 10, "changes": huge}])
    (answer,) = [e for e in ran.of("answer") if e["state"] != "accepted"]
    assert answer["state"] == "refused"
    assert re.search(r"B = 1048576, .* this computer has .* would fit", answer["reason"])
    assert ran.outcome.state == "done"


def test_what_a_container_or_the_job_around_it_was_given_is_all_that_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, tree = tmp_path / "own", tmp_path / "tree"
    (tree / "job" / "step").mkdir(parents=True)
    places = {"/proc/self/cgroup": own, "/sys/fs/cgroup": tree}
    monkeypatch.setattr(shortage, "Path", lambda path: places[path])
    computer = psutil.virtual_memory().total
    assert shortage.in_all() == computer, "where nothing is told"
    own.write_text("0::/job/step\n")
    for job, step, most in (("max", "max", computer), ("5000", "max", 5000), ("5000", "3000", 3000),
                            ("5000", "7000", 5000), (str(2 * computer), "max", computer)):  # fmt: skip
        (tree / "job" / "memory.max").write_text(f"{job}\n")
        (tree / "job" / "step" / "memory.max").write_text(f"{step}\n")
        assert shortage.in_all() == most
