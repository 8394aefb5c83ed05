"""The texts to choose from: named datasets, what was opened in this session, the typed text; and what a choice takes.

Nothing here draws. `Shelf.look` and `counted` read what a drawing then only shows.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from workbench import preset as presets
from workbench.data import catalog, nanogpt
from workbench.data.corpus import Corpus, open_kept
from workbench.data.tokenizers import merges_asked_for
from workbench.errors import WorkbenchError
from workbench.preset import DataTable, Preset, PresetError
from workbench.screen.bench import fitting

if TYPE_CHECKING:
    from workbench.screen.bench.bench import Bench

Place = Literal["embedded", "here", "to fetch", ""]
"""Where a text is; "" where nothing can be said (a path that has gone)."""


@dataclass(frozen=True)
class Item:
    """One text: the name of a dataset, the absolute path of a file or folder, or the typed text itself."""

    kind: Literal["named", "path", "text"]
    value: str

    @classmethod
    def of(cls, data: DataTable) -> "Item":
        """The text that a [data] table names."""
        if data.text:
            return cls("text", data.text)
        return cls("named" if data.dataset in catalog.DATASETS else "path", data.dataset)

    @property
    def name(self) -> str:
        """A word or two; not yet fit for a terminal."""
        if self.kind == "text":
            return "typed text"
        return self.value if self.kind == "named" else os.path.basename(self.value.rstrip("/")) or self.value

    @property
    def about(self) -> str:
        """A sentence; not yet fit for a terminal."""
        if self.kind == "named":
            dataset = catalog.DATASETS[self.value]
            return f"{dataset.about}. {dataset.lines:,} lines; its split is {dataset.split}."
        return self.value


@dataclass(frozen=True)
class Known:
    """What is known of a text under the present tokenizer, split and layout; None where nobody has counted."""

    characters: int | None
    tokens: int | None = None
    vocabulary: int | None = None


class Shelf:
    """The list, in order, and a cursor on it. `look` follows what is on the bench."""

    def __init__(self, bench: "Bench") -> None:
        self._bench = bench
        self._opened: list[Item] = []
        self._typed: Item | None = None
        self._counts: dict[tuple[Item, str, str, str], Known | None] = {}
        self.items: list[Item] = []
        self.places: dict[Item, Place] = {}
        self.known: dict[Item, Known] = {}
        self.chosen = Item.of(bench.now.data)
        """The text in force: the live run's, else the draft's."""
        self.staged: Item | None = None
        """The one that a new run would have."""
        self.cursor = 0
        self.look()
        self.cursor = self.items.index(self.chosen)

    @property
    def under_cursor(self) -> Item:
        return self.items[self.cursor]

    def move(self, by: int) -> None:
        self.cursor = min(max(self.cursor + by, 0), len(self.items) - 1)

    def look(self) -> None:
        """Take in what the bench holds now, and which files are there."""
        bench = self._bench
        now, proposed = bench.now.data, bench.staged and bench.proposed.data
        before = self.chosen
        self.chosen = Item.of(now)
        self.staged = Item.of(proposed) if proposed and Item.of(proposed) != self.chosen else None
        for item in (Item.of(bench.draft.data), self.chosen, self.staged):
            if item and item.kind == "path" and item not in self._opened:
                self._opened.append(item)
            if item and item.kind == "text":
                self._typed = item
        under = self.items[self.cursor] if self.items else self.chosen
        typed = [self._typed] if self._typed else []
        self.items = [*(Item("named", name) for name in catalog.DATASETS), *self._opened, *typed]
        self.places = {item: _place(item) for item in self.items}
        if self.chosen != before or under not in self.items:
            under = self.chosen
        self.cursor = self.items.index(under)
        corpus = bench.text.corpus
        if corpus is not None and Item.of(bench.text.data) == self.chosen:
            self._counts[_key(self.chosen, bench.text.data)] = _known(corpus)
        self.known = {item: self._known_of(item) for item in self.items}

    def _known_of(self, item: Item) -> Known:
        """What has been counted; the catalog's figure for the rest."""
        found = self._counts.get(_key(item, self._table(item)))
        if found is None:
            dataset = catalog.DATASETS.get(item.value) if item.kind == "named" else None
            found = Known(dataset.characters if dataset else len(item.value) if item.kind == "text" else None)
        return found

    def unseen(self) -> list[tuple[Item, DataTable]]:
        """The texts that nobody has looked for under the present settings, with the [data] that each would have."""
        wanted = []
        for item in self.items:
            if item.kind == "text" or self.places[item] in ("", "to fetch"):
                continue
            if _key(item, self._table(item)) in self._counts:
                continue
            with contextlib.suppress(PresetError):
                wanted.append((item, presets.apply(self._bench.now, choice(self._bench.now, item)[0]).data))
        return wanted

    def learn(self, item: Item, data: DataTable, known: Known | None) -> None:
        """What `counted` found; shown from the next `look` on."""
        self._counts[_key(item, data)] = known

    def _table(self, item: Item) -> DataTable:
        """The present [data], with the split and the layout that choosing `item` would bring."""
        now = self._bench.now
        if item.kind == "text":
            return now.data
        changes = choice(now, item)[0]
        kept = {key: changes[f"data.{key}"] for key in ("tokenizer", "split", "layout") if f"data.{key}" in changes}
        return now.data.model_copy(update=kept) if kept else now.data


