"""nanoGPT's .bin files: token ids, uint16 little-endian, nothing else. They are read where they lie."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from workbench.data import cache
from workbench.data.scan import Progress, share
from workbench.data.sources import FileSource
from workbench.data.store import IN_MEMORY, TokenStore
from workbench.data.tokenizers import Tokenizer
from workbench.errors import DataError

DTYPE = np.dtype("<u2")


@dataclass(frozen=True)
class _Found:
    fingerprint: str
    bytes: int
    largest: int


@dataclass(frozen=True)
class Bin:
    """One such file, checked against a vocabulary."""

    store: TokenStore
    fingerprint: str
    bytes: int


def is_tokens(path: Path) -> bool:
    """Whether a path is a file of tokens rather than of text."""
    return path.suffix == ".bin" and path.is_file()


def validation_beside(path: Path) -> Path | None:
    """val.bin beside train.bin, if that is how the two are named."""
    beside = path.with_name("val.bin")
    return beside if path.name == "train.bin" and is_tokens(beside) else None


def open_bin(path: Path, tokenizer: Tokenizer, progress: Progress) -> Bin:
    """The tokens of a .bin. DataError if it is empty, cut within a token, or not of this vocabulary."""
    source = FileSource(path)
    found = _remembered(source)
    if found is None:
        found = _look_through(path, source, progress)
        cache.folder("memo")
        cache.write_json(_memo(source), {"identity": source.identity(), "bin": asdict(found)})
    return _checked(path, tokenizer, found, IN_MEMORY)


def open_kept_bin(path: Path, tokenizer: Tokenizer, in_memory: int) -> Bin | None:
    """The same; None for a file that has not been looked through yet, or has changed since."""
    found = _remembered(FileSource(path))
    return None if found is None else _checked(path, tokenizer, found, in_memory)


def _remembered(source: FileSource) -> _Found | None:
    known = cache.read_json(_memo(source))
    if not known or known.get("identity") != source.identity():
        return None
    try:
        return cache.typed(_Found, known.get("bin"))
    except ValueError:  # damaged, or another's: the file is looked through again
        return None


def _memo(source: FileSource) -> Path:
    return cache.root() / "memo" / f"{cache.digest(source.identity(), 'bin')}.json"


def _checked(path: Path, tokenizer: Tokenizer, found: _Found, in_memory: int) -> Bin:
    if found.largest >= tokenizer.vocab_size:
        raise DataError(
            f"{path}: holds token {found.largest}, but {tokenizer.name} has ids up to "
            f"{tokenizer.vocab_size - 1}. Name the tokenizer that the file was made with."
        )
    store = TokenStore(path, DTYPE, found.bytes // DTYPE.itemsize, tokenizer.vocab_size, in_memory=in_memory)
    return Bin(store, found.fingerprint, found.bytes)


def _look_through(path: Path, source: FileSource, progress: Progress) -> _Found:
    sha = hashlib.sha256()
    size = largest = 0
    rest = b""
    for chunk in source.chunks():
        sha.update(chunk.data)
        size += len(chunk.data)
        data = rest + chunk.data
        whole = len(data) - len(data) % DTYPE.itemsize
        rest = data[whole:]
        largest = max(largest, int(np.frombuffer(data[:whole], dtype=DTYPE).max(initial=0)))
        progress("reading", share(size, source.size))
    if not size:
        raise DataError(f"{path}: is empty. A corpus needs tokens to learn from.")
    if rest:
        raise DataError(
            f"{path}: has {size} bytes, which is no whole number of two-byte tokens: it is cut short, or is "
            "not a nanoGPT .bin. A text file needs another suffix."
        )
    return _Found(sha.hexdigest(), size, largest)


def fingerprint(files: Sequence[Bin]) -> str:
    """Of one file its SHA-256; of two the SHA-256 of both of theirs."""
    if len(files) == 1:
        return files[0].fingerprint
    return hashlib.sha256("".join(file.fingerprint for file in files).encode()).hexdigest()
