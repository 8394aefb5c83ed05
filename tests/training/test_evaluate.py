"""Evaluation: every target once, summed in the open and by brute force; nothing drawn, nothing disturbed."""

import math
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import FP32, GPT, LINES, TEXT, Train, document
from torch.nn import functional as F

from workbench import preset as presets
from workbench.data.batches import Tokens, batch
from workbench.data.corpus import Corpus, open_corpus
from workbench.preset import ModelTable
from workbench.training.evaluate import TOKENS_A_BATCH, WITHOUT_VALIDATION, Evaluator
from workbench.training.models import Model, build

T = 16


class Ids:
    """A split of so many made-up tokens, which notes what is read of it."""

    def __init__(self, n: int, vocab: int = 11) -> None:
        self.n = n
        self._ids = np.random.default_rng(n).integers(vocab, size=n).astype(np.uint16)
        self.rows: list[tuple[int, int]] = []

    def read(self, begin: int, count: int) -> Any:
        assert 0 <= begin <= begin + count <= self.n
        return self._ids[begin : begin + count]

    def gather(self, starts: Any, length: int) -> Any:
        self.rows += [(start, length) for start in starts.tolist()]
        return np.stack([self.read(start, length) for start in starts.tolist()])


def evaluator(
    train: Tokens, val: Tokens | None, *, tokens: int = 0, newline: int | None = None, T: int = T
) -> Evaluator:
    return Evaluator(
        train=train, val=val, T=T, tokens=tokens, newline=newline, device=torch.device("cpu"), autocast=nullcontext
    )


def bigram(vocab: int = 11) -> Model:
    """A model whose loss at a target depends on the token before it alone: blocks cannot change the sum."""
    model = build(ModelTable(kind="bigram"), vocab=vocab, T=T, seed=1)
    with torch.no_grad():
        for p in model.parameters():
            p *= 50
    return model


def by_hand(model: Model, split: Tokens, targets: int) -> float:
    """The mean loss over a split's first `targets` targets, one after the other, in fp64."""
    ids = torch.from_numpy(split.read(0, split.n).astype(np.int64))
    with torch.no_grad():
        logits = model(ids[None, :-1])[0].double()
    return float(F.cross_entropy(logits[:targets], ids[1 : targets + 1], reduction="sum")) / targets


@pytest.mark.parametrize("n", [2, T, T + 1, T + 2, 10 * T, 10 * T + 1, 10 * T + 6, 9_000])
def test_every_target_counts_once_in_the_last_short_block_too(n: int) -> None:
    model, val = bigram(), Ids(n)
    result = evaluator(Ids(20_000), val)(model)
    assert result.val_loss == pytest.approx(by_hand(model, val, n - 1), abs=1e-6)
    asked = sorted(t for start, length in val.rows for t in range(start + 1, start + length))
    assert asked == list(range(1, n))


@pytest.mark.parametrize("tokens", [1, 5, T, 100, 7_000, 10**9])
def test_eval_tokens_takes_the_first_so_many_targets(tokens: int) -> None:
    model, val = bigram(), Ids(9_000)
    result = evaluator(Ids(20_000), val, tokens=tokens)(model)
    assert result.val_loss == pytest.approx(by_hand(model, val, min(tokens, 8_999)), abs=1e-6)


def test_a_models_own_blocks_are_evaluated_as_it_was_trained() -> None:
    """A gpt sees what lies before a target in its block: the blocks are T long, at multiples of T."""
    model = build(ModelTable(layers=1, heads=2, width=16), vocab=11, T=T, seed=1).eval()
    val = Ids(5 * T + 4)
    ids = torch.from_numpy(val.read(0, val.n).astype(np.int64))
    total = 0.0
    with torch.no_grad():
        for start in range(0, val.n - 1, T):
            x, y = ids[start : min(start + T, val.n - 1)], ids[start + 1 : start + T + 1]
            total += float(F.cross_entropy(model(x[None])[0], y, reduction="sum"))
    assert evaluator(Ids(2_000), val)(model).val_loss == pytest.approx(total / (val.n - 1), abs=1e-6)


def test_the_training_split_is_judged_by_as_much_text_spread_evenly() -> None:
    train, val = Ids(50_000), Ids(10 * T + 1)
    evaluator(train, val)(bigram())
    starts = sorted(start for start, _ in train.rows)
    assert {length for _, length in train.rows} == {T + 1}
    assert len(starts) == 10
    assert starts[0] == 0
    assert starts[-1] == 50_000 - T - 1  # the very last block there is
    gaps = np.diff(starts)
    assert gaps.max() - gaps.min() <= 1


def test_a_training_split_that_is_shorter_is_judged_whole_and_not_twice() -> None:
    train, val = Ids(3 * T + 1), Ids(9_000)
    evaluator(train, val)(bigram())
    starts = [start for start, _ in train.rows]
    assert len(starts) == len(set(starts)) <= 3
    shortest = Ids(T + 1)
    evaluator(shortest, Ids(3))(bigram())
    assert shortest.rows == [(0, T + 1)]


def test_without_validation_there_is_no_val_loss_and_train_is_judged() -> None:
    train = Ids(3_000)
    result = evaluator(train, None)(bigram())
    assert result.val_loss is None
    assert result.train_loss == pytest.approx(by_hand(bigram(), train, 2_999), abs=0.2)
    assert len(train.rows) == (3_000 - T) // T
    big = Ids(WITHOUT_VALIDATION * 2)
    evaluator(big, None)(bigram())
    assert len(big.rows) * T == WITHOUT_VALIDATION
    few = Ids(3_000)
    evaluator(few, None, tokens=4 * T)(bigram())
    assert len(few.rows) == 4


