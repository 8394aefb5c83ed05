"""A change of settings as undo and redo need it, and how values are written for a person. No Textual, no state."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from workbench import preset as presets
from workbench.preset import Preset, PresetError

Word = Literal["change", "undo", "redo"]
THREE = ("batch.B", "batch.accum", "batch.T")
"""What the lock keeps the product of."""


@dataclass(frozen=True)
class Edit:
    """Dotted key to (before, after); None where the settings have no such key: of another kind, or the other corpus."""

    changes: Mapping[str, tuple[Any, Any]]
    made_by: Word = "change"

    @classmethod
    def between(cls, before: Preset, after: Preset) -> "Edit":
        a, b = flat(before), flat(after)
        return cls({key: (a.get(key), b.get(key)) for key in presets.KEYS if a.get(key) != b.get(key)})

    @property
    def after(self) -> dict[str, Any]:
        return {key: new for key, (_, new) in self.changes.items()}

    def reversed(self, by: Literal["undo", "redo"]) -> "Edit":
        return Edit({key: (new, old) for key, (old, new) in self.changes.items()}, by)

    def holds_in(self, preset: Preset) -> bool:
        """Whether nothing has changed these keys since."""
        found = flat(preset)
        return all(found.get(key) == new for key, new in self.after.items())

    def made(self, preset: Preset) -> Preset:
        """`preset` with it. Raises PresetError where it does not fit any more."""
        document = presets.to_document(preset)
        for key, value in self.after.items():
            table, _, leaf = key.rpartition(".")
            inner = document[table] if table else document
            if value is None:
                inner.pop(leaf, None)
            else:
                inner[leaf] = value
        return presets.from_document(document, source="set")


class History:
    """The edits that hold, and those that were taken back."""

    def __init__(self) -> None:
        self._stacks: dict[str, list[Edit]] = {"undo": [], "redo": []}

    def remember(self, edit: Edit) -> None:
        """An edit that holds now. A new one ends what could be made again."""
        self._stacks["redo" if edit.made_by == "undo" else "undo"].append(edit)
        if edit.made_by == "change":
            self._stacks["redo"].clear()

    def join(self, edit: Edit, keys: Collection[str]) -> None:
        """An edit that holds now and is taken back together with the last one, if that moved one of `keys`."""
        undo = self._stacks["undo"]
        if not undo or not undo[-1].changes.keys() & set(keys):
            self.remember(edit)
            return
        before = undo.pop().changes
        changes = {**before, **{key: (before.get(key, (old,))[0], new) for key, (old, new) in edit.changes.items()}}
        self.remember(Edit({key: (old, new) for key, (old, new) in changes.items() if old != new}))

    def has(self, word: Literal["undo", "redo"]) -> bool:
        """There may be an edit that the word would make: whether it still holds is for `next` to say."""
        return bool(self._stacks[word])

    def next(self, word: Literal["undo", "redo"], settings: Preset) -> Edit | None:
        """The edit that the word would make now, None if there is none."""
        stack = self._stacks[word]
        # What something else has changed since (another client, a rewind) cannot be taken back.
        while stack and not stack[-1].holds_in(settings):
            stack.pop()
        return stack[-1].reversed(word) if stack else None

    def take(self, word: Literal["undo", "redo"]) -> None:
        """It is being made."""
        self._stacks[word].pop()

    def forget(self, edit: Edit) -> None:
        """It was remembered when it was asked for, and was refused. What it took back can be asked for again."""
        stack = self._stacks["redo" if edit.made_by == "undo" else "undo"]
        stack[:] = [other for other in stack if other is not edit]
        if edit.made_by == "undo":
            self._stacks["undo"].append(edit.reversed("redo"))
        elif edit.made_by == "redo":
            self._stacks["redo"].append(edit.reversed("undo"))


def flat(preset: Preset) -> dict[str, Any]:
    """The document of a preset as dotted keys."""
    document = presets.to_document(preset)
    out: dict[str, Any] = {}
    for name, value in document.items():
        out |= {f"{name}.{leaf}": inner for leaf, inner in value.items()} if isinstance(value, dict) else {name: value}
    return out


def outlived(key: str, changes: Mapping[str, Any]) -> bool:
    """Whether `changes` leaves no place for a key: it makes another kind of its table, or names the other corpus."""
    if {"data.text", "data.dataset"} & changes.keys() and key in ("data.text", "data.dataset"):
        return True
    known = presets.KEYS[key]
    kind = changes.get(f"{known.table}.kind")
    return bool(known.kinds) and kind is not None and kind not in known.kinds


def kept_constant(settings: Preset, changes: Mapping[str, Any]) -> dict[str, Any] | None:
    """`changes`, where one of B, accum and T moves together with another that keeps their product; None if that
    comes out whole for neither."""
    moved = [key for key in THREE if key in changes]
    if len(moved) != 1:
        return dict(changes)
    was = {key: presets.get(settings, key) for key in THREE}
    product = was["batch.B"] * was["batch.accum"] * was["batch.T"]
    (key,) = moved
    for other in {"batch.B": ("batch.accum", "batch.T"), "batch.accum": ("batch.B", "batch.T"),
                  "batch.T": ("batch.accum", "batch.B")}[key]:  # fmt: skip
        third = next(k for k in THREE if k not in (key, other))
        rest = changes[key] * was[third]
        if isinstance(rest, int) and rest > 0 and product % rest == 0:
            return {**changes, other: product // rest}
    return None


def not_kept(preset: Preset, changes: Mapping[str, Any]) -> str:
    """Why `kept_constant` has no answer, in words."""
    b = preset.batch
    return f"the lock keeps B·T·accum = {b.B * b.T * b.accum:,}, which {sentence(changes)} does not divide"


def told(error: PresetError) -> str:
    """What is wrong, one problem a line, without the word that nobody typed."""
    return "\n".join(problem.removeprefix("set: ").removeprefix("--set: ") for problem in error.problems)


def sentence(values: Mapping[str, Any]) -> str:
    """lr = 3e-4, B = 8. Of a text that is a corpus its beginning."""
    return ", ".join(
        f"{key.rpartition('.')[2]} = {shortened(shown(value))}" for key, value in values.items() if value is not None
    )


def shortened(text: str, most: int = 40) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def shown(value: Any) -> str:
    """A value as people write it: 3e-4, 1.0, 5,000, yes. Text as it stands: it may hold anything."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(shown(item) for item in value) + "]"
    return str(value)


