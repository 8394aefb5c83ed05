"""A corpus: text that has been read, tokenised, cached and split, ready to give rows.

The first start reads the source twice (what it is; its tokens) and keeps the tokens by content, so that
the second start, or the same text under another name, finds them. `open_kept` is for a process that may
neither read a large text nor hold one, the screen's: it opens what is kept, or says that nothing is.
"""

import contextlib
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from workbench.data import cache, catalog, nanogpt, piecetable, tokenfile
from workbench.data.bpe import train_bpe
from workbench.data.network import NotFetched
from workbench.data.scan import Progress, Scan, remembered, scan, silent
from workbench.data.sources import EmbeddedSource, FileSource, Source, TextSource, open_path
from workbench.data.store import IN_MEMORY, Split, TokenStore
from workbench.data.tokenfile import Arrangement
from workbench.data.tokenizers import (
    BpeTokenizer,
    ByteTokenizer,
    CharTokenizer,
    Tokenizer,
    load_tiktoken,
    merges_asked_for,
)
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
    key: str = ""  # equal keys mean equal tokens; empty for a typed sentence, which leaves nothing in the cache

    @property
    def newline(self) -> int | None:
        """The newline token, where a newline is one token."""
        return self.tokenizer.newline_id


def open_corpus(data: "DataTable", *, progress: Progress | None = None, download: bool = True) -> Corpus:
    """The corpus that a preset's [data] describes.

    `progress` hears what takes the time ("fetching", "reading", "training bpe", "tokenising") and the share
    done, if known. UsageError for what the preset got wrong (exit 2): an unknown dataset or tokenizer, a
    missing path, a split that leaves nothing. DataError for data that cannot be had (exit 5); NotFetched, one
    of them, for what `download` does not let be fetched.
    """
    progress = progress or silent
    merges = merges_asked_for(data.tokenizer)
    if not data.text:
        with contextlib.suppress(NotFetched):
            if (corpus := _kept(data, merges, IN_MEMORY, download)) is not None:
                return corpus
    found = None if data.text else catalog.find(data.dataset)
    if isinstance(found, Path) and nanogpt.is_tokens(found):
        paths = _token_files(found, data, merges)
        known = _fixed_tokenizer(data.tokenizer, download)
        _keep_pieces(known)
        return _of_tokens(data, known, paths, [nanogpt.open_bin(path, known, progress) for path in paths])
    # Loaded first: a vocabulary that cannot be had should not cost the reading of a large text.
    tokenizer = None if data.tokenizer == "char" or merges else _fixed_tokenizer(data.tokenizer, download)
    source = TextSource(data.text) if found is None else _source(found, progress, download)
    if found is not None:
        _check_room(source, data)
    scanned = scan(source, raw=data.tokenizer == "byte", progress=progress)
    _check_pinned(found, scanned)
    if found is None:  # a typed sentence: not worth a place in the cache
        with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
            tokens = _tokens(Path(folder), source, scanned, data, tokenizer, progress)
            return replace(_corpus(source, scanned, tokens, data, merges), key="")
    _keep_pieces(tokenizer)
    tokens = _tokens(cache.folder("corpora"), source, scanned, data, tokenizer, progress)
    return _corpus(source, scanned, tokens, data, merges)


def open_kept(data: "DataTable") -> Corpus | None:
    """The corpus, if its tokens are in the cache; None where `open_corpus` would have to read or to fetch.

    Rows stay on disk, and are read from there. A typed sentence is tokenised here and now. It takes
    milliseconds; more for a folder of many files, each of which is looked at, and for a sentence in one of
    tiktoken's vocabularies. UsageError and DataError as from `open_corpus`, for what can be told without reading.
    """
    with contextlib.suppress(NotFetched):
        if data.text:
            return open_corpus(data, download=False)
        return _kept(data, merges_asked_for(data.tokenizer), in_memory=0, download=False)
    return None


def _kept(data: "DataTable", merges: int | None, in_memory: int, download: bool) -> Corpus | None:
    """What is in the cache, opened without a look at the text; `download` is for the vocabulary alone."""
    found = catalog.find(data.dataset)
    if isinstance(found, Path) and nanogpt.is_tokens(found):
        paths = _token_files(found, data, merges)
        known = _shown_tokenizer(data.tokenizer, download)
        files = [file for path in paths if (file := nanogpt.open_kept_bin(path, known, in_memory)) is not None]
        return _of_tokens(data, known, paths, files) if len(files) == len(paths) else None
    source = _source(found, silent, download=False)
    scanned = remembered(source, raw=data.tokenizer == "byte")
    folder = cache.root() / "corpora"
    if scanned is None or not tokenfile.kept(folder, key := _key(scanned, data)):
        return None
    _check_pinned(found, scanned)
    tokenizer = None if data.tokenizer == "char" or merges else _shown_tokenizer(data.tokenizer, download)
    tokens = tokenfile.open_tokens(folder, key, tokenizer, in_memory=in_memory)
    return None if tokens is None else _corpus(source, scanned, tokens, data, merges)


