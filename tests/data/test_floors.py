"""Floors that are kept: found again for the same tokens and splits, and for no others."""

import hashlib

import numpy as np
import pytest

from workbench.data import embedded, entropy
from workbench.data.corpus import open_corpus, open_kept
from workbench.data.floors import exact_floor, floors_of, keep_floors, kept_floors
from workbench.data.nanogpt import DTYPE

TEXT = "one two three\nfour five six\nseven\n" * 40


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


def test_counted_once(table, cache, text, monkeypatch):
    data = table(dataset=text)
    corpus = open_corpus(data)
    assert kept_floors(corpus) is None
    counted = floors_of(corpus)
    monkeypatch.setattr(entropy, "floors", lambda _: pytest.fail("they were counted again"))
    assert floors_of(corpus) == kept_floors(corpus) == kept_floors(open_kept(data)) == counted


@pytest.mark.parametrize(
    "keys",
    [
        {"tokenizer": "byte"},
        {"tokenizer": "bpe:260"},
        {"val_fraction": 0.2},
        {"val_fraction": 0},
        {"layout": "windows"},
        {"split": "lines"},
    ],
)
def test_other_tokens_or_splits_have_others(table, cache, text, keys):
    floors_of(open_corpus(table(dataset=text)))
    assert kept_floors(open_corpus(table(dataset=text, **keys))) is None


def test_another_text_has_others(table, cache, text):
    floors_of(open_corpus(table(dataset=text)))
    text.write_text(TEXT[::-1])
    assert kept_floors(open_corpus(table(dataset=text))) is None


def test_a_bin_s_are_kept_too(table, cache, tmp_path):
    np.tile(np.arange(50, dtype=DTYPE), 20).tofile(tmp_path / "x.bin")
    corpus = open_corpus(table(dataset=tmp_path / "x.bin", tokenizer="byte"))
    assert kept_floors(corpus) is None
    counted = floors_of(corpus)
    assert kept_floors(corpus) == counted


def test_a_sentence_leaves_nothing_in_the_cache(table, cache):
    corpus = open_corpus(table(text=TEXT))
    keep_floors(corpus, floors_of(corpus))
    assert kept_floors(corpus) is None
    assert not cache.exists()


@pytest.mark.parametrize("content", ["", "{}", '{"format": 1}', '{"format": 1, "floors": {"unigram": 1}}'])
def test_a_damaged_file_is_counted_again(table, cache, text, content):
    corpus = open_corpus(table(dataset=text))
    counted = floors_of(corpus)
    (kept,) = (cache / "floors").iterdir()
    kept.write_text(content)
    assert kept_floors(corpus) is None
    assert floors_of(corpus) == counted == kept_floors(corpus)


def test_the_chain_s_floor_is_exact_by_character_only(table, tmp_path):
    assert hashlib.sha256("".join(embedded.text("markov")).encode()).hexdigest() == embedded.MARKOV_SHA256
    for tokenizer in ("char", "byte"):
        assert exact_floor(open_corpus(table(dataset="markov", tokenizer=tokenizer))) == embedded.markov_entropy_rate()
    assert exact_floor(open_corpus(table(dataset="markov", tokenizer="bpe:260"))) is None
    (tmp_path / "markov").write_text(TEXT)
    assert exact_floor(open_corpus(table(dataset=tmp_path / "markov"))) is None, "a file of that name is another text"
