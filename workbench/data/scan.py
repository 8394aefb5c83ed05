"""The first pass over a source: what it is (its SHA-256), whether it is text, and what it is made of."""

import codecs
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from workbench.data import cache
from workbench.data.sources import Chunk, Source
from workbench.data.threads import Consumer
from workbench.errors import DataError

# What takes the time, in a word or two, and the share of it that is done, where that is known.
Progress = Callable[[str, float | None], None]

_STRETCH = 1 << 14  # characters: few enough that one odd character makes only them slow
_BOM = codecs.BOM_UTF8
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def silent(what: str, share: float | None) -> None:
    """The progress of a caller that wants none."""


@dataclass(frozen=True)
class Scan:
    """What one reading found. `distinct` has every code point once, in order; empty for raw bytes."""

    fingerprint: str  # SHA-256 of the raw bytes, hex
    bytes: int
    characters: int
    lines: int
    distinct: str
    skipped: int


def share(done: int, size: int | None) -> float | None:
    """The part that is done, where the whole is known."""
    return min(done / size, 1.0) if size else None


def decoded(chunks: Iterator[Chunk]) -> Iterator[str]:
    """The text of chunks of UTF-8, piece by piece; a byte order mark at a file's start is dropped.

    DataError naming the file and the byte offset at which it stops being text.
    """
    pending = b""
    origin, begin = "", 0
    for chunk in chunks:
        if chunk.origin != origin:
            _decode(pending, origin, begin, final=True)
            pending, origin = b"", chunk.origin
        data = pending + chunk.data
        begin = chunk.offset - len(pending)
        if begin == 0:
            if data.startswith(_UTF16):
                raise DataError(f"{origin}: is UTF-16, not UTF-8. Convert it: iconv -f UTF-16 -t UTF-8.")
            if len(data) < len(_BOM) and _BOM.startswith(data):
                pending = data
                continue
            if data.startswith(_BOM):
                data, begin = data[len(_BOM) :], len(_BOM)
        if (at := data.find(b"\0")) >= 0:
            raise DataError(
                f"{origin}: byte {begin + at} is NUL, so this is a binary file and not text. "
                "Name a text file; or read it byte by byte with tokenizer byte."
            )
        text, used = _decode(data, origin, begin, final=False)
        pending, begin = data[used:], begin + used
        yield text
    _decode(pending, origin, begin, final=True)


def _decode(data: bytes, origin: str, begin: int, final: bool) -> tuple[str, int]:
    try:
        return codecs.utf_8_decode(data, "strict", final)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{origin}: not UTF-8: byte {begin + error.start} ({data[error.start]:#04x}) cannot be decoded "
            f"({error.reason}). Convert the file to UTF-8 (iconv -f LATIN1 -t UTF-8, say), or use tokenizer "
            "byte."
        ) from None


def stretches(text: str) -> Iterator[bytes | str]:
    """A text in stretches, in order: as Latin-1 where it fits, which is quicker to work on, else as it is."""
    if (whole := _latin(text)) is not None:
        yield whole
        return
    for at in range(0, len(text), _STRETCH):
        part = text[at : at + _STRETCH]
        latin = _latin(part)
        yield part if latin is None else latin


def _latin(text: str) -> bytes | None:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return None


class _Distinct:
    """Collects distinct code points; Latin-1 costs one pass of bytes.translate."""

    def __init__(self) -> None:
        self._latin = b""
        self._table = np.zeros(0x110000, dtype=np.bool_)

    def add(self, text: str) -> None:
        for stretch in stretches(text):
            if isinstance(stretch, bytes):
                self._latin += bytes(set(stretch.translate(None, self._latin)))
            else:
                self._table[np.frombuffer(stretch.encode("utf-32-le"), dtype="<u4")] = True

    def characters(self) -> str:
        self._table[np.frombuffer(self._latin, dtype=np.uint8)] = True
        return "".join(map(chr, np.flatnonzero(self._table).tolist()))


def scan(source: Source, *, raw: bool, progress: Progress) -> Scan:
    """Read a source once, or remember what reading it found. `raw` takes any bytes, else it must be text.

    DataError if it is empty, no text, unreadable, or changes meanwhile.
    """
    if (known := remembered(source, raw=raw)) is not None:
        return known
    found = _scan(source, raw, progress)
    if (identity := source.identity()) is not None:
        cache.folder("memo")
        cache.write_json(_memo(identity, raw), {"identity": identity, "scan": asdict(found)})
    return found


def remembered(source: Source, *, raw: bool) -> Scan | None:
    """What an earlier reading found, if the source has not changed since; nothing is read or written."""
    identity = source.identity()
    if identity is None:
        return None
    known = cache.read_json(_memo(identity, raw))
    if not known or known.get("identity") != identity:
        return None
    try:
        return cache.typed(Scan, known.get("scan"))
    except ValueError:  # damaged, or another's: the source is read again
        return None


def _memo(identity: str, raw: bool) -> Path:
    return cache.root() / "memo" / f"{cache.digest(identity, raw)}.json"


def _scan(source: Source, raw: bool, progress: Progress) -> Scan:
    sha = hashlib.sha256()
    size = newlines = characters = 0
    ends_with_newline = True
    distinct = _Distinct()

    with Consumer(sha.update) as hashing:

        def watched() -> Iterator[Chunk]:
            nonlocal size, newlines, ends_with_newline
            for chunk in source.chunks():
                hashing.put(chunk.data)
                size += len(chunk.data)
                newlines += int(np.count_nonzero(np.frombuffer(chunk.data, dtype=np.uint8) == ord("\n")))
                ends_with_newline = chunk.data.endswith(b"\n")
                yield chunk
                progress("reading", share(size, source.size))

        if raw:
            for chunk in watched():
                # Every byte but UTF-8's continuation bytes, 0x80 to 0xBF, begins a character.
                characters += int(np.count_nonzero(np.frombuffer(chunk.data, dtype=np.int8) >= -64))
        else:
            for text in decoded(watched()):
                characters += len(text)
                distinct.add(text)
    if not (size if raw else characters):
        raise DataError(f"{source.name}: is empty. A corpus needs text to learn from.")
    return Scan(
        fingerprint=sha.hexdigest(),
        bytes=size,
        characters=characters,
        lines=newlines + (not ends_with_newline),
        distinct=distinct.characters(),
        skipped=source.skipped,
    )
