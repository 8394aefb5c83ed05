"""What the machine, the worker, the disk and the GPUs have to do, and what this screen itself costs.

A figure that cannot be had is None, and shows as a dash; nothing here raises for it.
"""

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from workbench.runs.status import Status
from workbench.screen.runs.removal import size_of

SPAN = 60
"""Seconds of history that are kept and drawn."""
WEIGH_EVERY = 5.0
"""Seconds between two sums of a run's files: a sum is a look at each of them."""
_BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Load:
    """Of one process, with its children: CPU in percent of one core, resident memory in bytes."""

    cpu: float | None
    memory: int | None


@dataclass(frozen=True)
class Gpu:
    name: str
    """As the driver says it."""
    use: float | None
    """Percent of the time in which anything ran on it."""
    memory: int | None
    """Bytes in use, by anyone, of `memory_total`."""
    memory_total: int | None
    watts: float | None
    watts_most: float | None
    celsius: int | None


@dataclass(frozen=True)
class Sample:
    """Bytes are bytes; CPU is percent, of all cores for the machine and of one core for a process."""

    cpu: float | None
    cores: int
    memory: int
    memory_total: int
    disk_free: int | None
    """Where the runs are."""
    disk_total: int | None
    run_size: int | None
    """Of the open run's files; None without one."""
    worker: Load | None
    """None: no worker of the open run is on this machine."""
    screen: Load
    written: float | None
    """Bytes a second that this screen writes: nearly all of it goes to the terminal."""
    gpus: tuple[Gpu, ...]


