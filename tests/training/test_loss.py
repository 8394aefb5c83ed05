"""The loss of a large vocabulary, by parts, is the loss."""

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from workbench.plan.memory import LARGE_VOCABULARY
from workbench.training import loss
from workbench.training.loss import NO_TARGET, cross_entropy
from workbench.training.step import losses_of

V = LARGE_VOCABULARY
N = 37


def made(dtype: torch.dtype, **more: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (N, V), targets, and the gradient that comes in for each row's loss."""
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(N, V, generator=generator, dtype=torch.float64).mul(4).to(dtype)
    return logits, torch.randint(V, (N,), generator=generator), torch.randn(N, generator=generator).to(torch.float64)


def of(logits: Tensor, y: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """Losses, and the logits' gradient."""
    at = logits.clone().requires_grad_()
    losses = cross_entropy(at, y)
    losses.backward(g.to(losses.dtype))
    assert at.grad is not None
    return losses.detach(), at.grad


def plain(logits: Tensor, y: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """The same by torch, in fp64."""
    at = logits.double().requires_grad_()
    losses = F.cross_entropy(at, y, ignore_index=NO_TARGET, reduction="none")
    losses.backward(g)
    assert at.grad is not None
    return losses.detach(), at.grad


@pytest.fixture
def in_parts_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda rows: monkeypatch.setattr(loss, "LOSS_CHUNK", rows * V * 4)


@pytest.mark.parametrize(
    ("dtype", "losses_within", "gradient_within"),
    [(torch.float64, 1e-14, 1e-14), (torch.float32, 1e-6, 1e-6), (torch.bfloat16, 1e-6, 3e-3)],
)
@pytest.mark.parametrize("rows", [1, 8, N, 1000])
def test_it_is_torchs_own(
    dtype: torch.dtype, losses_within: float, gradient_within: float, rows: int, in_parts_of: Any
) -> None:
    in_parts_of(rows)
    logits, y, g = made(dtype)
    y[3] = y[20] = NO_TARGET
    (losses, gradient), (expected, expected_gradient) = of(logits, y, g), plain(logits, y, g)
    assert losses.dtype == (dtype if dtype == torch.float64 else torch.float32)
    assert gradient.dtype == dtype
    assert float((losses.double() - expected).abs().max()) < losses_within * float(expected.max())
    assert float((gradient.double() - expected_gradient).norm() / expected_gradient.norm()) < gradient_within
    assert losses[3] == losses[20] == 0
    assert not gradient[3].any()


def test_the_parts_change_no_bit(in_parts_of: Any) -> None:
    logits, y, g = made(torch.bfloat16)
    found = []
    for rows in (1, 5, N):
        in_parts_of(rows)
        found.append(of(logits, y, g))
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_a_row_that_is_not_finite_spoils_no_other() -> None:
    logits, y, g = made(torch.float32)
    calm = of(logits, y, g)
    logits[7, 100] = torch.inf
    losses, gradient = of(logits, y, g)
    assert not torch.isfinite(losses[7])
    assert not torch.isfinite(gradient[7]).all()
    others = torch.arange(N) != 7
    assert torch.equal(losses[others], calm[0][others])
    assert torch.equal(gradient[others], calm[1][others])


class Held(TorchDispatchMode):
    """Counts the numbers in fp32 matrices that are there after each operation."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._there: dict[int, tuple[weakref.ref[Tensor], int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and out.dtype == torch.float32 and out.dim() == 2:
            self._there[out.untyped_storage().data_ptr()] = weakref.ref(out), out.numel()
        self._there = {at: (there, n) for at, (there, n) in self._there.items() if there() is not None}
        self.most = max(self.most, sum(n for _, n in self._there.values()))
        return out


def test_the_wide_logits_are_never_all_there(in_parts_of: Any) -> None:
    """In bf16 one part of four rows and its log-probabilities; then one part's gradient alone."""
    in_parts_of(4)
    logits, y, g = made(torch.bfloat16)
    logits.requires_grad_()
    with Held() as forward:
        losses = cross_entropy(logits, y)
    with Held() as backward:
        losses.backward(g.float())
    small = 200  # what is one number a row
    assert 8 * V <= forward.most <= 8 * V + small
    assert 4 * V <= backward.most <= 4 * V + small


def test_a_step_takes_it_from_its_size_on(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    apply = loss._ByParts.apply
    monkeypatch.setattr(loss._ByParts, "apply", lambda logits, y: taken.append(logits.shape[-1]) or apply(logits, y))
    for vocab in (V - 1, V):
        for shape in ((2, 3), (2,)):  # a stream's, and the last position's of windows
            losses = losses_of(torch.randn(2, 3, vocab, requires_grad=True), torch.zeros(shape, dtype=torch.int64))
            assert losses.shape == shape
            losses.sum().backward()  # type: ignore[no-untyped-call]
    assert taken == [V, V]
