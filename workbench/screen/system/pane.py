"""The System pane: what the machine, the worker and this screen have to do."""

import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from textual import events

from workbench.screen import keys
from workbench.screen.bench.bench import Bench
from workbench.screen.frame.aside import Aside
from workbench.screen.frame.lined import Run
from workbench.screen.frame.slots import SYSTEM
from workbench.screen.frame.units import amount, share
from workbench.screen.glyphs import fit, plain
from workbench.screen.pane import Pane
from workbench.screen.system.gauges import SPAN, Gauges, Gpu, History, Sample, spark

LABEL, GAP = 8, 2
SPARK, SPARK_MOST = 9, SPAN // 2
"""Columns that a gauge's history takes at least and at most, where it has any: at two seconds a column, one sample
that comes late leaves no hole."""
NEARLY_FULL = 0.05
"""The share of a disk or a memory below which it is told to be nearly full."""


@dataclass(frozen=True)
class Gauge:
    """One line: a label, the figures from the most important on, and the history behind the first of them."""

    label: str
    figures: tuple[str, ...]
    of: Callable[[Sample], float | None] | None = None
    most: float = 100.0
    ink: str = ""


class System(Pane):
    number = SYSTEM
    concerns = frozenset({"run", "time"})
    BINDINGS = keys.bindings(SYSTEM)

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self._gauges = Gauges(bench.runs)
        self._history = History()
        self._aside = Aside(self._sample, self._looked)
        self._hidden = 0

    # ------------------------------------------------------------------------------- sampling

    def heard(self, changed: set[str]) -> None:
        """Once a second while it is shown: the next sample; it is drawn when it has come."""
        if changed & self.concerns:
            self._aside.ask()

    def on_show(self, event: events.Show) -> None:  # the base's own is called as well
        self._aside.ask()

    def on_resize(self) -> None:
        self.redraw()  # for the caption: how much is hidden depends on the size

    def _sample(self) -> Sample:
        run = self.bench.run
        return self._gauges.sample(run.path if run else None, run.status if run and run.alive else None)

    def _looked(self) -> None:
        """A sample has been taken; this is its thread."""
        self.post_message(events.Callback(callback=self._show))

    def _show(self) -> None:
        if self._aside.found is not None and self._aside.found is not self._history.latest:
            self._history.add(self._aside.found)
        self.redraw()

    # ------------------------------------------------------------------------------- drawing

    def caption(self) -> str:
        hidden = f" · {self._hidden} more: 0" if self._hidden else ""
        return f"the last {SPAN} s{hidden}" if self._history.latest else ""

    def draw(self, width: int, height: int) -> Iterable[Sequence[Run]]:
        sample = self._history.latest
        if sample is None:
            return [[(plain(self._aside.error) or "sampling …", "dim")]]
        lines: list[list[Run]] = []
        rests: list[tuple[int, list[Run]]] = []
        gauges = self._gauges_of(sample)
        natural = max(len((" " * GAP).join(gauge.figures)) for gauge in gauges if gauge.of)
        columns = min(SPARK_MOST, max(SPARK, width - LABEL - natural - GAP))
        for gauge in gauges:
            line, rest = self._line(gauge, width, columns, natural)
            lines.append(line)
            if rest:
                rests.append((len(lines), rest))
        room = height - len(lines)
        for at, rest in reversed(rests[: max(room, 0)]):
            lines.insert(at, rest)
        self._hidden = max(0, len(lines) - height) + max(0, len(rests) - max(room, 0))
        return lines[:height]

    def _line(self, gauge: Gauge, width: int, columns: int, natural: int) -> tuple[list[Run], list[Run]]:
        """The line of a gauge, and the figures that had no room on it."""
        room = width - LABEL
        kept = 0
        if gauge.of:  # the figure is never cut for its history
            room = max(min(room - GAP - columns, natural), len(gauge.figures[0]))
            kept = min(columns, width - LABEL - GAP - room)
        text, figures = gauge.figures[0], list(gauge.figures[1:])
        while figures and len(text) + GAP + len(figures[0]) <= room:
            text += " " * GAP + figures.pop(0)
        line: list[Run] = [(fit(gauge.label, LABEL), "dim"), (fit(text, max(room, 1)), gauge.ink or "value")]
        if gauge.of and kept > 0:
            line += [(" " * GAP, ""), (spark(self._history.series(gauge.of, columns)[-kept:], gauge.most), "speed")]
        more = ""
        while figures and LABEL + len(more) + GAP * bool(more) + len(figures[0]) <= width:
            more += " " * GAP * bool(more) + figures.pop(0)
        return line, [(" " * LABEL, ""), (more, "")] if more else []

    def _gauges_of(self, now: Sample) -> list[Gauge]:
        full = now.memory > (1 - NEARLY_FULL) * now.memory_total
        return [
            Gauge("CPU", (percent(now.cpu), f"of {now.cores} cores"), lambda s: s.cpu),
            Gauge("memory", (share(now.memory, now.memory_total), *(("nearly full",) if full else ())),
                  lambda s: s.memory, now.memory_total, "bad" if full else ""),
            self._worker(now),
            *(gauge for i, gpu in enumerate(now.gpus) for gauge in gpu_lines(i, gpu)),
            *([] if now.gpus else [Gauge("GPU", (f"– {self._gauges.no_gpu}",), ink="dim")]),
            self._disk(now),
            Gauge("screen", (percent(now.screen.cpu), _bytes(now.screen.memory),
                             f"{amount(now.written)}/s out" if now.written is not None else "– out"),
                  lambda s: s.screen.cpu),
        ]  # fmt: skip

    def _worker(self, now: Sample) -> Gauge:
        run = self.bench.run
        status = run.status if run else None
        if run is None or not run.alive or status is None:
            return Gauge("worker", (f"– the run is {run.state}" if run else "– no run is open",), ink="dim")
        if status.host != socket.gethostname():
            return Gauge("worker", (f"on host {plain(status.host)}: only its heartbeat is known",), ink="dim")
        if now.worker is None:
            return Gauge("worker", ("–",), ink="dim")
        figures = (percent(now.worker.cpu), _bytes(now.worker.memory), f"pid {status.pid}", "100% is one core")
        return Gauge("worker", figures, lambda s: s.worker.cpu if s.worker else None, 100.0 * now.cores)

    def _disk(self, now: Sample) -> Gauge:
        run = f"this run {amount(now.run_size)}" if now.run_size is not None else ""
        if now.disk_free is None or now.disk_total is None:
            return Gauge("disk", ("–", run))
        full = now.disk_free < NEARLY_FULL * now.disk_total
        figures = (f"{share(now.disk_free, now.disk_total)} free", "nearly full" if full else "", run)
        return Gauge("disk", tuple(figure for figure in figures if figure), ink="bad" if full else "")


def gpu_lines(i: int, gpu: Gpu) -> list[Gauge]:
    """Two gauges of a GPU: how busy it is, and how full."""
    memory = share(gpu.memory, gpu.memory_total) if gpu.memory is not None and gpu.memory_total else "–"
    most = f" of {gpu.watts_most:.0f}" if gpu.watts_most is not None else ""
    watts = f"{gpu.watts:.0f}{most} W" if gpu.watts is not None else "– W"
    celsius = f"{gpu.celsius} °C" if gpu.celsius is not None else "– °C"

    def of(sample: Sample, what: str) -> float | None:
        value = getattr(sample.gpus[i], what) if i < len(sample.gpus) else None
        return None if value is None else float(value)

    return [
        Gauge(f"GPU {i}", (percent(gpu.use), watts, celsius, plain(gpu.name)), lambda s: of(s, "use")),
        Gauge("", (memory,), lambda s: of(s, "memory"), float(gpu.memory_total or 1)),
    ]


def percent(value: float | None) -> str:
    return "–".rjust(4) if value is None else f"{value:.0f}%".rjust(4)


def _bytes(count: int | None) -> str:
    return "–" if count is None else amount(count)
