"""Which way attention is computed: the bounds of the rule."""

from typing import Any

import pytest

from workbench import preset as presets
from workbench.plan.attention import LONGEST, rule


def attends(*, width: int = 256, T: int = 64, precision: str = "bf16", device: str = "cpu", **model: Any) -> str:
    document = {"model": {"kind": "gpt", "heads": 2, "width": width, **model}, "batch": {"T": T}}
    return rule(presets.from_document(document, source="test"), precision=precision, device=device)


@pytest.mark.parametrize(
    ("width", "longest"),
    [(256, LONGEST), (128, LONGEST), (64, 256), (32, 128)],  # two heads: eight times the size of one
)
def test_longer_rows_take_torchs_own(width: int, longest: int) -> None:
    assert attends(width=width, T=longest) == "plain"
    assert attends(width=width, T=longest + 1) == "sdpa"
    assert attends(width=width, context=longest) == "plain"
    assert attends(width=width, context=longest + 1) == "sdpa", "T may grow to it"


def test_plain_is_for_bf16_on_a_cpu() -> None:
    assert attends() == "plain"
    assert attends(precision="fp32") == attends(precision="fp64") == attends(device="cuda") == "sdpa"
    bigram = presets.from_document({"model": {"kind": "bigram"}}, source="test")
    assert rule(bigram, precision="bf16", device="cpu") == "sdpa"
