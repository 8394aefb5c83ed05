"""The three models: their size, their first loss, what a position may see, and that nothing but the seed draws them."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.plan.parameters import block_matrices, itemise, total
from workbench.preset import ModelTable
from workbench.training.models import Model, build, fingerprint, head
from workbench.training.step import losses_of

V, T = 65, 64
SIZES: dict[str, dict[str, Any]] = {
    "gpt": {"kind": "gpt"},
    "gpt with biases": {"kind": "gpt", "layers": 3, "heads": 2, "width": 48, "bias": True, "dropout": 0.2},
    "gpt, one layer, longer context": {"kind": "gpt", "layers": 1, "heads": 1, "width": 8, "context": 100},
    "mlp": {"kind": "mlp"},
    "mlp with batch norm": {"kind": "mlp", "embedding": 4, "hidden": 30, "norm": "batch"},
    "bigram": {"kind": "bigram"},
}


def made(kind: str = "gpt", *, vocab: int = V, length: int = T, seed: int = 1337, **keys: Any) -> Model:
    table = ModelTable(kind=kind, **keys)  # type: ignore[arg-type]
    return build(table, vocab=vocab, T=table.context or length, seed=seed)


def ids(*shape: int, vocab: int = V, seed: int = 0) -> Tensor:
    return torch.randint(vocab, shape, generator=torch.Generator().manual_seed(seed))


def parameters(model: Model) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("keys", SIZES.values(), ids=SIZES)
def test_the_planner_counts_what_is_built(keys: dict[str, Any]) -> None:
    table = ModelTable(**keys)
    for vocab, length in ((65, 64), (27, 3)):
        model = build(table, vocab=vocab, T=table.context or length, seed=1)
        assert parameters(model) == total(itemise(table, vocab, length))
    if table.kind == "gpt":
        assert sum(p.numel() for p in made(**keys).block_matrices()) == block_matrices(table)


def test_known_sizes() -> None:
    assert parameters(made()) == 804_096
    assert parameters(made("mlp", vocab=27, length=3)) == 11_897
    assert parameters(made("bigram", vocab=27)) == 27 * 27


@pytest.mark.parametrize("seed", [1, 1337])
def test_a_gpt_starts_at_ln_v_and_a_little(seed: int) -> None:
    model = made(seed=seed)
    with torch.no_grad():
        loss = losses_of(model(ids(64, T)), ids(64, T, seed=1)).mean().item()
    assert abs(loss - (math.log(V) + 0.0002 * 128)) < 0.1


@pytest.mark.parametrize(("kind", "vocab", "length"), [("mlp", 27, 3), ("bigram", 65, 64)])
def test_the_others_start_at_ln_v(kind: str, vocab: int, length: int) -> None:
    model = made(kind, vocab=vocab, length=length)
    y = ids(512, vocab=vocab, seed=1) if kind == "mlp" else ids(512, length, vocab=vocab, seed=1)
    with torch.no_grad():
        loss = losses_of(model(ids(512, length, vocab=vocab)), y).mean().item()
    assert abs(loss - math.log(vocab)) < 0.05


@pytest.mark.parametrize("keys", SIZES.values(), ids=SIZES)
def test_shapes(keys: dict[str, Any]) -> None:
    model = made(**keys)
    if keys["kind"] == "mlp":
        assert model(ids(5, T)).shape == (5, V)
    else:
        assert model(ids(5, T)).shape == (5, T, V)
        assert model(ids(2, 7)).shape == (2, 7, V)  # shorter than the context


# ------------------------------------------------------------------------------------- what a position sees


@pytest.mark.parametrize("keys", [SIZES["gpt"], SIZES["gpt with biases"]], ids=["plain", "biases"])
def test_no_position_sees_what_follows_it(keys: dict[str, Any]) -> None:
    model = made(**keys).eval()
    x = ids(3, T)
    with torch.no_grad():
        before = model(x)
        for t in (0, 1, 31, T - 2):
            other = x.clone()
            other[:, t + 1 :] = (other[:, t + 1 :] + 1) % V
            after = model(other)
            assert torch.allclose(after[:, : t + 1], before[:, : t + 1], atol=1e-5)
            assert not torch.allclose(after[:, t + 1 :], before[:, t + 1 :], atol=1e-3)


def test_every_position_sees_all_that_comes_before_it() -> None:
    model = made(layers=1).eval()
    x = ids(1, T)
    with torch.no_grad():
        before = model(x)[0, -1]
        for t in (0, T // 2, T - 1):
            other = x.clone()
            other[0, t] = (other[0, t] + 1) % V
            assert (model(other)[0, -1] - before).abs().max() > 1e-6


def test_positions_count() -> None:
    model = made().eval()
    with torch.no_grad():
        same = model(torch.full((1, T), 5))[0]
    assert (same[0] - same[1]).abs().max() > 1e-4


def test_attention_is_attention() -> None:
    """Against the formula: softmax(q·k / √d) over what came before, per head."""
    model = made(layers=1, heads=4, width=32)
    attention: Any = model.blocks[0].attention  # type: ignore[union-attr,index]
    h = torch.randn(2, 10, 32, generator=torch.Generator().manual_seed(1))
    q, k, v = (part.view(2, 10, 4, 8).transpose(1, 2) for part in attention.query_key_value(h).split(32, dim=2))
    scores = (q @ k.transpose(2, 3)) / math.sqrt(8)
    scores = scores.masked_fill(~torch.ones(10, 10).tril().bool(), float("-inf"))
    expected = attention.project((scores.softmax(-1) @ v).transpose(1, 2).reshape(2, 10, 32))
    assert torch.allclose(attention(h), expected, atol=1e-6)


def test_the_head_is_the_embedding() -> None:
    model = made().eval()
    x = ids(1, T)
    with torch.no_grad():
        before = model(x)
        model.token_embedding.weight[V - 1] *= 20  # type: ignore[operator,index]
        changed = (model(x) - before).abs().amax(dim=(0, 1))
    assert changed[V - 1] > 0.1
    assert not [name for name, p in model.named_parameters() if p.shape[0] == V and "embedding" not in name]


# ------------------------------------------------------------------------------------- initial weights


def test_a_gpt_is_drawn_as_nanogpt_draws_it() -> None:
    model = made(layers=8, width=128, bias=True)
    for name, p in model.named_parameters():
        if p.dim() < 2:
            assert torch.equal(p, torch.ones_like(p) if name.endswith("norm.weight") else torch.zeros_like(p)), name
        else:
            std = 0.02 / math.sqrt(2 * 8) if name.endswith("project.weight") else 0.02
            assert abs(p.std().item() / std - 1) < 0.03, name
            assert abs(p.mean().item()) < 0.001, name


def test_an_mlp_is_drawn_as_makemore_draws_it() -> None:
    model = made("mlp", vocab=27, length=3)
    stds = {name: p.std().item() for name, p in model.named_parameters()}
    assert stds["embedding.weight"] == pytest.approx(1.0, rel=0.1)
    assert stds["hidden.weight"] == pytest.approx((5 / 3) / math.sqrt(30), rel=0.05)
    assert stds["output.weight"] == pytest.approx(0.01, rel=0.05)
    assert stds["output.bias"] == 0


@pytest.mark.parametrize("keys", SIZES.values(), ids=SIZES)
def test_weights_are_drawn_from_the_seed_alone(keys: dict[str, Any]) -> None:
    def drawn(global_seed: int, seed: int = 1) -> bytes:
        torch.manual_seed(global_seed)
        return b"".join(p.detach().numpy().tobytes() for p in made(**keys, seed=seed).parameters())

    assert drawn(1) == drawn(2)
    assert drawn(1) != drawn(1, seed=2)
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        assert drawn(1) == drawn(3)
    finally:
        torch.set_num_threads(threads)


# ------------------------------------------------------------------------------------- dropout and batch norm


def test_dropout_acts_in_training_alone() -> None:
    model, x = made(dropout=0.3), ids(2, T)
    with torch.no_grad():
        torch.manual_seed(1)
        first = model(x)
        assert not torch.equal(model(x), first)
        torch.manual_seed(1)
        assert torch.equal(model(x), first)
        model.eval()
        assert torch.equal(model(x), model(x))
        plain = made().eval()
        plain.load_state_dict(model.state_dict())
        assert torch.equal(model(x), plain(x))


def test_batch_norm_normalises_over_the_batch_and_remembers() -> None:
    model: Any = made("mlp", vocab=27, length=3, norm="batch")
    x = ids(64, 3, vocab=27)
    before = model.hidden(model.embedding(x).flatten(1))
    after = model.norm(before)
    assert torch.allclose(after.mean(0), torch.zeros(200), atol=1e-5)
    assert torch.allclose(after.var(0, unbiased=False), torch.ones(200), atol=1e-2)
    assert torch.allclose(model.norm.running_mean, 0.01 * before.mean(0), atol=1e-6)
    assert torch.allclose(model.norm.running_var, 0.99 + 0.01 * before.var(0), atol=1e-4)
    model.eval()
    one, all_ = model(x[:1]), model(x)
    assert torch.allclose(one[0], all_[0], atol=1e-6)  # evaluated, a row does not depend on its company
    model.train()
    assert not torch.allclose(model(x)[0], model(x[:32])[0], atol=1e-4)  # trained, it does


def test_without_batch_norm_a_row_does_not_depend_on_its_company() -> None:
    model = made("mlp", vocab=27, length=3)
    x = ids(64, 3, vocab=27)
    assert torch.allclose(model(x)[0], model(x[:1])[0], atol=1e-6)


def test_an_mlp_knows_where_each_token_stands() -> None:
    model = made("mlp", vocab=27, length=3).eval()
    x = torch.tensor([[1, 2, 3], [3, 2, 1]])
    assert not torch.allclose(*model(x), atol=1e-4)


def test_a_bigram_sees_one_token_and_learns_the_counts() -> None:
    model = made("bigram", vocab=3)
    x = torch.tensor([[0, 1, 2], [1, 1, 2]])
    logits = model(x)
    assert torch.equal(logits[0, 1:], logits[1, 1:])
    y = torch.tensor([1, 1, 1, 2])  # after a 0: three times 1, once 2
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        F.cross_entropy(model(torch.zeros(4, 1, dtype=torch.long)).flatten(0, 1), y).backward()
        optimizer.step()
    chances = model(torch.tensor([[0]]))[0, 0].softmax(0)
    assert chances[1].item() == pytest.approx(0.75, abs=0.02)
    assert chances[2].item() == pytest.approx(0.25, abs=0.02)


def test_the_fingerprint_tells_any_weight() -> None:
    """Of small tensors byte for byte; of large ones by a sum of all their bits too."""

    def built(seed: int = 1, width: int = 128) -> Model:
        return build(ModelTable(kind="gpt", layers=1, heads=1, width=width), vocab=50, T=8, seed=seed)

    told = fingerprint(built())
    assert told == fingerprint(built()) == fingerprint(built().double())
    assert len({told, fingerprint(built(seed=2)), fingerprint(built(width=127))}) == 3
    for model in (built(), built(width=512)):  # the second's blocks are large: 512 · 2,048 values
        before = fingerprint(model)
        for parameter in model.parameters():
            with torch.no_grad():
                value = parameter.view(-1)[-2].item()
                parameter.view(-1)[-2] = value + 1e-3
                assert fingerprint(model) != before
                parameter.view(-1)[-2] = value
        assert fingerprint(model) == before


@pytest.mark.parametrize("V", [1, 5, 8, 9, 65])
def test_a_vocabulary_that_is_filled_up_changes_nothing(V: int) -> None:
    h = torch.randn(2, 3, 4, dtype=torch.float64)
    exact, filled = (
        torch.randn(V, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) for _ in range(2)
    )
    gradients = []
    for weight, multiple in ((exact.requires_grad_(), 1), (filled.requires_grad_(), 8)):
        logits = head(h, weight, multiple)
        assert logits.shape == (2, 3, V)
        logits.square().sum().backward()
        gradients.append((logits.detach(), weight.grad))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)
