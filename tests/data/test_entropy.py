"""The floors that charts draw: against figures worked out by hand or known from elsewhere."""

import math

import pytest

from workbench.data import entropy
from workbench.data.corpus import open_corpus
from workbench.data.embedded import markov_entropy_rate
from workbench.data.entropy import floors


def test_tiny_shakespeare(table, test_data):
    found = floors(open_corpus(table(dataset=test_data / "shakespeare.txt")))
    assert found.uniform == pytest.approx(math.log(65))
    assert found.unigram == pytest.approx(3.347, abs=0.002)
    assert found.bigram == pytest.approx(2.484, abs=0.002)
    assert found.trigram == pytest.approx(2.04, abs=0.01)
    assert (found.counted, found.scored) == (1_003_854, 111_540)


def test_a_markov_chain_has_nothing_past_the_bigram(table):
    found = floors(open_corpus(table(dataset="markov")))
    assert found.bigram == pytest.approx(markov_entropy_rate(), abs=0.003)
    assert found.trigram == pytest.approx(found.bigram, abs=0.002)
    assert found.unigram > found.bigram + 0.5


def test_known_by_hand(table):
    # Without validation, training scores itself: what is left is the entropy of its own counts.
    found = floors(open_corpus(table(text="ab" * 500 + "a", val_fraction=0)))
    assert found.uniform == pytest.approx(math.log(2))
    assert found.unigram == pytest.approx(math.log(2), abs=1e-3)
    assert found.bigram == pytest.approx(0, abs=1e-3)
    assert found.trigram == pytest.approx(0, abs=1e-3)


def test_what_training_never_saw_costs_and_is_finite(table):
    found = floors(open_corpus(table(text="aaaa bbbb aaaa bbbb xyz!?", val_fraction=0.2)))
    for value in (found.unigram, found.bigram, found.trigram):
        assert math.isfinite(value)
        assert value <= found.uniform + 1e-9


def test_orders_never_get_worse(table, test_data):
    found = floors(open_corpus(table(dataset=test_data / "names.txt", split="lines", layout="windows")))
    assert found.uniform > found.unigram > found.bigram > found.trigram > 2


def test_the_line_before_tells_nothing(table):
    # Every line is one letter: by line, what follows a newline is even odds whatever stood before it.
    text = "a\nb\n" * 500
    by_line = floors(open_corpus(table(text=text, layout="windows", val_fraction=0)))
    stream = floors(open_corpus(table(text=text, val_fraction=0)))
    assert by_line.trigram == pytest.approx(math.log(2) / 2, abs=0.01)
    assert stream.trigram == pytest.approx(0, abs=0.01)


def test_sorted_counts_and_tables_agree(table, test_data, monkeypatch):
    corpus = open_corpus(table(dataset=test_data / "names.txt"))
    tables = floors(corpus)
    monkeypatch.setattr(entropy, "_DENSE", 0)
    assert floors(corpus) == tables


def test_large_corpora_are_counted_in_part(table, test_data, monkeypatch):
    corpus = open_corpus(table(dataset=test_data / "shakespeare.txt"))
    monkeypatch.setattr(entropy, "TRAIN_TOKENS", 50_000)
    monkeypatch.setattr(entropy, "SCORED_TOKENS", 5_000)
    found = floors(corpus)
    assert (found.counted, found.scored) == (50_000, 5_000)


def test_too_short_for_a_trigram(table):
    found = floors(open_corpus(table(text="ab", val_fraction=0)))
    assert found.trigram == found.uniform == pytest.approx(math.log(2))
