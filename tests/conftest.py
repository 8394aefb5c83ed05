"""What every room's tests share: the data folder that measurements use, and caches that are thrown away."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")  # nothing here is timed: a loaded machine is no failure

pytest_plugins = ["tiny_runs"]


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder with tiny-shakespeare, names.txt and the GPT-2 vocabulary; a skip where it is not."""
    folder = os.environ.get("WORKBENCH_TEST_DATA")
    if not folder:
        pytest.skip("WORKBENCH_TEST_DATA is not set: it names the folder with shakespeare.txt and names.txt")
    path = Path(folder)
    if not (path / "shakespeare.txt").is_file():
        pytest.skip(f"WORKBENCH_TEST_DATA={folder} holds no shakespeare.txt")
    return path


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Corpus caches and downloads of the tests never touch the user's own."""
    before = os.environ.get("WORKBENCH_CACHE")
    os.environ["WORKBENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["WORKBENCH_CACHE"]
    else:
        os.environ["WORKBENCH_CACHE"] = before


class Command:
    """`workbench` as a user has it: a process of its own, in a folder of its own, its runs in `runs` there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self._started: list[subprocess.Popen[str]] = []

    def __call__(self, *arguments: str, timeout: float = 180, **more: Any) -> "subprocess.CompletedProcess[str]":
        """Run it to its end; a test that would hang fails after `timeout` seconds."""
        with self.start(*arguments, **more) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def start(
        self, *arguments: str, env: Mapping[str, str] | None = None, python: Sequence[str] = ("-m", "workbench"),
        **more: Any,
    ) -> "subprocess.Popen[str]":  # fmt: skip
        """Start it and go on; whatever still runs when the test ends is killed."""
        environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "WORKBENCH_RUNS")}
        environment["PYTHONPATH"] = str(Path(__file__).parents[1])
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(
            [sys.executable, *python, *arguments], cwd=self.folder, text=True, env=environment | dict(env or {}),
            **(streams | more),
        )  # fmt: skip
        self._started.append(process)
        return process

    def run(self) -> Path:
        """The one run that there is."""
        (run,) = self.runs.iterdir()
        return run

    def events(self) -> list[dict[str, Any]]:
        """What the one run has told so far."""
        path = self.run() / "events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def until(self, what: Callable[[], object], timeout: float = 90) -> None:
        """Wait for something to become true; what a run that does not exist yet cannot tell is not true yet."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError):
                if what():
                    return
            time.sleep(0.02)
        raise AssertionError("it did not become true in time")

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.communicate()


@pytest.fixture
def workbench(tmp_path: Path) -> Iterator[Command]:
    """Runs the command line in a real subprocess, in `tmp_path`."""
    command = Command(tmp_path)
    yield command
    command.close()


@pytest.fixture(scope="module")
def workbench_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """The same for a run that several tests look at."""
    command = Command(tmp_path_factory.mktemp("workbench"))
    yield command
    command.close()