def counted(data: DataTable) -> Known | None:
    """What is kept of a corpus; None where nothing is. Opens files: not for the thread that draws."""
    try:
        corpus = open_kept(data)
    except (WorkbenchError, OSError):
        return None
    return None if corpus is None else _known(corpus)


def choice(preset: Preset, item: Item) -> tuple[dict[str, Any], list[str]]:
    """The changes that make `item` the corpus of `preset`, and in words those that come with it.

    A named dataset brings the split that it is meant for, and running text brings rows that run on; an mlp keeps
    its windows, since it reads nothing else. A file of tokens needs the tokenizer it was made with and no lines.
    A path keeps the split as it is: nobody has said what it holds.
    """
    if item.kind == "text":
        fitted = fitting.own_text(preset, item.value)
        told = fitting.told(preset, fitted)
        return fitted, [told] if told else []
    changes: dict[str, Any] = {"data.dataset": item.value}
    words: list[str] = []
    data = preset.data

    def also(key: str, value: Any, why: str) -> None:
        if presets.get(preset, key) != value:
            changes[key] = value
            words.append(f"{key.rpartition('.')[2]} = {value} ({why})")

    if item.kind == "named":
        split = catalog.DATASETS[item.value].split
        if split == "tail":
            also("data.split", "tail", f"{item.value} is running text")
        else:
            also("data.split", "lines", f"{item.value} is a list, one entry a line")
            if data.val_fraction >= 0.5:
                also("data.val_fraction", 0.1, "lines keep this share twice")
        if split == "tail" and data.split == "lines" and preset.model.kind != "mlp":
            also("data.layout", "stream", "rows run on across lines")
    elif nanogpt.is_tokens(Path(item.value)):
        if data.tokenizer == "char" or merges_asked_for(data.tokenizer):
            also("data.tokenizer", "gpt2", "a .bin is tokenised already")
        also("data.split", "tail", "a .bin is one stream of tokens")
        if preset.model.kind != "mlp":
            also("data.layout", "stream", "a .bin is one stream of tokens")
    return changes, words


def short(count: int) -> str:
    """A count in at most four characters and a letter: 812, 465k, 1.1M, 12M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size * 0.9995:
            scaled = count / size
            return f"{scaled:.1f}{letter}" if scaled < 9.95 else f"{scaled:.0f}{letter}"
    return str(count)


def _known(corpus: Corpus) -> Known:
    tokens = sum(split.n for split in corpus.splits.values())
    return Known(corpus.characters, tokens, corpus.tokenizer.vocab_size)


def _key(item: Item, data: DataTable) -> tuple[Item, str, str, str]:
    return item, data.tokenizer, data.split, data.layout


def _place(item: Item) -> Place:
    if item.kind == "text":
        return "here"
    if item.kind == "path":
        return "here" if os.path.exists(item.value) else ""
    dataset = catalog.DATASETS[item.value]
    return "embedded" if dataset.kind == "embedded" else "here" if dataset.here else "to fetch"
