"""Fit: the largest and the fastest B that run, as they are found; and the three scenarios. No Textual."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workbench.plan.derivation import Measured
from workbench.screen.frame.paragraph import beside
from workbench.screen.frame.paragraph import told as sentence
from workbench.screen.frame.units import amount
from workbench.screen.lab import fit_chart, table
from workbench.screen.lab.asking import Told
from workbench.screen.lab.plan import shape
from workbench.screen.lab.table import Table
from workbench.screen.lab.view import Drawn, Field, Line, View, an_object, number, texts, whole

if TYPE_CHECKING:
    from workbench.screen.bench.bench import Bench

FIT, SCENARIOS = "the largest and the fastest B", "scenarios A, B and C"
CHART = 34
"""Columns of the chart, from which it stands beside the table; TABLE are the table's."""
TABLE = 43


class FitView(View):
    name = "fit"
    timed = True

    def __init__(self, bench: "Bench") -> None:
        super().__init__(bench)
        self.fields = [
            Field("measure", (FIT, SCENARIOS)),
            Field(
                "memory limit", ("", "256MiB", "512MiB", "1GiB", "2GiB", "4GiB", "8GiB"), empty="what the device has",
                words="As in 2GiB or 512MiB; nothing: what the device has. On a CPU it stands for a card's memory.",
                check=wrong_limit,
            ),
        ]  # fmt: skip
        self.probes: list[Told] = []
        self.scenarios: list[Told] = []
        self.result: Told = {}
        """The last object, of the fit or of the scenarios."""
        self._asked: object = None
        """The shape that is measured."""
        self.measured: tuple[object, Measured] | None = None

    @property
    def rows(self) -> int:
        return 0 if self.scenarios else len(self.probes)

    # ------------------------------------------------------------------------------- what it asks

    def words(self) -> list[str]:
        what, limit = self.fields
        words = ["fit", "-"] + (["--scenarios"] if what.value == SCENARIOS else [])
        return words + (["--memory-limit", limit.value] if limit.value else [])

    def begin(self) -> None:
        self.probes, self.scenarios, self.result = [], [], {}
        proposed = self.bench.proposed
        self._asked = shape(proposed, proposed.batch.T)

    def hear(self, told: Told) -> None:
        if told["type"] == "probe" and whole(told, "B"):
            self.probes = sorted([p for p in self.probes if p["B"] != told["B"]] + [told], key=lambda p: p["B"])
        elif told["type"] == "scenario":
            self.scenarios.append(told)
        elif told["type"] in ("fit", "scenarios"):
            self.result = told
            largest, fastest = (whole(an_object(told, name), "B") for name in ("largest", "fastest"))
            if largest:
                self.measured = (self._asked, Measured(largest, fastest or largest))

    def conclusion(self) -> str:
        return " ".join(texts(self.result, "sentences")[:1])

    @property
    def speeds(self) -> tuple[object, dict[int, float]]:
        """Tokens a second by B, and the shape that they were measured for."""
        found = {probe["B"]: number(probe, "tokens_per_s") for probe in self.probes}
        return self._asked, {B: speed for B, speed in found.items() if speed}

    # ------------------------------------------------------------------------------- what keys do

    def take(self) -> Mapping[str, Any]:
        n = self.at - len(self.fields)
        rows = [probe for probe in self.probes if fits(probe)]
        if self.scenarios or not 0 <= n < len(self.probes) or self.probes[n] not in rows:
            return {}
        probe = self.probes[n]
        accum = whole(probe, "accum")
        return {"batch.B": probe["B"], **({"batch.accum": accum} if accum else {})}

    # ------------------------------------------------------------------------------- drawing

    def draw(self, width: int, height: int) -> Drawn:
        drawn = self.head(width)
        if self.scenarios:
            drawn.lines += self._drawn_scenarios(width)
        elif self.probes:
            self._drawn_probes(drawn, width, height)
        if self.scenarios or not self.probes:
            drawn.lines += self._sentences(width)
        if not (self.probes or self.scenarios or self.said):
            drawn.lines += sentence(
                "Full steps of the settings on the screen, optimizer and evaluation included, each B in a process of "
                "its own. It holds the tokens a step by moving accum, and names no B that was not run.", width, "dim",
            )  # fmt: skip
        return drawn

    def _drawn_probes(self, drawn: Drawn, width: int, height: int) -> None:
        """The table and the sentences under it; the chart beside them, or below where there is room."""
        limit = number(self.result, "limit_bytes")
        beside_it = width >= TABLE + CHART
        room = width - CHART - 1 if beside_it else width
        lines, begins = self._table(room)
        first = len(drawn.lines) + 1
        drawn.stops += [first + begin for begin in begins]
        n = self.at - len(self.fields)
        if 0 <= n < len(self.probes) and (why := self.probes[n].get("reason")):
            lines += sentence(f"B = {self.probes[n]['B']:,}: {why}", room, "bad")
        lines += self._sentences(room)
        if beside_it:
            chart = fit_chart.lines(self.probes, limit, CHART, min(max(height - first, 9), 18))
            lines = beside(lines + [[]] * (len(chart) - len(lines)), room, chart, " ")
            drawn.lit = room
        elif height - first - len(lines) >= 9:
            lines += fit_chart.lines(self.probes, limit, width, 9)
        drawn.lines += [[], *lines]

    def _sentences(self, width: int) -> list[Line]:
        return [line for said in texts(self.result, "sentences") for line in sentence(said, width, "")]

    def _table(self, width: int) -> tuple[list[Line], list[int]]:
        unit, name = fit_chart.unit_of(self.probes)
        slow = max((number(probe, "seconds_per_step") or 0.0 for probe in self.probes), default=0.0) >= 1
        rows = []
        for probe in self.probes:
            memory, seconds = number(probe, "memory_bytes"), number(probe, "seconds_per_step")
            speed = number(probe, "tokens_per_s")
            rows.append([
                whole(probe, "B"), whole(probe, "accum"), memory and table.figure(float(f"{memory / unit:.3g}")),
                seconds and table.figure(float(f"{seconds * (1 if slow else 1e3):.3g}")),
                f"{speed:,.0f}" if speed else None, self._mark(probe),
            ])  # fmt: skip
        columns = ("B", "accum", name, "s a step" if slow else "ms a step", "tokens /s", "")
        made = Table.of("", columns, rows)
        made = replace(made, right=(True, True, True, True, True, False))
        return table.chosen_from(made, width, inks=[self._ink(probe) for probe in self.probes])

    def _mark(self, probe: Told) -> str:
        if not fits(probe):
            return "does not fit"
        names = [name for name in ("largest", "fastest") if an_object(self.result, name).get("B") == probe["B"]]
        return ", ".join(names)

    def _ink(self, probe: Told) -> str:
        return "bad" if not fits(probe) else "good" if self._mark(probe) else ""

    def _drawn_scenarios(self, width: int) -> list[Line]:
        rows, inks = [], []
        for it in self.scenarios:
            memory = number(it, "memory_bytes")
            rows.append([
                str(it.get("name", "")), whole(it, "B"), whole(it, "accum"), whole(it, "tokens_per_step"),
                amount(memory) if memory is not None else None, str(it.get("state", "")).replace("-", " "),
            ])  # fmt: skip
            inks.append("bad" if it.get("state") != "done" else "good")
        columns = ("", "B", "accum", "tokens a step", "memory", "it")
        lines: list[Line] = [[], *table.lines(Table.of("", columns, rows), width, inks=inks)[0], []]
        for it in self.scenarios:
            lines += sentence(f"{it.get('name', '')}: {it.get('sentence') or ''}", width, "")
        return lines


def fits(probe: Told) -> bool:
    return probe.get("fits") is True


def wrong_limit(text: str) -> str:
    """Why a typed text is no amount of memory; "" if it is one, or nothing."""
    text = text.strip()
    head = text.rstrip("BbiIKkMmGgTt ")
    try:
        good = not text or float(head) > 0
    except ValueError:
        good = False
    return "" if good else f"{text!r}: expected an amount such as 2GiB or 512MiB, or nothing"
