"""The System pane: figures of real processes, and dashes where there are none."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from workbench.runs import status
from workbench.runs.status import Status
from workbench.screen.frame.slots import SYSTEM
from workbench.screen.frame.units import amount, share
from workbench.screen.system.gauges import Gauges, Gpu, History, Load, Meter, Nvidia, Sample, spark
from workbench.screen.system.pane import System

SAMPLE = Sample(
    cpu=50.0, cores=4, memory=2**30, memory_total=2**33, disk_free=2**34, disk_total=2**38, run_size=3 * 2**20,
    worker=Load(100.0, 2**29), screen=Load(2.0, 2**25), written=1024.0, gpus=(),
)  # fmt: skip
GPU = Gpu("NVIDIA H100 80GB HBM3", 93.0, 6 * 2**30, 80 * 2**30, 412.0, 700.0, 64)

BUSY = "import sys\nprint(flush=True)\nwhile True: pass"
PARENT = "import subprocess, sys; print(flush=True); subprocess.run([sys.executable, '-c', sys.argv[1]])"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def busy_child() -> Iterator[int]:
    """The pid of a process that does nothing itself; its child keeps a core busy."""
    process = subprocess.Popen([sys.executable, "-c", PARENT, BUSY], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.readline()  # the child's
    yield process.pid
    os.killpg(process.pid, 9)
    process.wait()


def ours() -> Status:
    pid = os.getpid()
    return Status(
        state="running", pid=pid, started=status.process_start(pid) or 0.0, boot=status.boot_id(),
        host=os.uname().nodename, heartbeat=time.time(), uptime=time.monotonic(),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------ figures


def test_a_sample_of_this_machine_and_this_process(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 5000)
    gauges = Gauges(tmp_path / "runs that are not there yet")
    first = gauges.sample(tmp_path, ours())
    assert first.cpu is None, "use is between two samples"
    assert first.worker == Load(None, first.worker.memory if first.worker else 0)
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    sample = gauges.sample(tmp_path, ours())
    assert sample.cpu is not None
    assert 0 < sample.cpu <= 100
    assert sample.worker is not None
    assert sample.worker.cpu is not None
    assert sample.worker.cpu > 20
    rss = psutil.Process().memory_info().rss
    assert sample.worker.memory is not None
    assert 0.5 * rss < sample.worker.memory < 2 * rss
    assert sample.cores == psutil.cpu_count()
    assert sample.disk_free is not None
    assert sample.run_size == 5000
    assert 0 < sample.memory < sample.memory_total


def test_the_children_of_a_worker_count(busy_child: int) -> None:
    meter = Meter(time.monotonic)
    meter.of(busy_child)
    time.sleep(0.4)
    load = meter.of(busy_child)
    assert load.cpu is not None
    assert load.cpu > 15, "the parent itself waits"
    time.sleep(0.2)
    alone = Meter(time.monotonic)
    alone.of(busy_child, children=False)
    time.sleep(0.2)
    assert alone.of(busy_child, children=False).cpu == pytest.approx(0, abs=5)


def test_a_worker_that_is_gone_or_elsewhere_is_not_measured(tmp_path: Path) -> None:
    gauges = Gauges(tmp_path)
    assert gauges.sample(None, None).worker is None
    assert gauges.sample(None, replace(ours(), host="elsewhere")).worker is None
    assert gauges.sample(None, replace(ours(), started=1.0)).worker is None, "the pid is another process's by now"
    assert Meter(time.monotonic).of(2**22 + 1) == Load(None, None)


def test_what_this_screen_writes_is_counted(tmp_path: Path) -> None:
    clock = Clock()
    gauges = Gauges(tmp_path, clock=clock)
    if gauges.sample().written is None and not hasattr(psutil.Process, "io_counters"):
        pytest.skip("this system does not tell what a process has written")
    clock.now += 2
    (tmp_path / "out").write_bytes(b"x" * 100_000)
    written = gauges.sample().written
    assert written is not None
    assert 50_000 <= written < 80_000


def test_a_run_is_weighed_now_and_then(tmp_path: Path) -> None:
    clock = Clock()
    gauges = Gauges(tmp_path, clock=clock)
    assert gauges.sample(tmp_path).run_size == 0
    (tmp_path / "file").write_bytes(b"x" * 10)
    assert gauges.sample(tmp_path).run_size == 0
    clock.now += 6
    assert gauges.sample(tmp_path).run_size == 10


class Nvml:
    """As much of the driver's library as a GPU answers to; `None` is an answer that it does not give."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    def __init__(self, **answers: Any) -> None:
        self._answers = answers

    def __getattr__(self, name: str) -> Any:
        def answer(*arguments: Any) -> Any:
            found = self._answers.get(name)
            if found is None:
                raise self.NVMLError("not supported")
            return found

        return answer


