"""`workbench data`: which datasets there are, which are here, and what one holds."""

from dataclasses import asdict
from pathlib import Path

from workbench.data import catalog
from workbench.data.corpus import open_corpus
from workbench.data.fetch import fetch
from workbench.data.floors import exact_floor, floors_of
from workbench.data.visible import visible
from workbench.errors import UsageError
from workbench.headless.lines import Preparing
from workbench.preset import from_document
from workbench.runs import FORMAT
from workbench.runs.files import dump


def tell(name: str | None, *, tokenizer: str, fetch: bool, json: bool) -> int:
    """A table of the named datasets; or, of one of them or of a path, what it holds."""
    if name is None:
        if fetch:
            raise UsageError("--fetch: which dataset? `workbench data` lists them")
        return _list(json)
    return _one(name, tokenizer, fetch, json)


def _list(json: bool) -> int:
    described = catalog.describe()
    if json:
        for dataset in described:
            print(dump({"format": FORMAT, "type": "dataset", **asdict(dataset)}))
        return 0
    for d in described:
        here = "embedded" if d.kind == "embedded" else "here" if d.here else "to be fetched"
        print(f"{d.name:<14} {here:<14} {d.characters:>12,} characters {d.lines:>9,} lines  split {d.split}")
        print(f"{'':14} {d.about}")
    print("\nAny text file, folder of text, or nanoGPT .bin is a dataset too: give its path.")
    return 0


def _one(name: str, tokenizer: str, wanted: bool, json: bool) -> int:
    found = catalog.find(name)
    split = "tail"
    with Preparing(silent=json) as progress:
        if isinstance(found, catalog.Dataset):
            split = found.split
            if wanted and not found.here:
                fetch(found, progress=progress)
        elif wanted:
            raise UsageError(f"{name}: a path has nothing to fetch")
        dataset = name if isinstance(found, catalog.Dataset) else str(Path(name).absolute())
        document = {"data": {"dataset": dataset, "tokenizer": tokenizer, "split": split}}
        corpus = open_corpus(from_document(document, source="--tokenizer").data, progress=progress)
        progress("counting n-grams", None)
        floor = floors_of(corpus)
    sizes = {part: s.n for part, s in corpus.splits.items()}
    exact = exact_floor(corpus)
    nats = {key: getattr(floor, key) for key in ("uniform", "unigram", "bigram", "trigram")}
    if json:
        told = {
            "format": FORMAT, "type": "corpus", "name": corpus.name, "fingerprint": corpus.fingerprint,
            "bytes": corpus.bytes, "characters": corpus.characters, "lines": corpus.n_lines,
            "tokenizer": tokenizer, "vocab": corpus.tokenizer.vocab_size, "tokens": sizes, "floors": nats,
            "entropy_rate": exact,
            "notes": list(corpus.notes),
        }  # fmt: skip
        print(dump(told))
        return 0
    print(f"{visible(corpus.name)}: {corpus.bytes:,} bytes", end="")
    print("" if corpus.characters is None else f", {corpus.characters:,} characters, {corpus.n_lines:,} lines")
    print(f"fingerprint  {corpus.fingerprint}")
    print(f"tokenizer    {tokenizer}, vocabulary {corpus.tokenizer.vocab_size:,}")
    print("tokens       " + ", ".join(f"{n:,} {part}" for part, n in sizes.items()))
    print("n-grams      " + ", ".join(f"{key} {value:.3f}" for key, value in nats.items()) + " nats a token")
    print("             their loss, interpolated, weights fitted on validation: a lower loss beats them all")
    if exact is not None:
        print(f"floor        {exact:.5f} nats a character, the chain's exact entropy rate: nothing beats it")
    for note in corpus.notes:
        print(f"note         {visible(note)}")
    train = corpus.splits["train"]
    print("begins       " + visible(corpus.tokenizer.decode(train.read(0, min(60, train.n))).replace("\n", "↵")))
    return 0