class Gauges:
    """One thread samples; CPU and rates are those since the sample before, so the first one has none."""

    def __init__(self, runs: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._runs, self._clock = runs, clock
        self._own = psutil.Process()
        self._meter = Meter(clock)
        self._own_meter = Meter(clock)
        self._cpu: tuple[float, float] | None = None
        self._written: tuple[float, int] | None = None
        self._weighed: tuple[Path | None, float, int] = (None, 0.0, 0)
        self._nvidia: Nvidia | None = None
        self.no_gpu = ""
        """Why there is no GPU to tell of."""

    def sample(self, run: Path | None = None, status: Status | None = None) -> Sample:
        """`run` and `status` are the open run's; its worker is looked at only if it is alive on this machine."""
        memory = psutil.virtual_memory()
        free, total = self._disk()
        worker = status is not None and status.alive()
        return Sample(
            cpu=self._machine(), cores=psutil.cpu_count() or 1, memory=memory.total - memory.available,
            memory_total=memory.total, disk_free=free, disk_total=total,
            run_size=self._weigh(run) if run else None,
            worker=self._meter.of(status.pid) if worker and status else None,
            screen=self._own_meter.of(self._own.pid, children=False), written=self._rate(), gpus=self._gpus(),
        )  # fmt: skip

    def _machine(self) -> float | None:
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        # A guest's time is in `user` already.
        whole = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        before, self._cpu = self._cpu, (idle, whole)
        if before is None or whole <= before[1]:
            return None
        return min(max(100 * (1 - (idle - before[0]) / (whole - before[1])), 0.0), 100.0)

    def _disk(self) -> tuple[int | None, int | None]:
        for folder in (self._runs, *self._runs.parents):  # the runs folder is made with the first run
            with contextlib.suppress(OSError):
                found = os.statvfs(folder)
                return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
        return None, None

    def _weigh(self, run: Path) -> int:
        path, at, size = self._weighed
        now = self._clock()
        if path != run or now - at >= WEIGH_EVERY:
            size = size_of(run)
            self._weighed = (run, now, size)
        return size

    def _rate(self) -> float | None:
        """What this process has handed to write(2) of late; wakening a thread or asking a worker is in it too."""
        try:
            written = self._own.io_counters().write_chars
        except (psutil.Error, AttributeError, OSError):  # not told on this system
            return None
        now = self._clock()
        before, self._written = self._written, (now, written)
        return max(written - before[1], 0) / (now - before[0]) if before and now > before[0] else None

    def _gpus(self) -> tuple[Gpu, ...]:
        if self._nvidia is None and not self.no_gpu:
            self._nvidia, self.no_gpu = Nvidia.open()
        return self._nvidia.sample() if self._nvidia else ()


class Meter:
    """The CPU and memory of one process and its children, from sample to sample."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[tuple[int, float], float] = {}
        self._at = 0.0
        self._pid = 0

    def of(self, pid: int, *, children: bool = True) -> Load:
        if pid != self._pid:
            self._pid, self._seen = pid, {}
        try:
            root = psutil.Process(pid)
            family = [root, *(root.children(recursive=True) if children else [])]
        except psutil.Error:
            return Load(None, None)
        now, spent, memory = self._clock(), 0.0, 0
        seen: dict[tuple[int, float], float] = {}
        for process in family:
            with contextlib.suppress(psutil.Error), process.oneshot():
                times = process.cpu_times()
                who, used = (process.pid, process.create_time()), times.user + times.system
                spent += used - self._seen.get(who, used)
                seen[who] = used
                memory += process.memory_info().rss
        elapsed, first = now - self._at, not self._seen
        self._seen, self._at = seen, now
        if not seen:
            return Load(None, None)
        return Load(None if first or elapsed <= 0 else 100 * spent / elapsed, memory)


class Nvidia:
    """NVIDIA's management library, as long as it answers."""

    def __init__(self, nvml: Any, handles: Sequence[Any]) -> None:
        self._nvml, self._handles = nvml, handles

    @classmethod
    def open(cls) -> "tuple[Nvidia | None, str]":
        """The GPUs of this machine; None where there are none, and why."""
        import pynvml

        try:
            pynvml.nvmlInit()
            handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        except pynvml.NVMLError:
            return None, "no NVIDIA driver here"
        return (cls(pynvml, handles), "") if handles else (None, "the driver sees none")

    def sample(self) -> tuple[Gpu, ...]:
        return tuple(self._of(handle) for handle in self._handles)

    def _of(self, handle: Any) -> Gpu:
        n = self._nvml
        name = self._ask(n.nvmlDeviceGetName, handle) or "GPU"
        use = self._ask(n.nvmlDeviceGetUtilizationRates, handle)
        memory = self._ask(n.nvmlDeviceGetMemoryInfo, handle)
        watts = self._ask(n.nvmlDeviceGetPowerUsage, handle)
        most = self._ask(n.nvmlDeviceGetEnforcedPowerLimit, handle)
        return Gpu(
            name=name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name),
            use=float(use.gpu) if use else None,
            memory=int(memory.used) if memory else None, memory_total=int(memory.total) if memory else None,
            watts=watts / 1000 if watts is not None else None, watts_most=most / 1000 if most is not None else None,
            celsius=self._ask(n.nvmlDeviceGetTemperature, handle, n.NVML_TEMPERATURE_GPU),
        )  # fmt: skip

    def _ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        """An answer, or None: a virtual GPU has no temperature, a slice of one no use of its own."""
        try:
            return question(*arguments)
        except self._nvml.NVMLError:
            return None


# ------------------------------------------------------------------------------------------ telling


class History:
    """Samples of the last SPAN seconds, by the second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, Sample]] = deque(maxlen=2 * SPAN)

    @property
    def latest(self) -> Sample | None:
        return self._samples[-1][1] if self._samples else None

    def add(self, sample: Sample) -> None:
        now = self._clock()
        self._samples.append((now, sample))
        while self._samples[0][0] < now - SPAN:
            self._samples.popleft()

    def series(self, of: Callable[[Sample], float | None], columns: int) -> list[float | None]:
        """The mean in each of `columns` equal parts of the last SPAN seconds; None where nothing was sampled."""
        sums, counts = [0.0] * columns, [0] * columns
        end = self._samples[-1][0] if self._samples else 0.0
        for at, sample in self._samples:
            value = of(sample)
            column = columns - 1 - int((end - at) * columns / SPAN)
            if value is not None and 0 <= column < columns:
                sums[column] += value
                counts[column] += 1
        return [total / count if count else None for total, count in zip(sums, counts, strict=True)]


def spark(values: Sequence[float | None], most: float) -> str:
    """One column a value, `▁` for 0 and `█` for `most`; a space where there is none."""
    if most <= 0:
        return " " * len(values)
    return "".join(
        " " if v is None else _BLOCKS[min(max(int(v / most * len(_BLOCKS)), 0), len(_BLOCKS) - 1)] for v in values
    )