def test_what_a_gpu_does_not_tell_is_none() -> None:
    memory = SimpleNamespace(used=2**30, total=2**33)
    full = Nvml(
        nvmlDeviceGetName=b"H100", nvmlDeviceGetUtilizationRates=SimpleNamespace(gpu=42),
        nvmlDeviceGetMemoryInfo=memory,
        nvmlDeviceGetPowerUsage=412_300, nvmlDeviceGetEnforcedPowerLimit=700_000, nvmlDeviceGetTemperature=64,
    )  # fmt: skip
    assert Nvidia(full, [0]).sample() == (Gpu("H100", 42.0, 2**30, 2**33, 412.3, 700.0, 64),)
    assert Nvidia(Nvml(), [0]).sample() == (Gpu("GPU", None, None, None, None, None, None),)


def test_a_machine_says_which_gpus_it_has_or_why_none(tmp_path: Path) -> None:
    gauges = Gauges(tmp_path)
    assert bool(gauges.sample().gpus) != bool(gauges.no_gpu)


# ------------------------------------------------------------------------------------------ telling


def test_history_is_by_the_second_and_ends_after_a_minute() -> None:
    clock = Clock()
    history = History(clock)
    assert history.series(lambda s: s.cpu, 4) == [None] * 4
    for second in range(30):
        clock.now = 100.0 + second
        history.add(replace(SAMPLE, cpu=float(second)))
    assert history.series(lambda s: s.cpu, 4) == [None, None, 7.0, 22.0]
    clock.now += 70
    history.add(replace(SAMPLE, cpu=80.0))
    assert history.series(lambda s: s.cpu, 4) == [None, None, None, 80.0]


def test_a_spark_is_a_column_a_value() -> None:
    assert spark([0, 25, 50, 100, None, 200], 100) == "▁▃▅█ █"


def test_bytes_have_three_digits() -> None:
    assert [amount(n) for n in (0, 940, 1000, 12.1 * 2**20, 1.21 * 2**30, 100 * 2**30)] == [
        "0 B", "940 B", "0.98 KiB", "12.1 MiB", "1.21 GiB", "100 GiB",
    ]  # fmt: skip
    assert share(6.1 * 2**30, 79.6 * 2**30) == "6.1 of 79.6 GiB"


# ------------------------------------------------------------------------------------------ the pane


async def shown(pilot: Any) -> tuple[System, list[str]]:
    await pilot.press("7")
    pane = pilot.app.screen.house.pane(SYSTEM)
    assert isinstance(pane, System)
    deadline = time.monotonic() + 5
    while pane._history.latest is None and time.monotonic() < deadline:
        await pilot.pause(0.02)
    await pilot.pause()
    return pane, text_of(pane)


def text_of(pane: Any) -> list[str]:
    return [pane.render_line(y).text.rstrip() for y in range(pane.size.height)]


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 35), (200, 60)])
async def test_it_shows_the_most_important_first_at_every_size(app: Any, made_run: Any, size: tuple[int, int]) -> None:
    run = made_run(records=10, state="running")
    async with app(run=run, size=size) as pilot:
        pane, lines = await shown(pilot)
        assert [line.split()[0] for line in lines[:1]] == ["CPU"]
        text = "\n".join(lines)
        assert "memory" in text
        assert "worker" in text
        assert all(len(line) <= pane.size.width for line in lines)
        if size[0] >= 120:
            assert "screen" in text
            assert "GiB free" in text
        pane._history.add(replace(SAMPLE, gpus=(GPU, GPU)))
        lines = [line.rstrip() for line in ("".join(t for t, _ in runs) for runs in pane.draw(31, 20))]
        assert all(len(line) <= 31 for line in lines)
        text = "\n".join(lines)
        for figure in ("93%", "412 of 700 W", "64 °C", "6.0 of 80.0 GiB", "GPU 1"):
            assert figure in text, text


async def test_figures_stand_clear_of_the_sparks(app: Any) -> None:
    async with app() as pilot:
        pane, _ = await shown(pilot)
        for second in range(20):
            pane._history._samples.append((100.0 + second, replace(SAMPLE, cpu=100.0)))
        for width in (31, 42, 76, 150):
            first = "".join(text for text, _ in next(iter(pane.draw(width, 12))))
            figures, _, history = first.partition("█")
            assert figures.split()[:2] == ["CPU", "50%"] or figures.split()[:2] == ["CPU", "100%"]
            assert set(history.strip()) <= {"█", "▁", "▂", "▃", "▄", "▅", "▆", "▇", " "}


async def test_a_worker_on_another_host_is_only_heard_of(app: Any, made_run: Any) -> None:
    run = made_run(records=10, state="running", host="box\x1b[31m7")
    async with app(run=run) as pilot:
        _, lines = await shown(pilot)
        text = " ".join(" ".join(lines).split())
        assert "worker on host box␛[31m7" in text


async def test_it_samples_only_while_it_is_shown(app: Any) -> None:
    async with app() as pilot:
        pane = pilot.app.screen.house.pane(SYSTEM)
        await pilot.pause(1.2)
        assert pane._history.latest is None
        await shown(pilot)
        assert pane._history.latest is not None
        await pilot.press("1")
        at = len(pane._history._samples)
        await pilot.pause(1.3)
        assert len(pane._history._samples) <= at + 1
