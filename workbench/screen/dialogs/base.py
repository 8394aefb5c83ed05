"""A box in the middle with a title, words, and something to answer with."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from workbench.screen.dialogs.typed import Typed
from workbench.screen.glyphs import plain

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer | None], Generic[Answer]):
    """Subclasses give `body`. Escape leaves without an answer. Titles and words may hold anything: no markup in them
    is heard, and no control character gets through."""

    BINDINGS = [Binding("escape", "leave", "leave")]  # noqa: RUF012
    HINT = "esc leaves"
    VERTICAL_BREAKPOINTS = [(0, "-short"), (22, "-tall")]  # noqa: RUF012

    def __init__(self, title: str, words: str = "") -> None:
        super().__init__()
        self._title, self._words = title, words

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content(plain(self._title))
            box.border_subtitle = Content(self.HINT)
            if self._words:
                yield Static(plain(self._words, newlines=True), classes="words", markup=False)
            yield from self.body()

    def body(self) -> ComposeResult:
        raise NotImplementedError

    def action_leave(self) -> None:
        self.dismiss(None)


class Choice(Dialog[str]):
    """One of a few answers, by its key or by the cursor. Each is (key, what it does)."""

    HINT = "a letter, or ↑↓ and enter · esc leaves"

    def __init__(self, title: str, words: str, options: Sequence[tuple[str, str]]) -> None:
        super().__init__(title, words)
        self._options = list(options)

    def body(self) -> ComposeResult:
        yield OptionList(
            *(
                Option(Content.assemble((key, "bold underline"), "  ", plain(what)), id=key)
                for key, what in self._options
            )
        )

    def on_key(self, event: events.Key) -> None:
        if event.character in dict(self._options):
            event.stop()
            self.dismiss(event.character)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)


class Line(Dialog[str]):
    """One line of text, checked before it is taken: `check` returns what is wrong with it, or ""."""

    HINT = "enter takes it · esc leaves"

    def __init__(
        self, title: str, words: str, value: str = "", *, check: Callable[[str], str] = lambda text: ""
    ) -> None:
        super().__init__(title, words)
        self._value, self._check = value, check

    def body(self) -> ComposeResult:
        yield Typed(self._value, select_on_focus=True)
        yield Static("", classes="wrong", markup=False)

    def on_input_changed(self, event: Input.Changed) -> None:
        self.query_one(".wrong", Static).update("")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        wrong = self._check(event.value)
        if wrong:
            self.query_one(".wrong", Static).update(plain(wrong, newlines=True))
        else:
            self.dismiss(event.value)
