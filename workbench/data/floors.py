"""The floors of a corpus, counted once and kept: seconds of counting are not for every start."""

from dataclasses import asdict, fields
from pathlib import Path

from workbench.data import cache, entropy
from workbench.data.corpus import Corpus
from workbench.data.embedded import MARKOV_SHA256, markov_entropy_rate
from workbench.data.entropy import Floors

_VERSION = 1  # of the estimator: raised when the same tokens would give other floors


def kept_floors(corpus: Corpus) -> Floors | None:
    """The floors that were kept for a corpus with these tokens and splits; None if there are none."""
    if not corpus.key:
        return None
    known = cache.read_json(_file(corpus))
    return None if known is None else from_json(known.get("floors"))


def keep_floors(corpus: Corpus, floors: Floors) -> None:
    """Keep floors for the next start; those of a typed sentence are not. DataError if the cache fails."""
    if corpus.key:
        cache.folder("floors")
        cache.write_json(_file(corpus), {"floors": asdict(floors)})


def floors_of(corpus: Corpus) -> Floors:
    """The kept floors of a corpus, or else counted now and kept."""
    floors = kept_floors(corpus)
    if floors is None:
        floors = entropy.floors(corpus)
        keep_floors(corpus, floors)
    return floors


def exact_floor(corpus: Corpus) -> float | None:
    """The entropy rate in nats per token, where it is known: of dataset markov, taken character by character."""
    by_character = corpus.tokenizer.name in ("char", "byte")  # its text is ASCII
    return markov_entropy_rate() if by_character and corpus.fingerprint == MARKOV_SHA256 else None


def from_json(document: object) -> Floors | None:
    """Floors from what `dataclasses.asdict` made of them; None for anything else."""
    names = {field.name for field in fields(Floors)}
    return Floors(**document) if isinstance(document, dict) and set(document) == names else None


def _file(corpus: Corpus) -> Path:
    # Splits begin where the one before ends, so their sizes say all of them; val_fraction is in the sizes.
    sizes = sorted((name, split.n) for name, split in corpus.splits.items())
    counted = (entropy.TRAIN_TOKENS, entropy.SCORED_TOKENS)
    key = cache.digest(_VERSION, corpus.key, corpus.tokenizer.vocab_size, corpus.by_line, sizes, counted)
    return cache.root() / "floors" / f"{key}.json"
