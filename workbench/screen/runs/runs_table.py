"""The runs as a table: which columns there is room for, and the text of each line."""

from collections.abc import Mapping, Sequence

from workbench.screen.frame.bars import DOTS
from workbench.screen.frame.lined import Run
from workbench.screen.glyphs import fit, middle
from workbench.screen.runs.shelf_of_runs import Row

GAP = 2
INDENT = 3
"""Columns before a name: what the run is to this screen, and the mark of its state."""
NAME = 14
"""The least columns of a name: below them its run is not told from another."""
_WANTED = ("done", "loss", "state", "val", "step", "B·T·accum", "lr")
"""The columns beside the name, the most telling first; `step` takes the place of `done`."""
_OTHERS = 40
"""Columns for which a long name is cut: `done`, `loss`, the longest state and `val`."""
_ORDER = ("run", "state", "done", "step", "loss", "val", "B·T·accum", "lr")
_LEFT = ("run", "state")


def columns(rows: Sequence[Row], width: int) -> dict[str, int]:
    """The columns that fit into `width`, left to right, each with its own width; a name gets what the others leave."""
    natural = {title: max([len(title), *(len(row.cells[title]) for row in rows)]) for title in _ORDER}
    name = min(natural["run"], max(NAME, width - _OTHERS))
    taken: dict[str, int] = {}
    room = width - name
    for title in _WANTED:
        need = natural[title] + GAP
        if title == "step":
            room += taken.get("done", 0)
        if need > room:
            if title == "step":
                room -= taken.get("done", 0)
            continue
        if title == "step":
            taken.pop("done", None)
        taken[title] = need
        room -= need
    taken["run"] = min(natural["run"], name + room)
    return {title: taken[title] - (GAP if title != "run" else 0) for title in _ORDER if title in taken}


def header(widths: Mapping[str, int]) -> list[Run]:
    return [(" " * INDENT + _line(dict(zip(widths, widths, strict=True)), widths), "dim")]


def line(
    row: Row, widths: Mapping[str, int], width: int, *, flag: str = "", flag_ink: str = "", over: str = ""
) -> list[Run]:
    """A run's line of `width` columns, after `flag`, one column that says what it is to this screen.

    `over` is an ink for the whole of it; the cursor's takes the place of every other.
    """
    mark, ink = DOTS.get(row.state, ("?", "warn"))
    cells = row.cells | {"run": middle(row.name, widths["run"])}
    rest = {title: width for title, width in widths.items() if title not in _LEFT}
    told: list[Run] = [
        (flag or " ", flag_ink),
        (f"{mark} ", ink),
        (fit(cells["run"], widths["run"]), "value" if flag else ""),
    ]
    if "state" in widths:
        told += [(" " * GAP, ""), (fit(cells["state"], widths["state"]), ink)]
    told.append((" " * GAP + _line(cells, rest) if rest else "", ""))
    if over:
        told.append((" " * (width - INDENT - sum(widths.values()) - GAP * (len(widths) - 1)), ""))
    return [(text, over if over == "cursor" else f"{style} {over}".strip()) for text, style in told]


def _line(cells: Mapping[str, str], widths: Mapping[str, int]) -> str:
    return (" " * GAP).join(
        fit(cells[title], width) if title in _LEFT else cells[title].rjust(width)[:width]
        for title, width in widths.items()
    )
