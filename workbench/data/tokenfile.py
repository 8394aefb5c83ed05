"""The cached tokens of one text: how they are written, and how they are found again.

Three files by key under <cache>/corpora: `.tokens`, the ids; `.lines`, for shuffled lines, where each line
begins and where the last ends (uint64 little-endian); `.json`, written last, which makes the others count.
"""

import contextlib
import os
import random
import tempfile
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from workbench.data import cache
from workbench.data.encode import encoded, newline_of
from workbench.data.scan import Progress
from workbench.data.sources import Source
from workbench.data.store import IN_MEMORY, TokenStore
from workbench.data.threads import Consumer
from workbench.data.tokenizers import Tokenizer
from workbench.errors import DataError

# stream: the text as it stands. lines: line by line, each with its newline. shuffled lines: those, in
# the order of random.Random(42).shuffle, so that any split of lines is one range of tokens.
Arrangement = Literal["stream", "lines", "shuffled lines"]

_SHUFFLE_SEED = 42  # makemore's
_BLOCK = 4 << 20  # bytes gathered before each write


@dataclass(frozen=True)
class Tokens:
    """A text's tokens and the tokenizer that made them."""

    store: TokenStore
    tokenizer: Tokenizer
    _lines: Path

    def line_starts(self, lines: list[int]) -> list[int]:
        """The token at which each of these lines begins; line n, one past the last, is the end."""
        try:
            with self._lines.open("rb") as file:
                return [int.from_bytes(os.pread(file.fileno(), 8, 8 * line), "little") for line in lines]
        except OSError as error:
            raise DataError(f"{self._lines}: cannot be read ({error.strerror}).") from None


@dataclass(frozen=True)
class _About:
    """What the `.json` says of the other two; both line figures are 0 where there is no `.lines`."""

    n: int
    dtype: str
    checksum: int
    line_bytes: int
    line_checksum: int


def kept(folder: Path, key: str) -> bool:
    """Whether there are tokens under a key; whether they are whole is for `open_tokens` to say."""
    return (folder / f"{key}.json").is_file()


def open_tokens(folder: Path, key: str, tokenizer: Tokenizer | None, *, in_memory: int = IN_MEMORY) -> Tokens | None:
    """The tokens kept under a key; None if there are none, or they are damaged and must be made anew.

    More than `in_memory` bytes of them stay on disk, where only a wrong length counts as damage.
    """
    found = cache.read_json(folder / f"{key}.json")
    if found is None:
        return None
    lines = folder / f"{key}.lines"
    try:
        about = cache.typed(_About, found.get("about"))
        if about.line_bytes and _line_sum(lines, about.line_bytes) != about.line_checksum:
            return None
        if tokenizer is None:
            tokenizer = Tokenizer.from_json(found["tokenizer"])
        if about.dtype != tokenizer.dtype.str:
            return None
        store = TokenStore(
            folder / f"{key}.tokens",
            tokenizer.dtype,
            about.n,
            tokenizer.vocab_size,
            checksum=about.checksum,
            in_memory=in_memory,
        )
    except (DataError, KeyError, ValueError, OSError):
        return None
    return Tokens(store, tokenizer, lines)


def _line_sum(lines: Path, size: int) -> int:
    """The CRC-32 of where lines begin. ValueError if the file has another size."""
    checksum = done = 0
    with lines.open("rb") as file:
        if os.fstat(file.fileno()).st_size != size:
            raise ValueError("cut short")
        while done < size and (data := file.read(_BLOCK)):
            checksum, done = zlib.crc32(data, checksum), done + len(data)
    return checksum


def build(
    folder: Path, key: str, source: Source, tokenizer: Tokenizer, arrangement: Arrangement, progress: Progress
) -> None:
    """Tokenise a source into the three files of a key. DataError if it or the cache fails."""
    arrays = encoded(source, tokenizer, by_line=arrangement != "stream", progress=progress)
    line_bytes = 0
    with cache.written_aside(folder / f"{key}.tokens") as file:
        # Closing the generator ends its threads before an error leaves the block.
        with contextlib.closing(arrays):
            if arrangement == "shuffled lines":
                with cache.written_aside(folder / f"{key}.lines") as lines:
                    checksum = _write_shuffled(file, lines, arrays, tokenizer, folder)
                    line_bytes = lines.tell()
            else:
                checksum = _write(file, arrays)
        n = file.tell() // tokenizer.dtype.itemsize
    line_checksum = _line_sum(folder / f"{key}.lines", line_bytes) if line_bytes else 0
    about = _About(n, tokenizer.dtype.str, checksum, line_bytes, line_checksum)
    cache.write_json(folder / f"{key}.json", {"about": asdict(about), "tokenizer": tokenizer.to_json()})


def _write(file: IO[bytes], arrays: Iterable[NDArray[Any]]) -> int:
    checksum = 0

    def append(tokens: NDArray[Any]) -> None:
        nonlocal checksum
        data = tokens.data.cast("B")
        checksum = zlib.crc32(data, checksum)
        file.write(data)

    with Consumer(append) as writing:
        for tokens in arrays:
            if tokens.size:  # an empty view cannot be cast
                writing.put(tokens)
    return checksum


def _write_shuffled(
    file: IO[bytes], starts: IO[bytes], arrays: Iterable[NDArray[Any]], tokenizer: Tokenizer, folder: Path
) -> int:
    """Lines in shuffled order into `file`, where each then begins into `starts`; the checksum of `file`.

    In memory: where each line begins and the order of lines, at most sixteen bytes a line; never the tokens.
    """
    newline, width = newline_of(tokenizer), tokenizer.dtype.itemsize
    begins = array("Q", [0])
    with tempfile.TemporaryFile(dir=folder) as ordered:
        n = 0
        for tokens in arrays:
            begins.frombytes((np.flatnonzero(tokens == newline) + (n + 1)).astype("u8").tobytes())
            n += len(tokens)
            ordered.write(tokens.tobytes())
        ordered.flush()
        count = len(begins) - 1
        lines = array("I" if count < 1 << 32 else "Q", range(count))
        random.Random(_SHUFFLE_SEED).shuffle(lines)

        def taken() -> Iterator[bytes]:
            at = 0
            for line in lines:
                starts.write(at.to_bytes(8, "little"))
                begin, end = begins[line], begins[line + 1]
                yield os.pread(ordered.fileno(), (end - begin) * width, begin * width)
                at += end - begin
            starts.write(at.to_bytes(8, "little"))

        return _write(file, _blocks(taken()))


def _blocks(pieces: Iterable[bytes]) -> Iterator[NDArray[Any]]:
    block = bytearray()
    for piece in pieces:
        block += piece
        if len(block) >= _BLOCK:
            yield np.frombuffer(bytes(block), dtype=np.uint8)
            block.clear()
    yield np.frombuffer(bytes(block), dtype=np.uint8)
