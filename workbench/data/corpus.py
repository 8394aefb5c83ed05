"""A corpus: text that has been read, tokenised, cached and split, ready to give rows.

The first start reads the source twice (what it is; its tokens) and keeps the tokens by content, so that
the second start, or the same text under another name, finds them.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from workbench.data import cache, catalog, nanogpt, tokenfile
from workbench.data.bpe import train_bpe
from workbench.data.fetch import fetch
from workbench.data.scan import Progress, Scan, scan, silent
from workbench.data.sources import EmbeddedSource, FileSource, Source, TextSource, open_path
from workbench.data.store import Split, TokenStore
from workbench.data.tokenfile import Arrangement
from workbench.data.tokenizers import ByteTokenizer, CharTokenizer, Tokenizer, load_tiktoken, merges_asked_for
from workbench.errors import DataError, UsageError

if TYPE_CHECKING:
    from workbench.preset import DataTable

SplitName = Literal["train", "val", "test"]

_VERSION = 1  # of what the cached tokens of a text are: raised when the same text would give others


@dataclass(frozen=True)
class Corpus:
    """A tokenised text and its splits. A split that would be empty is missing from `splits`."""

    name: str
    fingerprint: str  # SHA-256 of the raw text, hex
    tokenizer: Tokenizer
    bytes: int
    characters: int | None  # None for a file of tokens, whose text nobody has read
    n_lines: int | None
    splits: dict[SplitName, Split]
    by_line: bool = False  # every line was encoded by itself, so that what precedes it tells nothing of it
    notes: tuple[str, ...] = ()  # what the user should be told about how the text was read

    @property
    def newline(self) -> int | None:
        """The newline token, where a newline is one token."""
        return self.tokenizer.newline_id

    @property
    def train_examples(self) -> int:
        """Tokens of the training split: its targets, where every token is one (layout windows)."""
        return self._examples("train")

    @property
    def val_examples(self) -> int:
        return self._examples("val")

    @property
    def test_examples(self) -> int:
        return self._examples("test")

    def _examples(self, split: SplitName) -> int:
        return self.splits[split].n if split in self.splits else 0


def open_corpus(data: "DataTable", *, progress: Progress | None = None) -> Corpus:
    """The corpus that a preset's [data] describes.

    `progress` hears what takes the time ("fetching", "reading", "training bpe", "tokenising") and the share
    done, if known. UsageError for what the preset got wrong (exit 2): an unknown dataset or tokenizer, a
    missing path, a split that leaves nothing. DataError for data that cannot be had (exit 5).
    """
    progress = progress or silent
    merges = merges_asked_for(data.tokenizer)
    if not data.text:
        found = catalog.find(data.dataset)
        if isinstance(found, Path) and nanogpt.is_tokens(found):
            return _of_tokens(found, data, merges, progress)
    # Loaded first: a vocabulary that cannot be had should not cost the reading of a large text.
    tokenizer = None if data.tokenizer == "char" or merges else _known_tokenizer(data.tokenizer)
    source = TextSource(data.text) if data.text else _source(found, progress)
    scanned = scan(source, raw=data.tokenizer == "byte", progress=progress)
    if not data.text and isinstance(found, catalog.Dataset):
        _check_pinned(found, scanned)

    if source.identity() is None:  # a typed sentence: not worth a place in the cache
        with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
            tokens = _tokens(Path(folder), source, scanned, data, tokenizer, progress)
            splits = _splits(tokens, data, scanned.lines)
    else:
        tokens = _tokens(cache.folder("corpora"), source, scanned, data, tokenizer, progress)
        splits = _splits(tokens, data, scanned.lines)

    notes = []
    if scanned.skipped:
        notes.append(f"{source.name}: {scanned.skipped} binary or special files were left out")
    if merges and tokens.tokenizer.vocab_size < merges:
        notes.append(
            f"{data.tokenizer}: this corpus has only {tokens.tokenizer.vocab_size - 256} pairs to merge, so "
            f"the vocabulary is {tokens.tokenizer.vocab_size}"
        )
    return Corpus(
        name=source.name,
        fingerprint=scanned.fingerprint,
        tokenizer=tokens.tokenizer,
        bytes=scanned.bytes,
        characters=scanned.characters,
        n_lines=scanned.lines,
        splits=splits,
        by_line=data.split == "lines" or data.layout == "windows",
        notes=tuple(notes),
    )


def _known_tokenizer(spec: str) -> Tokenizer:
    return ByteTokenizer() if spec == "byte" else load_tiktoken(spec)


def _source(found: catalog.Dataset | Path, progress: Progress) -> Source:
    if isinstance(found, Path):
        return open_path(found)
    if found.path is None:
        return EmbeddedSource(found.name, found.characters)
    if not found.here:
        fetch(found, progress=progress)
    return FileSource(found.path, found.name)


def _check_pinned(dataset: catalog.Dataset, scanned: Scan) -> None:
    if dataset.sha256 and scanned.fingerprint != dataset.sha256:
        raise DataError(
            f"{dataset.name}: {dataset.path} has SHA-256 {scanned.fingerprint}, expected {dataset.sha256}. "
            f"It has changed since it was fetched: remove it, then run `workbench data {dataset.name} "
            "--fetch`."
        )


def _tokens(
    folder: Path,
    source: Source,
    scanned: Scan,
    data: "DataTable",
    tokenizer: Tokenizer | None,
    progress: Progress,
) -> tokenfile.Tokens:
    """The tokens of a source, kept ones or new ones, arranged as the split and the layout need them."""
    spec = data.tokenizer
    arrangement: Arrangement = (
        "shuffled lines" if data.split == "lines" else "lines" if data.layout == "windows" else "stream"
    )
    # `characters` tells a folder from a file of the same bytes: each file of a folder may drop a mark.
    key = cache.digest(_VERSION, scanned.fingerprint, scanned.characters, spec, arrangement)
    if (kept := tokenfile.open_tokens(folder, key, tokenizer)) is not None:
        return kept
    cache.sweep(folder)
    if tokenizer is None:
        if spec == "char":
            # Where lines are ended by us, a text of one line needs the newline too.
            tokenizer = CharTokenizer(scanned.distinct + ("" if arrangement == "stream" else "\n"))
        else:
            tokenizer = train_bpe(spec, source, progress)
    if arrangement != "stream" and tokenizer.newline_id is None:
        raise UsageError(
            f"data.tokenizer = {spec!r}: a newline is not one token of it, so the text cannot be taken line "
            "by line. Use split tail with layout stream, or tokenizer char, byte or gpt2."
        )
    tokenfile.build(folder, key, source, tokenizer, arrangement, progress)
    built = tokenfile.open_tokens(folder, key, tokenizer)
    if built is None:
        raise DataError(f"{folder}: the tokens that were just written there cannot be read back.")
    return built


def _splits(tokens: tokenfile.Tokens, data: "DataTable", lines: int) -> dict[SplitName, Split]:
    """Where each split begins and ends, in tokens. See the design on splits for the two rules."""
    v, n = data.val_fraction, tokens.store.n
    if data.split == "lines":
        bounds = tokens.line_starts([int(lines * (1 - 2 * v)), int(lines * (1 - v)), lines])
    else:
        bounds = [int(n * (1 - v)), n, n]
    if bounds[0] <= 0:
        held = f"{lines} lines" if data.split == "lines" else f"{n} tokens"
        raise UsageError(
            f"data.val_fraction = {v}: of {held} it leaves none to train on. Lower it, or use a longer text."
        )
    return ranges(tokens.store, bounds)


def ranges(store: TokenStore, bounds: list[int]) -> dict[SplitName, Split]:
    """Consecutive splits that end at `bounds`, the empty ones left out."""
    names: tuple[SplitName, ...] = ("train", "val", "test")
    begins = [0, *bounds]
    return {
        name: Split(store, begin, end - begin)
        for name, begin, end in zip(names, begins, bounds, strict=False)
        if end > begin
    }


def _of_tokens(path: Path, data: "DataTable", merges: int | None, progress: Progress) -> Corpus:
    """A corpus of nanoGPT's .bin files: tokens already, so only a fixed vocabulary and a tail split fit."""
    if data.tokenizer == "char":
        raise UsageError(
            f"{path}: a .bin holds token ids, and which characters they stand for is in its meta.pkl, a "
            "pickle, which is not opened because it could run anything. Point data.dataset at the text file "
            "instead."
        )
    if merges:
        raise UsageError(
            f"{path}: a .bin is tokenised already, so data.tokenizer must be what it was made with (gpt2, or "
            f"another of tiktoken's, or byte), not {data.tokenizer}. To train a BPE, name the text file."
        )
    if data.split != "tail" or data.layout != "stream":
        raise UsageError(
            f"{path}: a .bin is one stream of tokens: it needs split tail and layout stream, not split "
            f"{data.split} and layout {data.layout}. To take lines, name the text file."
        )
    tokenizer = _known_tokenizer(data.tokenizer)
    beside = nanogpt.validation_beside(path) if data.val_fraction else None
    files = [nanogpt.open_bin(file, tokenizer, progress) for file in (path, beside) if file is not None]
    train = files[0]
    if beside is None:
        n = train.store.n
        splits = ranges(train.store, [int(n * (1 - data.val_fraction)), n])
    else:
        splits = ranges(train.store, [train.store.n])
        splits["val"] = Split(files[1].store, 0, files[1].store.n)
    if "train" not in splits:
        raise UsageError(f"data.val_fraction = {data.val_fraction}: it leaves no token to train on.")
    return Corpus(
        name=path.name,
        fingerprint=nanogpt.fingerprint(files),
        tokenizer=tokenizer,
        bytes=sum(file.bytes for file in files),
        characters=None,
        n_lines=None,
        splits=splits,
        notes=() if beside is None else (f"{beside.name} beside it is the validation split",),
    )
