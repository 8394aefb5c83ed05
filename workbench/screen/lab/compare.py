"""Compare: the open run and those drawn over it, and whether they differ by more than noise. No Textual."""

from typing import TYPE_CHECKING

from workbench.screen.charts.loss_chart import others
from workbench.screen.frame.paragraph import told as sentence
from workbench.screen.glyphs import plain
from workbench.screen.lab import table
from workbench.screen.lab.asking import Told
from workbench.screen.lab.plan import short
from workbench.screen.lab.table import Table
from workbench.screen.lab.view import Drawn, Field, Line, View, number, objects, texts

if TYPE_CHECKING:
    from workbench.screen.bench.bench import Bench

MOST_VERDICTS = 6
"""Pairs that are told; every run's own line is below."""
COLUMNS = ("run", "val loss", "train loss", "gap", "noise", "steps", "tokens", "time", "tokens/s", "seed")


class CompareView(View):
    name = "compare"
    reads = True

    def __init__(self, bench: "Bench") -> None:
        super().__init__(bench)
        self.fields = [Field("by", ("steps", "tokens", "seconds", "flops"))]
        self.result: Told = {}

    def _runs(self) -> list[str]:
        run = self.bench.run
        return [str(it.path) for it in [*([run] if run else []), *(it for _, _, it in others(self.bench))]]

    def words(self) -> list[str]:
        runs = self._runs()
        return ["compare", *runs, "--x", self.fields[0].value] if len(runs) > 1 else []

    def why_not(self) -> str:
        return "compare needs two runs at least: open one (8), and o draws others over it"

    def begin(self) -> None:
        self.result = {}

    def hear(self, told: Told) -> None:
        if told["type"] == "compare":
            self.result = told

    def conclusion(self) -> str:
        return concluded(self.result)

    def draw(self, width: int, height: int) -> Drawn:
        drawn = self.head(width)
        if self.result:
            drawn.lines += compared(self.result, width)
        elif len(self._runs()) > 1:
            drawn.lines += sentence(
                f"enter compares {len(self._runs())} runs: the open one and those over it", width, "dim"
            )
        else:
            drawn.lines += sentence(self.why_not(), width, "dim")
        return drawn


def compared(result: Told, width: int) -> list[Line]:
    """A line a run, the verdicts, its groups where there are several seeds, and what there is to say."""
    lines: list[Line] = [[]]
    rows = [_row(run) for run in objects(result, "runs")]
    if rows:
        lines += [*table.lines(Table.of("", COLUMNS, rows), width)[0], []]
    for it in objects(result, "verdicts")[:MOST_VERDICTS]:
        lines += sentence(_verdict(it), width, "value" if str(it.get("verdict", "")).startswith("lower") else "dim")
    groups = objects(result, "groups")
    if any((number(group, "seeds") or 0) > 1 for group in groups):
        cells = [[_text(g, "label"), *(g.get(key) for key in ("seeds", "val_loss", "spread", "noise"))] for g in groups]
        lines += [[], *table.lines(Table.of("", ("", "seeds", "val loss", "spread", "noise"), cells), width)[0], []]
    for said in texts(result, "sentences"):
        lines += sentence(said, width, "")
    return lines


def concluded(result: Told) -> str:
    """The first verdict, else the first sentence."""
    found = objects(result, "verdicts")
    return _verdict(found[0]) if found else " ".join(texts(result, "sentences")[:1])


def _verdict(it: Told) -> str:
    return f"{it.get('a', '')} against {it.get('b', '')}: {it.get('verdict', '')}"


def _row(run: Told) -> list[object]:
    seconds, speed = number(run, "seconds"), number(run, "tokens_per_s")
    losses = [number(run, key) for key in ("val_loss", "train_loss", "gap", "noise")]
    counts = [number(run, key) for key in ("steps", "tokens")]
    return [
        _text(run, "label"), *losses, *(round(n) if n is not None else None for n in counts),
        short(seconds) if seconds is not None else None, round(speed) if speed is not None else None,
        str(run.get("seed", "–")),
    ]  # fmt: skip


def _text(told: Told, name: str) -> str:
    return plain(str(told.get(name) or "–"))
