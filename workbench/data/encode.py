"""The second pass: a source becomes a stream of token ids, in constant memory.

A BPE sees only a stretch of text at a time, so a big text is cut, and only where that cannot change a
token: patterns match from left to right without looking back, so a cut is safe where a piece must end
and where what follows could not have changed the piece before it.
"""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.data.scan import Progress, decoded, share, stretches
from workbench.data.sources import CHUNK, Chunk, Source
from workbench.data.threads import cores, in_order
from workbench.data.tokenizers import BpeTokenizer, ByteTokenizer, CharTokenizer, Tokenizer
from workbench.errors import DataError

Array = NDArray[Any]
Arrays = Generator[Array, None, None]

_LONGEST_UNCUT = 64 << 20  # characters without a safe place to cut; a pattern would fail or take for ever
_ENCODER_PAYS = 8 << 20  # bytes a thread: its own encoder costs what one to five megabytes do, and saves a quarter


def encoded(source: Source, tokenizer: Tokenizer, *, by_line: bool, progress: Progress) -> Arrays:
    """Token ids of a source, array by array, in `tokenizer.dtype`.

    by_line: every line is encoded by itself and followed by the newline token, the last one too, so that
    no token spans two lines. DataError if the source cannot be read or cut, or changed.
    """
    chunks = _told(source, progress)
    if isinstance(tokenizer, ByteTokenizer):
        arrays: Arrays = (np.frombuffer(chunk.data, dtype=np.uint8) for chunk in chunks)
        return _ended(arrays, 10) if by_line else arrays
    texts = decoded(chunks)
    if isinstance(tokenizer, CharTokenizer):
        arrays = in_order(_of_characters(tokenizer), texts)
        return _ended(arrays, newline_of(tokenizer)) if by_line else arrays
    assert isinstance(tokenizer, BpeTokenizer)
    dtype = tokenizer.dtype
    own = _one_a_thread(tokenizer, source.size)
    if by_line:
        newline = newline_of(tokenizer)
        return in_order(lambda lines: _lines(lines, own(), newline), whole_lines(texts))
    return in_order(lambda text: own().encode_u4(text).astype(dtype), safe_pieces(texts, CHUNK))


def newline_of(tokenizer: Tokenizer) -> int:
    """The newline token. DataError where a tokenizer has none (which `open_corpus` has refused before)."""
    if tokenizer.newline_id is None:
        raise DataError(f"tokenizer {tokenizer.name}: a newline is not one token.")
    return tokenizer.newline_id


def _told(source: Source, progress: Progress) -> Iterator[Chunk]:
    done = 0
    for chunk in source.chunks():
        yield chunk
        done += len(chunk.data)
        progress("tokenising", share(done, source.size))


def _one_a_thread(tokenizer: BpeTokenizer, size: int | None) -> Callable[[], BpeTokenizer]:
    """The tokenizer for the thread that asks: where there is much to do, one that no other thread uses."""
    if size is not None and size < _ENCODER_PAYS * cores():
        return lambda: tokenizer
    held = threading.local()

    def own() -> BpeTokenizer:
        if not hasattr(held, "tokenizer"):
            held.tokenizer = tokenizer.twin()
        found: BpeTokenizer = held.tokenizer
        return found

    return own


def _of_characters(tokenizer: CharTokenizer) -> Callable[[str], Array]:
    dtype = tokenizer.dtype
    # Tokens are in code point order, so those of Latin-1 are bytes, whatever the vocabulary.
    table = bytearray(256)
    for token, character in enumerate(tokenizer.characters[:256]):
        if ord(character) < 256:
            table[ord(character)] = token

    def work(text: str) -> Array:
        return np.concatenate(
            [
                (
                    np.frombuffer(stretch.translate(table), dtype=np.uint8)
                    if isinstance(stretch, bytes)
                    else tokenizer.encode(stretch)
                ).astype(dtype, copy=False)
                for stretch in stretches(text)
            ]
        )

    return work


def _ended(arrays: Iterable[Array], newline: int) -> Arrays:
    """The arrays, and a last newline if they do not end with one."""
    last: Array = np.empty(0, dtype=np.uint8)
    for array in arrays:
        if array.size:
            last = array
        yield array
    if last.size and last[-1] != newline:
        yield np.array([newline], dtype=last.dtype)


def _lines(lines: list[str], tokenizer: BpeTokenizer, newline: int) -> Array:
    parts: list[Array] = []
    end = np.array([newline], dtype=np.uint32)
    for line in lines:
        parts += (tokenizer.encode_u4(line), end)
    return np.concatenate(parts).astype(tokenizer.dtype)


def whole_lines(texts: Iterable[str]) -> Iterator[list[str]]:
    """Lines without their newlines, in lists of about as many characters as a text that came in."""
    rest = ""
    for text in texts:
        if "\n" not in text:
            rest += text
            if len(rest) > _LONGEST_UNCUT:
                raise DataError(
                    f"a line of more than {_LONGEST_UNCUT >> 20} million characters: line by line it cannot "
                    "be tokenised in constant memory. Use layout stream with split tail, or tokenizer byte "
                    "or char."
                )
            continue
        *lines, rest = (rest + text).split("\n")
        yield lines
    if rest:
        yield [rest]


def safe_pieces(texts: Iterable[str], target: int) -> Generator[str, None, None]:
    """The same text in pieces of about `target` characters, cut where no tiktoken pattern can notice.

    DataError where tens of millions of characters have no such place.
    """
    buffer = ""
    searched = 0
    for text in texts:
        buffer += text
        if len(buffer) < target:
            continue
        cut = _last_safe_cut(buffer, searched)
        if cut:
            yield buffer[:cut]
            buffer, searched = buffer[cut:], 0
        else:
            searched = max(len(buffer) - 2, 0)  # a cut needs a look at the characters on both its sides
            if searched > _LONGEST_UNCUT:
                raise DataError(
                    f"{_LONGEST_UNCUT >> 20} million characters without a line end between words or a space "
                    "between letters: a BPE cannot be run on that in constant memory. Use tokenizer byte or "
                    "char."
                )
    if buffer:
        yield buffer


def _last_safe_cut(text: str, low: int) -> int:
    """Where to cut `text`, looking no further back than `low`; 0 where that is nowhere.

    After a newline between a non-space and a word character: the newline ends a piece there (no pattern
    carries one into a word), and being a run of one, it is the same piece at the end of a text. Else
    before a space between two letters: the run of letters ends there whatever follows.
    """
    at = len(text) - 1
    while (at := text.rfind("\n", max(low, 1), at)) > 0:
        if not text[at - 1].isspace() and (text[at + 1].isalnum() or text[at + 1] == "_"):
            return at + 1
    at = len(text) - 1
    while (at := text.rfind(" ", max(low, 1), at)) > 0:
        if text[at - 1].isalpha() and text[at + 1].isalpha():
            return at
    return 0
