"""Check: what is equal and what is not, in the tables and sentences that `workbench check` tells. No Textual."""

from typing import TYPE_CHECKING, Any

from workbench.screen.frame.paragraph import beside
from workbench.screen.frame.paragraph import told as sentence
from workbench.screen.lab import table
from workbench.screen.lab.asking import Told
from workbench.screen.lab.table import Table
from workbench.screen.lab.view import Drawn, Field, Line, View, texts

if TYPE_CHECKING:
    from workbench.screen.bench.bench import Bench

TWO_COLUMNS = 112
"""Columns from which the sentences stand beside the tables."""
TABLES = 64
"""The least columns of the tables then."""
ABOUT = {
    "accum": "64×1, 8×8 and 1×64 on the same rows: are gradients and weights the same? And what happens when the "
    "division is forgotten, averages are averaged, or something acts per batch.",
    "gradient": "How far the gradient of B rows points where the whole text's does: cosine and relative error.",
    "last-position": "The loss of the last target of each row alone, beside the loss of all of them.",
}


class CheckView(View):
    name = "check"

    def __init__(self, bench: "Bench") -> None:
        super().__init__(bench)
        self.fields = [Field("check", tuple(ABOUT))]
        self.results: dict[str, Told] = {}
        self._asked = ""

    def words(self) -> list[str]:
        return ["check", self.fields[0].value, "-"]

    def begin(self) -> None:
        self._asked = self.fields[0].value
        self.results.pop(self._asked, None)

    def hear(self, told: Told) -> None:
        if told["type"] == "check":
            self.results[self._asked] = told

    def conclusion(self) -> str:
        found = self.results.get(self._asked, {})
        return " ".join(texts(found, "sentences")[:1])

    def draw(self, width: int, height: int) -> Drawn:
        drawn = self.head(width)
        result = self.results.get(self.fields[0].value)
        if result is None:
            drawn.lines += sentence(ABOUT[self.fields[0].value], width, "dim")
            return drawn
        drawn.lines.append([])
        drawn.lines += concluded(result, width)
        return drawn


def concluded(result: Told, width: int) -> list[Line]:
    """Whether it holds, the tables, and the sentences: under them, or beside them where there is room."""
    title, holds = result.get("title"), result.get("holds")
    lines: list[Line] = sentence(title, width, "title") if isinstance(title, str) else []
    if isinstance(holds, bool):
        lines.append([("✓ it holds", "good")] if holds else [("✗ it does not hold", "bad")])
    two = width >= TWO_COLUMNS
    left = max(TABLES, width // 2 - 2) if two else width
    tables: list[Line] = []
    found: Any = result.get("tables")
    for document in found if isinstance(found, list) else []:
        made = Table.told(document)
        if made is not None:
            tables += [*table.lines(made, left)[0], []]
    said = [
        line for text in texts(result, "sentences") for line in sentence(text, width - left - 3 if two else width, "")
    ]
    return lines + [[]] + (beside(tables, left, said, " │ ") if two else tables + said)
