"""Sampling: the same seed the same text, the likeliest on request, and a model that sees what it was trained on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import GPT, LINES, TEXT, Train, document
from torch import Tensor

from workbench import preset as presets
from workbench.data.batches import batch
from workbench.data.corpus import Corpus, open_corpus
from workbench.data.prompts import prompt_of
from workbench.errors import UsageError
from workbench.preset import ModelTable
from workbench.training.models import Model, build
from workbench.training.sampling import generate

V, T = 11, 8


class Spy(Model):
    """Says what it is told to, and notes what it is given."""

    def __init__(self, logits: Callable[[int], Tensor]) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.given: list[list[int]] = []
        self._logits = logits

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[0] == 1
        self.given.append(x[0].tolist())
        return self._logits(len(self.given) - 1)[None]


def says(*ids: int, vocab: int = V) -> Spy:
    """A model that always prefers these tokens, one after the other."""
    return Spy(lambda n: torch.nn.functional.one_hot(torch.tensor(ids[n % len(ids)]), vocab).float())


def gpt() -> Model:
    return build(ModelTable(layers=1, heads=2, width=16, dropout=0.5), vocab=V, T=T, seed=1)


def write(model: Model, **changes: Any) -> list[int]:
    how: dict[str, Any] = {"tokens": 50, "T": T, "temperature": 1.0, "top_k": 0, "seed": 1}
    return generate(model, np.array([1, 2, 3]), **(how | changes))


def test_the_seed_is_the_text() -> None:
    assert write(gpt()) == write(gpt())
    assert write(gpt()) != write(gpt(), seed=2)
    assert len(write(gpt())) == 50
    assert set(write(gpt())) <= set(range(V))
    assert write(gpt(), tokens=0) == []
    assert write(gpt(), tokens=20) == write(gpt())[:20]


def test_the_likeliest() -> None:
    greedy = write(gpt(), temperature=0.0)
    assert greedy == write(gpt(), temperature=0.0, seed=2)
    assert greedy == write(gpt(), top_k=1)
    assert greedy == write(gpt(), top_k=1, seed=2)
    assert greedy == write(gpt(), temperature=1e-320)  # the smallest there is, far below what 1/x can hold
    model, ids = gpt().eval(), [1, 2, 3]
    for _ in range(50):
        with torch.no_grad():
            ids.append(int(model(torch.tensor([ids[-T:]]))[0, -1].argmax()))
    assert greedy == ids[3:]


def test_only_the_k_likeliest_are_drawn_and_each_of_them() -> None:
    likelier = Spy(lambda n: torch.arange(V).float())
    assert set(write(likelier, tokens=300, top_k=3, temperature=2.0)) == {V - 1, V - 2, V - 3}
    assert set(write(likelier, tokens=2_000, top_k=V, temperature=9.0)) == set(range(V))
    for more in (0, V, V + 5):
        assert write(gpt(), top_k=more) == write(gpt())


def test_of_equally_likely_tokens_the_first_k_are_drawn() -> None:
    """bf16 makes many logits equal."""
    equal = Spy(lambda n: torch.tensor([0.0, 2.0, 1.0, 1.0, 2.0, 1.0] + [0.0] * (V - 6)))
    assert set(write(equal, tokens=300, top_k=1)) == {1}
    assert set(write(equal, tokens=300, top_k=3, temperature=9.0)) == {1, 2, 4}
    assert set(write(equal, tokens=600, top_k=6, temperature=9.0)) == {0, 1, 2, 3, 4, 5}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax(temperature: float) -> None:
    logits = torch.tensor([0.0, 1.0, 2.0])
    drawn = write(Spy(lambda n: logits), tokens=6_000, temperature=temperature)
    expected = (logits / temperature).softmax(0)
    found = torch.bincount(torch.tensor(drawn), minlength=3) / 6_000
    assert (found - expected).abs().max() < 0.03  # four deviations and more


def test_the_context_is_the_last_t_tokens() -> None:
    model = says(4, 5, 6)
    assert write(model, tokens=8, temperature=0.0, T=4) == [4, 5, 6, 4, 5, 6, 4, 5]
    assert model.given[0] == [1, 2, 3]
    assert model.given[1] == [1, 2, 3, 4]
    assert model.given[2] == [2, 3, 4, 5]
    assert model.given[7] == [4, 5, 6, 4]
    long = says(0)
    generate(long, np.arange(10), tokens=1, T=4, temperature=0.0, top_k=0, seed=1)
    assert long.given == [[6, 7, 8, 9]]


def test_a_window_begins_anew_after_every_newline() -> None:
    newline = 0
    model = says(4, 5, 6, newline)
    generate(model, np.array([newline]), tokens=10, T=3, temperature=0.0, top_k=0, seed=1, newline=newline)
    line = [[0, 0, 0], [0, 0, 4], [0, 4, 5], [4, 5, 6]]
    assert model.given == [*line, *line, *line[:2]]
    mid = says(9)
    generate(mid, np.array([7, 8, newline, 3]), tokens=1, T=3, temperature=0.0, top_k=0, seed=1, newline=newline)
    assert mid.given == [[0, 0, 3]]


def test_a_model_is_given_what_it_was_trained_on() -> None:
    """The contexts of a text that is written equal those of the same text that is learnt."""
    corpus = windows()
    newline = corpus.newline
    assert newline is not None
    train = corpus.splits["train"]
    ids = train.read(0, 60).astype(int).tolist()
    model = says(*ids, vocab=corpus.tokenizer.vocab_size)
    assert generate(model, np.array([newline]), tokens=60, T=3, temperature=0, top_k=0, seed=1, newline=newline) == ids
    x, y = batch(train, np.arange(60), 3, newline)
    assert model.given == x.tolist()
    assert y.tolist() == ids


@pytest.mark.parametrize("training", [True, False])
def test_training_never_notices(training: bool) -> None:
    model = gpt().train(training)
    before = [p.detach().clone() for p in model.parameters()]
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    assert write(model) == write(model)  # in training too: its dropout is off for the while
    assert model.training is training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("strange", [float("nan"), float("inf"), float("-inf")])
def test_a_model_that_has_diverged_stops_writing(strange: float) -> None:
    model = Spy(lambda n: torch.full((V,), strange if n == 4 else 0.0))
    assert len(write(model)) == 4


# ------------------------------------------------------------------------------------- prompts


def windows() -> Corpus:
    document = {"data": {"text": LINES, "split": "lines", "layout": "windows"}, "model": {"kind": "mlp"}}
    return open_corpus(presets.from_document(document, source="test").data)


def prompt(text: str, tokenizer: str = "char", **sample: Any) -> str:
    document = {"data": {"text": text, "tokenizer": tokenizer, "val_fraction": 0.0}, "sample": sample}
    preset = presets.from_document(document, source="test")
    return prompt_of(preset.sample.prompt, open_corpus(preset.data))


def test_the_default_prompt_is_a_newline_or_else_the_texts_beginning() -> None:
    assert prompt(TEXT) == "\n"
    assert prompt("To be or not to be.") == "T"
    assert prompt("To be or not to be.", tokenizer="byte") == "\n"
    assert prompt("To be or not to be.", prompt="be") == "be"


def test_a_prompt_with_a_foreign_character_names_it() -> None:
    with pytest.raises(UsageError, match=r"sample\.prompt = 'cafés': character 'é'"):
        prompt("coffee and cafes", prompt="cafés")


def test_a_run_writes_at_the_beginning_at_every_so_many_steps_and_at_the_end(train: Train) -> None:
    ran = train(document(GPT, sample__every=15, sample__tokens=33, sample__prompt="7 times ", schedule__steps=40))
    samples = ran.of("sample")
    assert [e["step"] for e in samples] == [0, 15, 30, 40]
    assert {len(e["text"]) for e in samples} == {33}
    assert {e["prompt"] for e in samples} == {"7 times "}
    again = train(document(GPT, sample__every=15, sample__tokens=33, sample__prompt="7 times ", schedule__steps=40))
    assert [e["text"] for e in again.of("sample")] == [e["text"] for e in samples]


@pytest.mark.parametrize("optimizer", [{"kind": "sgd", "lr": 1e6, "clip": 0.0}, {"lr": 1e6, "clip": 0.0}])
def test_a_run_that_overflows_is_diverged_whatever_is_asked_of_it(
    train: Train, resume: Train, optimizer: dict[str, Any]
) -> None:
    """Evals, samples and checkpoints between the steps of a run whose weights no forward pass survives."""
    doc = document(GPT, optimizer=optimizer, eval__every=1, checkpoint__every=1, sample__every=1)
    ran = train(doc)
    assert (ran.outcome.state, ran.outcome.exit_code) == ("diverged", 3)
    assert ran.records["flags"][-1] & 2
    lost = [e["step"] for e in ran.of("eval") if "val_loss" in e.get("nonfinite", {})]
    assert not set(lost) & {e["step"] for e in ran.of("checkpoint")}  # what overflows is no state to go back to
    done = resume(ran.path, {"optimizer.lr": 1e-3, "optimizer.clip": 1.0})
    assert done.of("resume")[0]["step"] not in lost
