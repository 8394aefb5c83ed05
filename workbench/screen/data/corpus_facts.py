"""The corpus in figures and sentences, and the beginning of its training text with or without the tokens' edges."""

from dataclasses import dataclass

from workbench.data.corpus import Corpus
from workbench.data.entropy import Floors
from workbench.data.prompts import prompt_of
from workbench.data.tokenizers import CharTokenizer
from workbench.errors import DataError, UsageError
from workbench.preset import DataTable, Preset
from workbench.screen.frame.lined import Run
from workbench.screen.glyphs import cell, width_of, wrap

PREVIEWED = 6000
"""Tokens of the training text that are read: enough for the largest pane."""


@dataclass(frozen=True)
class Fact:
    """A figure with its name, which stands before it, or after it where that reads better."""

    label: str
    value: str
    label_first: bool = True

    @property
    def runs(self) -> list[Run]:
        parts = [(self.label, "dim"), (self.value, "value")]
        first, second = parts if self.label_first else parts[::-1]
        return [first, (" ", ""), second]

    @property
    def width(self) -> int:
        return len(self.label) + 1 + len(self.value)


def facts_of(corpus: Corpus) -> list[Fact]:
    """The figures of a corpus, the most important first. V is the vocabulary's size."""
    n = {name: split.n for name, split in corpus.splits.items()}
    tokens, tokenizer, characters = sum(n.values()), corpus.tokenizer, corpus.characters
    if characters == tokens:
        told = [Fact("characters = tokens", f"{tokens:,}", label_first=False)]
    else:
        told = [Fact("tokens", f"{tokens:,}", label_first=False)]
        if characters is not None:
            told.append(Fact("characters", f"{characters:,}", label_first=False))
    told.append(Fact("V", f"{tokenizer.vocab_size:,}"))
    told += [Fact(name, f"{n[name]:,}") for name in ("train", "val", "test") if name in n]
    if tokenizer.kind == "bpe" and characters is not None:
        told.append(Fact("characters per token", f"{characters / tokens:.2f}", label_first=False))
    if isinstance(tokenizer, CharTokenizer):
        told.append(Fact("distinct", f"{len(tokenizer.characters):,}", label_first=False))
    if corpus.n_lines is not None:
        told.append(Fact("line" if corpus.n_lines == 1 else "lines", f"{corpus.n_lines:,}", label_first=False))
    return [*told, Fact("fingerprint", corpus.fingerprint[:8])]


def floor_facts(floors: Floors | None, exact: float | None) -> list[Fact]:
    """What a model that only counts would score, in nats per token, as far as it is known."""
    named: list[tuple[str, float]] = []
    if floors is not None:
        named += [("ln V", floors.uniform), ("unigram", floors.unigram), ("bigram", floors.bigram)]
        named.append(("trigram", floors.trigram))
    if exact is not None:
        named.append(("exact", exact))
    return [Fact(name if n else f"nats: {name}", f"{value:.3f}") for n, (name, value) in enumerate(named)]


def why_split(data: DataTable, corpus: Corpus) -> str:
    """Why the split is as it is."""
    if "val" not in corpus.splits:
        return "no validation: val_fraction is 0" if not data.val_fraction else "no validation: the text is too short"
    if data.split == "lines":
        parts = "/".join(str(round(100 * part)) for part in (1 - 2 * data.val_fraction, *[data.val_fraction] * 2))
        return f"lines: lines are shuffled, then split {parts}"
    if corpus.characters is None and any("beside it" in note for note in corpus.notes):
        return "tail: the validation split is a file of its own"
    return f"tail: the last {100 * data.val_fraction:.3g}% is validation: a shuffle would leak"


def prompt_trouble(preset: Preset, corpus: Corpus) -> str:
    """Why samples could not start from `sample.prompt`; "" where they can."""
    try:
        prompt_of(preset.sample.prompt, corpus)
    except (UsageError, DataError) as error:
        return str(error)
    return ""


def flow(facts: list[Fact], width: int) -> list[list[Run]]:
    """Figures side by side, as many to a line as fit."""
    lines: list[list[Run]] = []
    used = 0
    for fact in facts:
        if lines and used + 3 + fact.width <= width:
            lines[-1] += [(" · ", "dim"), *fact.runs]
            used += 3 + fact.width
        else:
            lines.append(list(fact.runs))
            used = fact.width
    return lines


class Preview:
    """The beginning of a corpus's training text. Read once, when it is made; drawing touches no file."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.error = ""
        self._text = ""
        self._pieces: list[str] = []
        self._drawn: tuple[tuple[object, ...], list[list[Run]]] = ((), [])
        train = corpus.splits["train"]
        try:
            ids = train.read(0, min(train.n, PREVIEWED))
        except DataError as error:
            self.error = str(error)
            return
        self._text, self._pieces = corpus.tokenizer.decode(ids), corpus.tokenizer.pieces(ids)

    def lines(self, width: int, height: int, *, edges: bool, bars: bool = False) -> list[list[Run]]:
        """At most `height` lines of at most `width` columns. `edges`: every token apart, on alternating grounds and,
        with `bars`, a bar between; else running text."""
        wanted = (width, height, edges, bars)
        if self._drawn[0] != wanted:
            self._drawn = wanted, self._edged(width, height, bars) if edges else self._running(width, height)
        return self._drawn[1]

    def _running(self, width: int, height: int) -> list[list[Run]]:
        return [[(line, "")] for line in wrap(self._text[: width * height], width)[:height]]

    def _edged(self, width: int, height: int, bars: bool) -> list[list[Run]]:
        lines: list[list[Run]] = [[]]
        used = 0
        for number, piece in enumerate(self._pieces):
            columns = min(max(width_of(piece), 1), width)
            bar = int(bars and used > 0)
            if used + bar + columns > width:
                lines.append([])
                used = bar = 0
            if len(lines) > height:
                break
            if bar:
                lines[-1].append(("|", "dim"))
            lines[-1].append((cell(piece, columns), f"token-{number % 2}"))
            used += bar + columns
            if "\n" in piece:
                lines.append([])
                used = 0
        return lines[:height]
