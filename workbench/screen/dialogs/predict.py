"""Predict first: the loss at step 0 and at the end, before anyone knows them."""

from textual.app import ComposeResult
from textual.widgets import Input, Static

from workbench.screen.dialogs.base import Dialog
from workbench.screen.dialogs.typed import Typed

Predicted = tuple[float | None, float | None]


class Predict(Dialog[Predicted]):
    """The answer is both losses in nats, None for a line that was left empty."""

    HINT = "enter takes them · tab the other · esc leaves"

    def __init__(self, words: str, before: Predicted) -> None:
        super().__init__("Predict first", words)
        self._before = before

    def body(self) -> ComposeResult:
        for name, value in zip(("at step 0", "at the end"), self._before, strict=True):
            yield Static(f"loss {name}, in nats", classes="hint")
            yield Typed("" if value is None else f"{value:g}", placeholder="no prediction", select_on_focus=True)
        yield Static("", classes="wrong", markup=False)

    def on_input_changed(self, event: Input.Changed) -> None:
        self.query_one(".wrong", Static).update("")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        first, last = self.query(Input)
        if event.input is first:
            last.focus()
            return
        values = []
        for line in (first, last):
            value = parsed(line.value)
            if isinstance(value, str):
                self.query_one(".wrong", Static).update(value)
                line.focus()
                return
            values.append(value)
        self.dismiss((values[0], values[1]))


def parsed(text: str) -> float | str | None:
    """A loss, None of nothing, or in words what is wrong."""
    if not text.strip():
        return None
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        value = -1.0
    return value if 0 <= value < 1e6 else f"{text.strip()!r}: expected a loss such as 4.6, or nothing"
