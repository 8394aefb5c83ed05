"""The Charts pane."""

from collections.abc import Iterable, Sequence

from workbench.screen import keys
from workbench.screen.lined import Run
from workbench.screen.panes.base import Pane
from workbench.screen.slots import CHARTS


class Charts(Pane):
    number = CHARTS
    BINDINGS = keys.bindings(CHARTS)

    def draw(self, width: int, height: int) -> Iterable[Sequence[Run]]:
        yield [("Charts", "dim")]
