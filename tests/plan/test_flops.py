"""FLOPs a token: by hand, and against torch's own count of the matrix products that the real models make."""

from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from workbench.plan import flops
from workbench.preset import Preset, from_document
from workbench.training.models import build
from workbench.training.step import losses_of


def preset(model: dict[str, Any], B: int, T: int, layout: str = "stream") -> Preset:
    return from_document({"batch": {"B": B, "T": T}, "model": model, "data": {"layout": layout}}, source="test")


def test_gpt2_small_by_hand() -> None:
    """6·(12·12·768² + 50,257·768) + 12·12·768·1,024; of 124M parameters, the positions and norms multiply nothing."""
    p = preset({"layers": 12, "heads": 12, "width": 768}, 16, 1024)
    matrices = 12 * 12 * 768**2 + 50_257 * 768
    assert matrices == 123_532_032
    assert flops.per_token(p, 50_257) == 6 * matrices + 12 * 12 * 768 * 1024 == 854_438_400


def test_the_default_gpt_item_by_item() -> None:
    counted = {item.name: item.count for item in flops.itemise(preset({}, 64, 64).model, 65, 64)}
    assert counted == {
        "attention queries, keys, values": 6 * 4 * 3 * 128 * 128,
        "attention over T = 64": 12 * 4 * 128 * 64,
        "attention output": 6 * 4 * 128 * 128,
        "feed-forward up and down": 6 * 4 * 2 * 4 * 128 * 128,
        "output head": 6 * 65 * 128,
    }
    assert sum(counted.values()) == 5_161_728


def test_makemores_mlp_and_the_bigram_by_hand() -> None:
    mlp = preset({"kind": "mlp"}, 32, 3, "windows")
    assert flops.per_token(mlp, 27) == 6 * (3 * 10 * 200 + 200 * 27) == 68_400
    assert flops.per_token(preset({"kind": "bigram"}, 32, 8), 27) == 0


def test_a_step_is_its_targets_on_all_ranks() -> None:
    p = preset({}, 64, 64)
    assert flops.per_step(p, 65, world=2) == 2 * 64 * 64 * flops.per_token(p, 65)
    mlp = preset({"kind": "mlp"}, 32, 3, "windows")
    assert flops.per_step(mlp, 27) == 32 * flops.per_token(mlp, 27)


def test_a_gpt_on_windows_pays_for_the_whole_row() -> None:
    assert flops.per_token(preset({}, 4, 16, "windows"), 65) == 16 * flops.per_token(preset({}, 4, 16), 65)


@pytest.mark.parametrize(
    ("model", "vocab", "B", "T", "layout"),
    [
        ({"layers": 2, "heads": 2, "width": 64}, 65, 3, 32, "stream"),
        ({"layers": 3, "heads": 4, "width": 32, "bias": True}, 500, 2, 128, "stream"),
        ({"layers": 1, "heads": 2, "width": 16, "context": 64}, 27, 5, 8, "windows"),
        ({"kind": "mlp"}, 27, 32, 3, "windows"),
        ({"kind": "mlp", "norm": "batch", "hidden": 64}, 40, 16, 5, "windows"),
        ({"kind": "bigram"}, 27, 4, 8, "stream"),
    ],
)
def test_torch_counts_the_same_on_the_real_models(
    model: dict[str, Any], vocab: int, B: int, T: int, layout: str
) -> None:
    """With attention as plain products: fused kernels make some of them twice, which is no work of the model's."""
    p = preset(model, B, T, layout)
    network = build(p.model, vocab=vocab, T=p.model.context or T, seed=1)
    x = torch.randint(vocab, (B, T))
    y = torch.randint(vocab, (B,) if layout == "windows" else (B, T))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        losses_of(network(x), y).sum().backward()  # type: ignore[no-untyped-call]
    assert flops.per_step(p, vocab) == pytest.approx(counter.get_total_flops(), rel=1e-9)
