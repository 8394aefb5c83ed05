"""A trial is a process of its own: heard, ended with whoever asked, its errors told by their kind."""

import contextlib
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tiny_runs import GPT, document

from workbench import preset as presets
from workbench.errors import UsageError, WorkbenchError
from workbench.lab.trial import OutOfMemory, Told, trial


def asked(**changes: Any) -> Told:
    preset = presets.from_document(document(GPT, **changes), source="test")
    return {"preset": presets.to_document(preset), "limit_bytes": 10**9, "steps": 2}


def trials_of(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [p for p in psutil.Process(pid).children(recursive=True) if "workbench.training.trials" in p.cmdline()]
    return []


def until(true: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


def test_it_is_heard_and_ends() -> None:
    heard: list[Told] = []
    result = trial("probe", asked(), heard.append)
    assert result["memory_bytes"] > 10_000
    assert [told["phase"] for told in heard if told["type"] == "phase"][:2] == ["loading torch", "warming up"]
    assert not trials_of(psutil.Process().pid)


def test_its_usage_error_is_ours() -> None:
    with pytest.raises(UsageError, match=r"batch\.T = 100000 is too large"):
        trial("probe", asked(batch__T=100_000))


def test_a_failure_is_told_and_is_not_out_of_memory() -> None:
    with pytest.raises(WorkbenchError, match="KeyError") as raised:
        trial("probe", {})
    assert not isinstance(raised.value, OutOfMemory)


def test_the_kernel_kills_what_is_too_large() -> None:
    def kill(told: Told) -> None:
        if told["type"] == "machine":
            trials_of(psutil.Process().pid)[0].kill()

    with pytest.raises(OutOfMemory, match="the system killed it"):
        trial("probe", asked(), kill)


def test_whoever_hears_may_end_it() -> None:
    def leave(told: Told) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trial("probe", asked(), leave)
    assert not trials_of(psutil.Process().pid)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_trial_outlives_the_command(workbench: Any, tmp_path: Path, by: signal.Signals) -> None:
    preset = presets.from_document(document(GPT), source="test")
    (tmp_path / "tiny.toml").write_text(presets.to_toml(preset))
    process = workbench.start("fit", "tiny.toml", "--memory-limit", "1GiB", "--json")
    while "measuring memory" not in json.loads(process.stdout.readline()).get("phase", ""):
        pass
    (running,) = trials_of(process.pid)
    process.send_signal(by)
    _, err = process.communicate(timeout=30)
    assert process.returncode == (130 if by == signal.SIGINT else -by)
    assert "Traceback" not in err
    assert until(lambda: not running.is_running() or running.status() == psutil.STATUS_ZOMBIE)
