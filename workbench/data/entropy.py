"""Floors for the loss: what a model that only counts would score on the same validation text.

The estimator is Jelinek-Mercer interpolation: the probability of a token is a weighted mean of the
maximum-likelihood estimates of orders 0 (uniform) to n, counted on the training split. The weights are
fitted by EM on the very tokens that are scored, which favours the n-gram: a model under this floor beats
the n-gram at its best.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from workbench.data.corpus import Corpus

TRAIN_TOKENS = 20_000_000  # counted at most; sorting these takes seconds and half a gigabyte
SCORED_TOKENS = 1_000_000  # scored at most; the error of the mean is then a few thousandths of a nat

_DENSE = 1 << 24  # cells up to which counts are a table and not a sorted list
_ROUNDS = 200
_ENOUGH = 1e-7  # nats; EM has converged when a round gains less

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Floors:
    """Mean loss in nats per token of the best interpolated n-gram of each order.

    uniform is ln V. `counted` and `scored` are how many tokens the estimate rests on: the first ones of
    the training split and of the validation split (of training where there is no validation).
    """

    uniform: float
    unigram: float
    bigram: float
    trigram: float
    counted: int
    scored: int


class _Counts:
    """How often each key occurs; keys are below `cells`."""

    def __init__(self, keys: Ids, cells: int) -> None:
        self._table: NDArray[Any] | None = None
        if cells <= _DENSE:
            self._table = np.bincount(keys, minlength=cells)
        else:
            self._keys, self._n = np.unique(keys, return_counts=True)

    def of(self, keys: Ids) -> Floats:
        if self._table is not None:
            return self._table[keys].astype(np.float64)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[at] == keys, self._n[at], 0).astype(np.float64)


def floors(corpus: "Corpus") -> Floors:
    """The floors of a corpus; a split too short for a trigram gives ln V for every order."""
    V = corpus.tokenizer.vocab_size
    uniform = math.log(V)
    train = corpus.splits["train"]
    scored = corpus.splits.get("val", train)
    counted = min(train.n, TRAIN_TOKENS)
    if counted < 3 or scored.n < 3:
        return Floors(uniform, uniform, uniform, uniform, counted, 0)
    line_end = corpus.newline if corpus.by_line else None
    u, v, w = _triples(train.read(0, counted), line_end)
    m = min(scored.n, SCORED_TOKENS)
    a, b, c = _triples(scored.read(0, m), line_end)

    estimates = [np.full(len(c), 1 / V), _Counts(w, V).of(c) / len(w)]
    estimates.append(_ratio(_Counts(v * V + w, V * V).of(b * V + c), _Counts(v, V).of(b), estimates[-1]))
    pairs = _Counts(u * V + v, V * V).of(a * V + b)
    triples = _Counts((u * V + v) * V + w, V**3).of((a * V + b) * V + c)
    estimates.append(_ratio(triples, pairs, estimates[-1]))
    unigram, bigram, trigram = (_interpolated(np.stack(estimates[: order + 1])) for order in (1, 2, 3))
    return Floors(uniform, unigram, bigram, trigram, counted, m)


def _triples(tokens: NDArray[Any], line_end: int | None) -> tuple[Ids, Ids, Ids]:
    """Every token from the third on with the two before it: (the one two before, the one before, it)."""
    ids = tokens.astype(np.int64)
    u, v, w = ids[:-2], ids[1:-1], ids[2:]
    if line_end is not None:
        # A line begins as if newlines stood before it: the end of another line tells nothing of this one.
        u = np.where(v == line_end, line_end, u)
    return u, v, w


def _ratio(joint: Floats, context: Floats, lower: Floats) -> Floats:
    """The maximum-likelihood estimate; the next lower order's where the context was never seen."""
    return np.where(context > 0, joint / np.maximum(context, 1), lower)


def _interpolated(estimates: Floats) -> float:
    """The mean loss in nats under the best fixed weights, by EM. `estimates` is (orders, tokens)."""
    weights = np.full(len(estimates), 1 / len(estimates))
    loss = math.inf
    for _ in range(_ROUNDS):
        mixed = weights @ estimates
        before, loss = loss, float(-np.log(mixed).mean())
        if before - loss < _ENOUGH:
            break
        weights = weights * (estimates @ (1 / mixed)) / estimates.shape[1]
    return loss