def _corpus(source: Source, scanned: Scan, tokens: tokenfile.Tokens, data: "DataTable", merges: int | None) -> Corpus:
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
        splits=_splits(tokens, data, scanned.lines),
        by_line=_arrangement(data) != "stream",
        notes=tuple(notes),
        key=_key(scanned, data),
    )


def _fixed_tokenizer(spec: str, download: bool) -> Tokenizer:
    """A tokenizer that depends on no text: byte, or one of tiktoken's."""
    return ByteTokenizer() if spec == "byte" else load_tiktoken(spec, download=download)


def _shown_tokenizer(spec: str, download: bool) -> Tokenizer:
    """The same, as small as it can be had: what encodes is loaded, or downloaded, by the first who encodes."""
    if spec != "byte" and (pieces := piecetable.find(spec, download=download)) is not None:
        return pieces
    tokenizer = _fixed_tokenizer(spec, download)
    if download:
        _keep_pieces(tokenizer)
    return tokenizer


def _keep_pieces(tokenizer: Tokenizer | None) -> None:
    if isinstance(tokenizer, BpeTokenizer):
        piecetable.keep(tokenizer)


def _source(found: catalog.Dataset | Path, progress: Progress, download: bool) -> Source:
    if isinstance(found, Path):
        return open_path(found)
    if found.path is None:
        return EmbeddedSource(found.name, found.characters)
    if not found.here:
        if not download:
            raise NotFetched(
                f"{found.name}: it is to be fetched ({found.bytes:,} bytes): run `workbench data {found.name} "
                "--fetch`, or choose a dataset that needs no network."
            )
        # It loads Python's HTTP client, for which the screen's first paint need not wait.
        from workbench.data.fetch import fetch

        fetch(found, progress=progress)
    return FileSource(found.path, found.name)


def _check_pinned(dataset: catalog.Dataset | Path | None, scanned: Scan) -> None:
    if isinstance(dataset, catalog.Dataset) and dataset.sha256 and scanned.fingerprint != dataset.sha256:
        raise DataError(
            f"{dataset.name}: {dataset.path} has SHA-256 {scanned.fingerprint}, expected {dataset.sha256}. "
            f"It has changed since it was fetched: remove it, then run `workbench data {dataset.name} "
            "--fetch`."
        )


def _check_room(source: Source, data: "DataTable") -> None:
    # A byte is a token of one byte; a character takes at most four, and its token at least one.
    share = {"byte": 1, "char": 4}.get(data.tokenizer)
    if share and source.size and remembered(source, raw=data.tokenizer == "byte") is None:
        cache.check_room(str(getattr(source, "path", source.name)), source.size // share)


def _arrangement(data: "DataTable") -> Arrangement:
    return "shuffled lines" if data.split == "lines" else "lines" if data.layout == "windows" else "stream"


def _key(scanned: Scan, data: "DataTable") -> str:
    # `characters` tells a folder from a file of the same bytes: each file of a folder may drop a mark.
    return cache.digest(_VERSION, scanned.fingerprint, scanned.characters, data.tokenizer, _arrangement(data))


def _tokens(
    folder: Path,
    source: Source,
    scanned: Scan,
    data: "DataTable",
    tokenizer: Tokenizer | None,
    progress: Progress,
) -> tokenfile.Tokens:
    """The tokens of a source, kept ones or new ones, arranged as the split and the layout need them."""
    spec, arrangement, key = data.tokenizer, _arrangement(data), _key(scanned, data)
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


def _token_files(path: Path, data: "DataTable", merges: int | None) -> list[Path]:
    """nanoGPT's .bin, and val.bin if it stands beside.

    They are tokens already, so only a fixed vocabulary and a tail split fit: UsageError for any other.
    """
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
    beside = nanogpt.validation_beside(path) if data.val_fraction else None
    return [path] if beside is None else [path, beside]


def _of_tokens(data: "DataTable", tokenizer: Tokenizer, paths: list[Path], files: list[nanogpt.Bin]) -> Corpus:
    train = files[0]
    if len(files) == 1:
        n = train.store.n
        splits = ranges(train.store, [int(n * (1 - data.val_fraction)), n])
    else:
        splits = ranges(train.store, [train.store.n])
        splits["val"] = Split(files[1].store, 0, files[1].store.n)
    if "train" not in splits:
        raise UsageError(f"data.val_fraction = {data.val_fraction}: it leaves no token to train on.")
    fingerprint = nanogpt.fingerprint(files)
    return Corpus(
        name=paths[0].name,
        fingerprint=fingerprint,
        tokenizer=tokenizer,
        bytes=sum(file.bytes for file in files),
        characters=None,
        n_lines=None,
        splits=splits,
        notes=() if len(paths) == 1 else (f"{paths[1].name} beside it is the validation split",),
        key=cache.digest(_VERSION, fingerprint, tokenizer.name),
    )
