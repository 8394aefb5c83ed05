"""A text that is typed or pasted as the corpus."""

from rich.text import Text as Drawn
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.document._document import EditResult
from textual.document._edit import Edit
from textual.widgets import Button, Static, TextArea

from workbench.preset import Preset
from workbench.screen.bench import fitting
from workbench.screen.dialogs.base import Dialog
from workbench.screen.glyphs import plain

_STAND_INS = 0xF0000
"""Private use. Where a text has these itself, they get stand-ins like any other private character."""


class RawText(TextArea):
    """A text area that holds any text as it is and draws none of it raw.

    What a terminal could act on, or has no certain width, is held as a stand-in of one column: so lines break at
    newlines alone, the cursor stands where it is drawn, and `raw` gives back every character.
    """

    def __init__(self, text: str) -> None:
        self._stands_for: dict[int, str] = {}
        self._stand_in: dict[int, str] = {}
        self._drawn: dict[int, str] = {}
        super().__init__(self._held(text), soft_wrap=True, show_line_numbers=False)

    @property
    def raw(self) -> str:
        return self.text.translate(self._stands_for)

    def _held(self, text: str) -> str:
        """`text` with its stand-ins."""
        for character in sorted(set(text)):
            drawn = plain(character)
            if character in "\n\t" or drawn in (character, f"◌{character}") or ord(character) in self._stand_in:
                continue
            stand_in = _STAND_INS + len(self._stand_in)
            self._stand_in[ord(character)] = chr(stand_in)
            self._stands_for[stand_in], self._drawn[stand_in] = character, drawn
        return text.translate(self._stand_in)

    def get_line(self, line_index: int) -> Drawn:
        return Drawn(self.document.get_line(line_index).translate(self._drawn), end="", no_wrap=True)

    def edit(self, edit: Edit) -> EditResult:
        edit.text = self._held(edit.text)
        return super().edit(edit)

    def _on_paste(self, event: events.Paste) -> None:  # type: ignore[override]
        """Runs before TextArea's own. A terminal pastes a line's end as a carriage return."""
        event.text = event.text.replace("\r\n", "\n").replace("\r", "\n")
        if len(event.text) > fitting.LONGEST:
            event.prevent_default()
            self.app.notify(fitting.too_long(len(event.text)), severity="error", markup=False)


class OwnText(Dialog[str]):
    """Answers with the text, exactly as it was typed or pasted."""

    BINDINGS = [  # noqa: RUF012
        Binding("escape", "leave", "leave"),
        Binding("ctrl+s,ctrl+enter", "take", "take it", priority=True),
    ]
    HINT = "ctrl+s takes it · esc leaves"

    def __init__(self, draft: Preset) -> None:
        super().__init__("Your own text", "Type or paste the corpus; enter makes a new line.")
        self._draft = draft
        self._area = RawText(draft.data.text)
        self._counts = Static("", classes="hint", markup=False)
        self._wrong = Static("", classes="wrong", markup=False)
        self._warned = False

    def body(self) -> ComposeResult:
        yield self._area
        yield self._counts
        yield self._wrong
        with Horizontal():
            yield Button("take it", variant="primary", compact=True)

    def on_mount(self) -> None:
        self._area.move_cursor(self._area.document.end)
        self._count()

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        self._warned = False
        self._wrong.update("")
        self._count()

    def _count(self) -> None:
        """What there is to train on, and what would change with it."""
        text, draft = self._area.raw, self._draft
        counts = f"{len(text):,} characters · {len(set(text)):,} distinct"
        if text and draft.data.tokenizer == "char" and draft.model.kind != "mlp":
            starts = max(len(text) - draft.batch.T, 0)
            counts += f" · {starts:,} legal start{'' if starts == 1 else 's'} at T = {draft.batch.T}"
        fitted = "" if fitting.wrong_with(draft, text) else fitting.told(draft, fitting.own_text(draft, text))
        self._counts.update(plain(f"{counts}\n{fitted}".strip(), newlines=True))

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.action_take()

    def action_take(self) -> None:
        text = self._area.raw
        if wrong := fitting.wrong_with(self._draft, text):
            self._wrong.update(plain(f"expected {wrong}" if not text else wrong))
        else:
            self.dismiss(text)

    def action_leave(self) -> None:
        if self._area.raw != self._draft.data.text and not self._warned:
            self._warned = True
            self._wrong.update("esc again gives this text up")
            return
        self.dismiss(None)
