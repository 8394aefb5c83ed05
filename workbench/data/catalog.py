"""The datasets that have a name, and what a dataset in a preset leads to.

`data.dataset` is a name of this catalog, else a path. Embedded datasets are always there; fetched ones
are downloaded once and checked against their SHA-256.
"""

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workbench.data import cache
from workbench.errors import UsageError


@dataclass(frozen=True)
class Dataset:
    """A dataset with a name. `characters` and `lines` are what it has, or about what, for embedded ones."""

    name: str
    kind: Literal["embedded", "fetched"]
    about: str
    characters: int
    lines: int
    split: Literal["tail", "lines"]  # how it is meant to be split
    file: str = ""  # under <cache>/downloads
    url: str = ""
    sha256: str = ""
    bytes: int = 0

    @property
    def path(self) -> Path | None:
        """Where the download lies or will lie; None for what is embedded."""
        return cache.root() / "downloads" / self.file if self.file else None

    @property
    def here(self) -> bool:
        """Whether it can be used without a network."""
        return self.path is None or self.path.is_file()


_RAW = "https://raw.githubusercontent.com/karpathy"

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "python-docs",
            "embedded",
            "the language reference inside every CPython; size and text vary by release",
            characters=465_000,
            lines=11_400,
            split="tail",
        ),
        Dataset(
            "python-source",
            "embedded",
            "the standard library's own source, tests left out; varies by release",
            characters=12_000_000,
            lines=327_000,
            split="tail",
        ),
        Dataset(
            "unicode-names",
            "embedded",
            "names of characters, one a line, in lower case: a list to learn names from",
            characters=857_000,
            lines=32_500,
            split="lines",
        ),
        Dataset(
            "markov",
            "embedded",
            "a random walk over ten symbols whose entropy rate is known exactly: a true floor for the loss",
            characters=1_000_000,
            lines=6_866,
            split="tail",
        ),
        Dataset(
            "shakespeare",
            "fetched",
            "tiny-shakespeare: 40,000 lines of the plays, 65 distinct characters",
            characters=1_115_394,
            lines=40_000,
            split="tail",
            file="shakespeare.txt",
            url=f"{_RAW}/char-rnn/master/data/tinyshakespeare/input.txt",
            sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            bytes=1_115_394,
        ),
        Dataset(
            "names",
            "fetched",
            "makemore's first names, one a line, 26 letters",
            characters=228_145,
            lines=32_033,
            split="lines",
            file="names.txt",
            url=f"{_RAW}/makemore/master/names.txt",
            sha256="0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
            bytes=228_145,
        ),
    )
}


@dataclass(frozen=True)
class Described:
    """One row of `workbench data`."""

    name: str
    kind: str
    here: bool
    characters: int
    lines: int
    split: str
    about: str
    path: str  # empty for what is embedded
    url: str
    sha256: str


def describe(name: str | None = None) -> list[Described]:
    """What each dataset holds and whether it is here; one of them if it is named (UsageError if unknown)."""
    chosen = DATASETS.values() if name is None else [named(name)]
    return [
        Described(
            name=dataset.name,
            kind=dataset.kind,
            here=dataset.here,
            characters=dataset.characters,
            lines=dataset.lines,
            split=dataset.split,
            about=dataset.about,
            path=str(dataset.path or ""),
            url=dataset.url,
            sha256=dataset.sha256,
        )
        for dataset in chosen
    ]


def named(name: str) -> Dataset:
    """The dataset of that name. UsageError naming the nearest if there is none."""
    if name in DATASETS:
        return DATASETS[name]
    raise UsageError(f"dataset {name!r}: there is none of that name. {_advice(name)}")


def find(dataset: str) -> Dataset | Path:
    """The dataset, or else the existing path, that data.dataset names. UsageError if it names neither."""
    if dataset in DATASETS:
        return DATASETS[dataset]
    if not dataset:
        raise UsageError(f"data.dataset is empty. {_advice('')}")
    if "\0" in dataset:
        raise UsageError(f"data.dataset = {dataset!r}: a path cannot hold a NUL character. {_advice('')}")
    path = Path(os.path.expanduser(dataset))
    if os.path.lexists(path):
        if not os.path.exists(path):
            raise UsageError(f"{dataset}: a symbolic link that leads nowhere. Mend it, or name another file.")
        return path
    what = "is neither a dataset nor a path that exists" if path.name == dataset else "does not exist"
    raise UsageError(f"data.dataset = {dataset!r}: {what}. {_advice(path.stem)}")


def _advice(name: str) -> str:
    near = difflib.get_close_matches(name, DATASETS, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    return f"{hint}Datasets: {', '.join(DATASETS)}; or a path to a file or a folder of text."
