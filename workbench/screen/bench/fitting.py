"""A typed text as the corpus: what else has to change so that it can be trained on."""

import re
from typing import Any

from workbench.data.corpus import open_kept
from workbench.errors import WorkbenchError
from workbench.preset import Preset
from workbench.preset.files import LONGEST_PRESET

LONGEST = 1_000_000
"""Characters of a typed text. A longer one belongs into a file."""
_ROOM = 65_536
"""Bytes of a preset beside its text."""
_CONTROLS = re.compile(r"[\x00-\x07\x0b\x0e-\x1f\x7f]")  # those that TOML has no letter for
LONGEST_PROMPT = 12
"""Characters of the prompt that is taken from the text where the old one has others."""


def wrong_with(draft: Preset, text: str) -> str:
    """Why a text cannot be the corpus; "" if it can."""
    if not text:
        return "a text of at least one character, typed or pasted above"
    if len(text) > LONGEST or _bytes_in_toml(text) > LONGEST_PRESET - _ROOM:
        return too_long(len(text))
    if (surrogate := next((c for c in text if "\ud800" <= c <= "\udfff"), None)) is not None:
        return f"it holds {surrogate!r}, which is no character; expected valid Unicode"
    if draft.model.kind != "mlp" and _tokens(draft, text) < 2:
        return "one token is too short: a row needs at least one and the next"
    return ""


def too_long(characters: int) -> str:
    return f"{characters:,} characters are too long for a preset: save them as a file, and `o` in Data opens it"


def own_text(draft: Preset, text: str) -> dict[str, Any]:
    """The changes that make `text` the corpus of `draft`, one that `wrong_with` lets through.

    The tokenizer stays. It is one stream whose tail is validation, unless that could not hold a row; an mlp goes on
    reading windows. T and B shrink where rows would not fit or only repeat: T to at most half of the text, B to the
    legal starts, both to powers of two. A prompt with characters that the text lacks becomes its first word.
    """
    b, d = draft.batch, draft.data
    n = _tokens(draft, text)
    windows = draft.model.kind == "mlp"
    T = b.T if windows or n // 2 >= b.T else _power(n // 2)
    v = d.val_fraction
    if n - int(n * (1 - v)) < (1 if windows else T + 1) or int(n * (1 - v)) < T + 1:
        v = 0.0
    starts = int(n * (1 - v)) - (0 if windows else T)
    wanted: dict[str, Any] = {
        "data.text": text,
        "data.split": "tail",
        "data.layout": "windows" if windows else "stream",
        "data.val_fraction": v,
        "batch.T": T,
        "batch.B": b.B if starts >= b.B else _power(starts),
    }
    if d.tokenizer == "char" and (prompt := _prompt(draft.sample.prompt, text, windows)) != draft.sample.prompt:
        wanted["sample.prompt"] = prompt
    now = {
        "data.split": d.split, "data.layout": d.layout, "data.val_fraction": d.val_fraction,
        "batch.T": b.T, "batch.B": b.B,
    }  # fmt: skip
    return {key: value for key, value in wanted.items() if key == "data.text" or value != now.get(key)}


def told(draft: Preset, changes: dict[str, Any]) -> str:
    """What else changes with the text, and why; "" where nothing does."""
    was = {"batch.T": draft.batch.T, "batch.B": draft.batch.B}
    parts = [f"{key[-1]} {old} → {changes[key]}" for key, old in was.items() if key in changes]
    if changes.get("data.val_fraction") == 0.0:
        parts.append("no validation")
    if "data.layout" in changes or "data.split" in changes:
        parts.append("one stream of text")
    if "sample.prompt" in changes:
        parts.append(f"prompt {changes['sample.prompt']!r}")
    return f"fitted to {len(changes['data.text']):,} characters: {', '.join(parts)}" if parts else ""


def _bytes_in_toml(text: str) -> int:
    """At most so many bytes of a preset's file, without writing it: this is asked at every key."""
    escaped = sum(map(text.count, '"\\\n\t\r\b\f'))
    return len(text.encode("utf-8", "replace")) + escaped + 5 * len(_CONTROLS.findall(text))


def _tokens(draft: Preset, text: str) -> int:
    """Tokens of the text; characters where its tokenizer cannot be had, which opening it will tell."""
    if draft.data.tokenizer == "char":
        return len(text)
    if draft.data.tokenizer == "byte":
        return len(text.encode("utf-8"))
    whole = {"text": text, "dataset": "", "split": "tail", "layout": "stream", "val_fraction": 0.0}
    data = draft.data.model_copy(update=whole)
    try:
        corpus = open_kept(data)
    except WorkbenchError:
        corpus = None
    return corpus.splits["train"].n if corpus else len(text)


def _power(n: int) -> int:
    """The largest power of two that is at most n ≥ 1."""
    return 1 << (max(n, 1).bit_length() - 1)


def _prompt(prompt: str, text: str, windows: bool) -> str:
    """A newline stands for the beginning of a text that has none; anything else must be of its characters."""
    if prompt == "\n" or not set(prompt) - set(text) - ({"\n"} if windows else set()):
        return prompt
    return (text.split() or [text])[0][:LONGEST_PROMPT]
