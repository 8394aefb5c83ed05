"""Text to token ids and back: characters, bytes, tiktoken's encodings, and a BPE trained on the corpus.

A tokenizer knows nothing of files or splits. `to_json` holds all that is needed to make it again, so a
checkpoint carries its own.
"""

import base64
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from workbench.data import vocabularies
from workbench.errors import DataError, UsageError

if TYPE_CHECKING:
    import tiktoken

Ids = NDArray[np.int64]

REPLACEMENT = "\ufffd".encode()


class Tokenizer(ABC):
    """What every tokenizer has. `name` is the preset's data.tokenizer; ids run from 0 to vocab_size − 1."""

    kind: ClassVar[str]
    name: str
    vocab_size: int

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """Ids of a text, (n,) int64. UsageError naming a character that it has no token for."""

    @abstractmethod
    def piece(self, token: int) -> bytes:
        """The bytes that a token stands for; the replacement character's where it stands for none."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Everything `from_json` needs."""

    @property
    @abstractmethod
    def newline_id(self) -> int | None:
        """The token that is a newline and nothing else; None if there is none."""

    def decode(self, ids: Sequence[int] | NDArray[Any]) -> str:
        """The text of token ids; bytes that are no UTF-8 become replacement characters."""
        return b"".join(self.piece(int(token)) for token in ids).decode("utf-8", errors="replace")

    def pieces(self, ids: Sequence[int] | NDArray[Any]) -> list[str]:
        """Each token's own text; bytes that are not whole UTF-8 by themselves as hex: `<e2>`, `<20 e2 80>`."""
        return [_text_or_hex(self.piece(int(token))) for token in ids]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned little-endian type that holds every id."""
        width = 1 if self.vocab_size <= 1 << 8 else 2 if self.vocab_size <= 1 << 16 else 4
        return np.dtype(f"<u{width}")

    @staticmethod
    def from_json(document: dict[str, Any]) -> "Tokenizer":
        """The tokenizer that `to_json` described. DataError if it is not such a description."""
        try:
            kind = document["kind"]
            if kind == "char":
                return CharTokenizer(document["characters"])
            if kind == "byte":
                return ByteTokenizer()
            if kind == "tiktoken":
                return load_tiktoken(document["name"])
            if kind == "bpe":
                ranks = {base64.b64decode(piece): rank for rank, piece in enumerate(document["pieces"])}
                return BpeTokenizer.trained(document["name"], document["pattern"], ranks)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"tokenizer: its description cannot be read ({error!r}).") from None
        raise DataError(f"tokenizer: kind {kind!r} is unknown; expected char, byte, tiktoken or bpe.")


def _text_or_hex(piece: bytes) -> str:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return f"<{piece.hex(' ')}>"


class CharTokenizer(Tokenizer):
    """One token per distinct code point of the corpus, in code point order."""

    kind = "char"
    name = "char"

    def __init__(self, characters: str) -> None:
        self.characters = "".join(sorted(set(characters)))
        self.vocab_size = len(self.characters)
        self._pieces = [character.encode() for character in self.characters]
        codes = np.frombuffer(self.characters.encode("utf-32-le"), dtype="<u4")
        # One entry past the largest code point stands for every foreign one.
        self._ids = np.full(int(codes.max(initial=0)) + 2, -1, dtype=np.int64)
        self._ids[codes] = np.arange(len(codes))

    def encode(self, text: str) -> Ids:
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        ids: Ids = self._ids[np.minimum(codes, len(self._ids) - 1)]
        if ids.size and ids.min() < 0:
            foreign = text[int(np.argmin(ids))]
            raise UsageError(
                f"character {foreign!r} (U+{ord(foreign):04X}) is not in the vocabulary of this corpus: "
                f"char has {self.vocab_size} characters. Leave it out, or use tokenizer byte."
            )
        return ids

    def piece(self, token: int) -> bytes:
        return self._pieces[token] if 0 <= token < self.vocab_size else REPLACEMENT

    @property
    def newline_id(self) -> int | None:
        found = self.characters.find("\n")
        return None if found < 0 else found

    def to_json(self) -> dict[str, Any]:
        return {"format": 1, "kind": self.kind, "characters": self.characters}


class ByteTokenizer(Tokenizer):
    """One token per byte of UTF-8: 256 of them, and no text is foreign."""

    kind = "byte"
    name = "byte"
    vocab_size = 256
    newline_id = 10

    def encode(self, text: str) -> Ids:
        return np.frombuffer(text.encode("utf-8", "replace"), dtype=np.uint8).astype(np.int64)

    def piece(self, token: int) -> bytes:
        return bytes([token]) if 0 <= token < 256 else REPLACEMENT

    def to_json(self) -> dict[str, Any]:
        return {"format": 1, "kind": self.kind}


class BpeTokenizer(Tokenizer):
    """Byte pair encoding, run by tiktoken. What looks like a special token in text is just text."""

    kind = "bpe"

    def __init__(self, name: str, encoding: "tiktoken.Encoding", ranks: dict[bytes, int] | None) -> None:
        self.name = name
        self.vocab_size = encoding.n_vocab
        self._encoding = encoding
        self._ranks = ranks  # None: found again by its name

    @classmethod
    def trained(cls, name: str, pattern: str, ranks: dict[bytes, int]) -> "BpeTokenizer":
        """A tokenizer from merges: `ranks` gives each piece its id, which is also its priority."""
        import tiktoken

        encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
        return cls(name, encoding, ranks)

    def twin(self) -> "BpeTokenizer":
        """The same tokenizer with an encoder of its own, for one thread: threads that share one slow each other down.

        It takes 60 ms and 11 MB for gpt2. Only the first thread to use an encoder has its pattern's scratch
        memory to itself; the others queue for theirs.
        """
        import tiktoken

        # Private attributes, but those that tiktoken's own manual builds an encoding from.
        of = self._encoding
        encoding = tiktoken.Encoding(
            of.name, pat_str=of._pat_str, mergeable_ranks=of._mergeable_ranks, special_tokens=of._special_tokens
        )
        return BpeTokenizer(self.name, encoding, self._ranks)

    def encode(self, text: str) -> Ids:
        return self.encode_u4(text).astype(np.int64)

    def encode_u4(self, text: str) -> NDArray[np.uint32]:
        """As `encode`, but uint32; it lets other threads run. DataError where the pattern gives up."""
        try:
            return self._encoding.encode_to_numpy(text, disallowed_special=())
        except ValueError as error:
            raise DataError(
                f"tokenizer {self.name}: a stretch of the text is beyond its pattern ({error}). A very long "
                "run of spaces does that; shorten it, or use tokenizer byte or char."
            ) from None

    def piece(self, token: int) -> bytes:
        try:
            return self._encoding.decode_single_token_bytes(token)
        except (KeyError, OverflowError):  # encodings have ids that stand for nothing
            return REPLACEMENT

    @property
    def newline_id(self) -> int | None:
        ids = self._encoding.encode_ordinary("\n")
        return ids[0] if len(ids) == 1 else None

    def to_json(self) -> dict[str, Any]:
        if self._ranks is None:
            return {"format": 1, "kind": "tiktoken", "name": self.name}
        pieces = [base64.b64encode(piece).decode() for piece in sorted(self._ranks, key=self._ranks.__getitem__)]
        # The pattern is tiktoken's private attribute, but the one place where the encoding keeps it.
        pattern = self._encoding._pat_str
        return {"format": 1, "kind": self.kind, "name": self.name, "pattern": pattern, "pieces": pieces}


def load_tiktoken(name: str, *, download: bool = True) -> BpeTokenizer:
    """A tokenizer by tiktoken's name for it. UsageError if unknown, DataError if it cannot be had."""
    return BpeTokenizer(name, vocabularies.load(name, download=download), None)


def merges_asked_for(spec: str) -> int | None:
    """N of `bpe:N`, None for any other data.tokenizer. UsageError for one that names nothing."""
    if spec in ("char", "byte") or spec in vocabularies.names():
        return None
    if match := re.fullmatch(r"bpe:(\d{1,5})", spec):
        wanted = int(match[1])
        if 256 <= wanted <= 65_536:
            return wanted
        raise UsageError(f"data.tokenizer = {spec!r}: N is the vocabulary; expected 256 (bytes alone) to 65536.")
    raise UsageError(
        f"data.tokenizer = {spec!r} is unknown; expected char, byte, bpe:N (bpe:1024, say), or one of "
        f"tiktoken's: {', '.join(vocabularies.names())}.{vocabularies.nearest(spec)}"
    )