def test_a_split_of_one_token_has_nothing_to_judge() -> None:
    assert evaluator(Ids(3_000), Ids(1))(bigram()).val_loss is None


# ------------------------------------------------------------------------------------- windows


def lines(text: str = LINES) -> Corpus:
    data = presets.from_document(
        {"data": {"text": text, "split": "lines", "layout": "windows"}, "batch": {"T": 3}, "model": {"kind": "mlp"}},
        source="test",
    ).data  # fmt: skip
    return open_corpus(data)


@pytest.mark.parametrize("tokens", [0, 10, 200])
def test_windows_ask_for_each_token_of_each_line_once(tokens: int) -> None:
    corpus = lines()
    val, newline = corpus.splits["val"], corpus.newline
    assert newline is not None
    model = build(ModelTable(kind="mlp", hidden=20), vocab=corpus.tokenizer.vocab_size, T=3, seed=1)
    ids = val.read(0, val.n).astype(int).tolist()
    total, count, context = 0.0, 0, [newline] * 3
    with torch.no_grad():
        for token in ids[: tokens or None]:
            total += float(F.cross_entropy(model(torch.tensor([context])), torch.tensor([token])))
            count += 1
            context = [newline] * 3 if token == newline else [*context[1:], token]
    result = evaluator(corpus.splits["train"], val, tokens=tokens, newline=newline, T=3)(model)
    assert count == (tokens or val.n)
    assert result.val_loss == pytest.approx(total / count, abs=1e-5)


def test_windows_of_the_training_split_are_as_many() -> None:
    train, val = Ids(5_000), Ids(700)
    judge = evaluator(train, val, newline=0)
    starts, length = judge._train_blocks[0]
    assert (len(starts), length) == (700, T)
    assert (starts[0], starts[-1]) == (0, 4_999)
    assert len(np.unique(starts)) == 700


# ------------------------------------------------------------------------------------- nothing is disturbed


@pytest.mark.parametrize("training", [True, False])
def test_it_leaves_the_model_and_the_global_generator_as_they_were(training: bool) -> None:
    model = build(ModelTable(layers=1, heads=2, width=16, dropout=0.5), vocab=11, T=T, seed=1).train(training)
    before = [p.detach().clone() for p in model.parameters()]
    torch.manual_seed(7)
    state, drawn = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index,union-attr]
    judge = evaluator(Ids(3_000), Ids(500))
    first, second = judge(model), judge(model)
    assert first == second  # to the bit, dropout or not
    assert model.training is training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (np.random.get_state()[1] == drawn).all()  # type: ignore[index]
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_batch_norm_is_judged_by_what_it_remembers_and_not_taught() -> None:
    corpus = lines()
    model: Any = build(ModelTable(kind="mlp", hidden=20, norm="batch"), vocab=corpus.tokenizer.vocab_size, T=3, seed=1)
    mean = model.norm.running_mean.clone()
    evaluator(corpus.splits["train"], corpus.splits["val"], newline=corpus.newline, T=3)(model)
    assert torch.equal(model.norm.running_mean, mean)
    assert int(model.norm.num_batches_tracked) == 0


def test_an_evaluation_that_is_broken_off_leaves_the_model_in_training() -> None:
    model = bigram().train()

    def leave() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluator(Ids(3_000), Ids(500))(model, leave)
    assert model.training


def test_it_stays_responsive_between_batches() -> None:
    calls: list[int] = []
    val = Ids(5 * TOKENS_A_BATCH + 1)
    evaluator(Ids(2 * T), val)(bigram(), lambda: calls.append(1))
    assert len(calls) == 1 + 5


def test_losses_are_summed_in_fp64() -> None:
    """A million equal losses in fp32 would drift in the fifth digit."""
    model = build(ModelTable(kind="bigram"), vocab=2, T=T, seed=1)
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    val = Ids(1_000_001, vocab=2)
    assert evaluator(Ids(5_000, vocab=2), val, T=4096)(model).val_loss == pytest.approx(math.log(2), abs=1e-7)


def test_a_runs_evals_are_these(train: Train) -> None:
    """What a run logs at step 0, computed again from its preset alone."""
    ran = train(document(FP32, eval__tokens=0, schedule__steps=5))
    corpus = open_corpus(presets.from_document({"data": {"text": TEXT}}, source="test").data)
    model = build(ModelTable(**GPT["model"]), vocab=corpus.tokenizer.vocab_size, T=T, seed=1337).eval()
    val = corpus.splits["val"]
    total, count = 0.0, 0
    with torch.no_grad():
        for start in range(0, val.n - 1, T):
            x, y = batch(val, np.array([start]), min(T, val.n - 1 - start), None)
            losses = F.cross_entropy(model(torch.from_numpy(x))[0], torch.from_numpy(y)[0], reduction="sum")
            total, count = total + float(losses), count + y.size
    assert count == val.n - 1
    first = ran.of("eval")[0]
    assert first["val_loss"] == pytest.approx(total / count, abs=1e-5)
    assert first["perplexity"] == pytest.approx(math.exp(total / count), rel=1e-4)
