"""The datasets that are always there."""

import hashlib

import numpy as np
import pytest

from workbench.data import embedded
from workbench.data.corpus import open_corpus

MARKOV_SHA256 = "687c0d8d0883aca95c244c06b8d8abdb8a8e2490093dcb9cf261e1b73fef61e4"


@pytest.mark.parametrize("name", ["python-docs", "unicode-names", "markov"])
def test_the_text_is_the_same_every_time(name):
    assert "".join(embedded.text(name)) == "".join(embedded.text(name))


def test_python_docs_is_the_language_reference(table):
    corpus = open_corpus(table(dataset="python-docs"))
    text = corpus.tokenizer.decode(corpus.splits["train"].read(0, 100_000))
    assert 300_000 < corpus.characters < 1_000_000
    assert '"assert" statement' in text
    assert corpus.splits["train"].n == int(corpus.characters * 0.9)


def test_python_source_is_source_without_tests():
    pieces = list(embedded.text("python-source"))
    assert sum(map(len, pieces)) > 5_000_000
    assert all(piece.endswith("\n") for piece in pieces)
    assert not any("import unittest\nimport test.support" in piece for piece in pieces)
    compile(pieces[0], "first", "exec")


def test_unicode_names_are_short_lower_case_and_unique():
    lines = "".join(embedded.text("unicode-names")).splitlines()
    assert 30_000 < len(lines) < 45_000
    assert len(set(lines)) == len(lines)
    assert max(map(len, lines)) <= embedded.LONGEST_UNICODE_NAME
    assert set("".join(lines)) <= set("abcdefghijklmnopqrstuvwxyz0123456789 -")
    # Code point order: capitals come before small letters, as in ASCII.
    assert lines.index("latin capital letter a") < lines.index("latin small letter a")
    assert not any(line.startswith(("cjk unified", "hangul syllable")) for line in lines)


def test_splitmix64_has_its_published_values():
    # Vigna's splitmix64.c seeded with 1234567, the first five outputs.
    assert embedded.splitmix64(1234567, np.arange(5, dtype=np.uint64)).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_markov_is_the_same_on_every_platform():
    text = "".join(embedded.text("markov"))
    assert len(text) == 1_000_000
    assert set(text) == set(embedded.MARKOV_SYMBOLS)
    assert hashlib.sha256(text.encode()).hexdigest() == MARKOV_SHA256


def test_the_matrix_is_what_the_text_was_walked_with():
    matrix = embedded.markov_matrix()
    assert np.allclose(matrix.sum(axis=1), 1)
    assert (matrix > 0).all()
    ids = np.array([embedded.MARKOV_SYMBOLS.index(c) for c in "".join(embedded.text("markov"))])
    seen = np.bincount(ids[:-1] * 10 + ids[1:], minlength=100).reshape(10, 10)
    expected = seen.sum(axis=1, keepdims=True) * matrix
    # Chi-squared with 90 degrees of freedom: 150 is beyond one in ten thousand.
    assert float(((seen - expected) ** 2 / expected).sum()) < 150


def test_the_entropy_rate_is_exact():
    matrix = embedded.markov_matrix()
    # Independent of the linear solve: the rows of a high power are the stationary distribution.
    stationary = np.linalg.matrix_power(matrix, 512)[0]
    rate = -sum(stationary[i] * matrix[i, j] * np.log(matrix[i, j]) for i in range(10) for j in range(10))
    assert embedded.markov_entropy_rate() == pytest.approx(rate, abs=1e-12)
    assert 1.2 < rate < 2.0


def test_both_parts_of_the_walk_lie_close_to_the_rate():
    # A teacher compares a loss to the rate; the sample itself should not be what is off.
    ids = np.array([embedded.MARKOV_SYMBOLS.index(c) for c in "".join(embedded.text("markov"))])
    surprise = -np.log(embedded.markov_matrix()[ids[:-1], ids[1:]])
    for part in (surprise[:900_000], surprise[900_000:]):
        assert part.mean() == pytest.approx(embedded.markov_entropy_rate(), abs=0.001)