def number(value: float) -> str:
    """The shortest text that reads back as exactly this float: 0.1, 2e-4, 1.78e-3, 1.0."""
    plain = repr(value)
    written = next(text for digits in range(17) if float(text := f"{value:.{digits}e}") == value)
    mantissa, _, exponent = written.partition("e")
    short = f"{mantissa}e{int(exponent)}"
    small_or_large = abs(value) < 0.01 or abs(value) >= 1e4
    return short if "e" in plain or (small_or_large and len(short) < len(plain)) else plain


def assignment(key: str, value: Any) -> str:
    """KEY=VALUE, the key without its table where it may stand so."""
    short = {name: bare for bare, name in presets.BARE.items()}
    return f"{short.get(key, key)}={written(value)}"


def written(value: Any) -> str:
    """A value as `--set` reads it back: text as it stands, unless it must be quoted; anything else as TOML."""
    if isinstance(value, str):
        plain = value.isprintable() and value == value.strip() and not value.startswith(("'", '"'))
        return value if plain and value else quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(written(item) for item in value) + "]"
    return str(value)


def quoted(text: str) -> str:
    """A TOML string on one line in which every character can be seen."""
    named = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}

    def escaped(c: str) -> str:
        return named.get(c) or (
            c if c.isprintable() else f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}"
        )

    return '"' + "".join(map(escaped, text)) + '"'
