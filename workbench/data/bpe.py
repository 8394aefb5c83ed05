"""A BPE of its own for a corpus: merges learnt by rustbpe, run by tiktoken."""

import contextlib
from collections.abc import Iterator

from workbench.data.encode import safe_pieces
from workbench.data.scan import Progress, decoded
from workbench.data.sources import CHUNK, Source
from workbench.data.tokenizers import BpeTokenizer, merges_asked_for
from workbench.errors import DataError

# Merges hardly change past this, and what a trainer keeps grows with the number of different words.
LONGEST_TRAINING = 256 << 20  # characters, from the start of the corpus

_PIECES_AT_ONCE = 8  # that the trainer holds, of about a million characters each


def train_bpe(spec: str, source: Source, progress: Progress) -> BpeTokenizer:
    """The tokenizer `bpe:N` of a source: the same text always gives the same one.

    Learnt from the first 256 Mi characters. A text with fewer pairs than asked for gives a smaller
    vocabulary. DataError if the source cannot be read, or its words cannot be told apart.
    """
    import rustbpe

    wanted = merges_asked_for(spec)
    assert wanted is not None
    failed: list[BaseException] = []

    def pieces() -> Iterator[str]:
        done = 0
        limit = min(source.size or LONGEST_TRAINING, LONGEST_TRAINING)
        try:
            with contextlib.closing(safe_pieces(decoded(source.chunks()), CHUNK)) as cut:
                for piece in cut:
                    yield piece
                    done += len(piece)
                    progress("training bpe", min(done / limit, 1.0))
                    if done >= LONGEST_TRAINING:
                        return
        except DataError as error:
            failed.append(error)
            raise

    trainer = rustbpe.Tokenizer()
    progress("training bpe", None)
    try:
        trainer.train_from_iterator(pieces(), vocab_size=wanted, buffer_size=_PIECES_AT_ONCE)
    except Exception as error:  # noqa: BLE001 (it has no exceptions of its own)
        if failed:
            raise failed[0] from None
        raise DataError(f"{source.name}: no BPE can be learnt from it ({error}). Use tokenizer byte or char.") from None
    ranks = {bytes(piece): rank for piece, rank in trainer.get_mergeable_ranks()}
    return BpeTokenizer.trained(spec, trainer.get_pattern(), ranks)
