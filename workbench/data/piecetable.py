"""The pieces of tiktoken's vocabularies, kept by themselves: a screen that shows tokens need not load the rest.

GPT-2's encoder is 32 MB and a sixth of a second; its pieces, end to end, are a third of a megabyte.
"""

import base64
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.data import cache
from workbench.data.tokenizers import REPLACEMENT, BpeTokenizer, Ids, Tokenizer, load_tiktoken

_LENGTHS = np.dtype("<u2")


class PieceTable(Tokenizer):
    """A vocabulary of tiktoken's for showing tokens; only `encode` loads what encodes."""

    kind = "bpe"

    def __init__(
        self, name: str, newline_id: int | None, pieces: bytes, lengths: NDArray[Any], *, download: bool = False
    ) -> None:
        self.name = name
        self._download = download
        self.vocab_size = len(lengths)
        self._newline_id = newline_id
        self._pieces = pieces
        self._ends = np.cumsum(lengths, dtype=np.int64)
        self._lengths = lengths
        self._encoder: BpeTokenizer | None = None

    def encode(self, text: str) -> Ids:
        if self._encoder is None:
            self._encoder = load_tiktoken(self.name, download=self._download)
        return self._encoder.encode(text)

    def piece(self, token: int) -> bytes:
        if not 0 <= token < self.vocab_size:
            return REPLACEMENT
        end = int(self._ends[token])
        return self._pieces[end - int(self._lengths[token]) : end]

    @property
    def newline_id(self) -> int | None:
        return self._newline_id

    def to_json(self) -> dict[str, Any]:
        return {"format": 1, "kind": "tiktoken", "name": self.name}


def keep(tokenizer: Tokenizer) -> None:
    """Keep the pieces of a tokenizer that `load_tiktoken` made, if they are not kept yet."""
    path = _file(tokenizer.name)
    if path.exists():
        return
    cache.folder("vocabularies")
    pieces = [tokenizer.piece(token) for token in range(tokenizer.vocab_size)]
    lengths = np.array([len(piece) for piece in pieces], dtype=_LENGTHS)
    document = {
        "newline": tokenizer.newline_id,
        "pieces": base64.b64encode(b"".join(pieces)).decode(),
        "lengths": base64.b64encode(lengths.tobytes()).decode(),
    }
    cache.write_json(path, document)


def find(name: str, *, download: bool = False) -> PieceTable | None:
    """The pieces that were kept of a vocabulary; None if there are none that can be used.

    download: whether its encoder, if tiktoken has it no more, may be fetched again.
    """
    document = cache.read_json(_file(name))
    if document is None:
        return None
    try:
        lengths = np.frombuffer(base64.b64decode(document["lengths"]), dtype=_LENGTHS)
        pieces = base64.b64decode(document["pieces"])
        if lengths.sum() != len(pieces):
            return None
        return PieceTable(name, document["newline"], pieces, lengths, download=download)
    except (KeyError, TypeError, ValueError):
        return None


def _file(name: str) -> Path:
    return cache.root() / "vocabularies" / f"{name}.json"
