"""Parameter counts against the figures that are published for these models."""

from typing import Any

import pytest

from workbench.plan.parameters import block_matrices, itemise, total
from workbench.preset import ModelTable, from_document

GPT2 = {"layers": 12, "heads": 12, "width": 768, "context": 1024, "bias": True}


@pytest.mark.parametrize(
    ("model", "vocab", "T", "parameters"),
    [
        ({}, 65, 64, 804_096),
        ({"context": 128}, 65, 64, 804_096 + 64 * 128),  # the positions are context's, not T's
        ({"bias": True}, 65, 64, 804_096 + 4 * (2 * 128 + 3 * 128 + 128 + 4 * 128 + 128) + 128),
        (GPT2, 50_257, 1024, 124_439_808),
        ({"kind": "mlp"}, 27, 3, 11_897),
        ({"kind": "mlp", "norm": "batch"}, 27, 3, 11_897 + 200),
        ({"kind": "bigram"}, 65, 64, 65 * 65),
    ],
)
def test_totals(model: dict[str, Any], vocab: int, T: int, parameters: int) -> None:
    assert total(itemise(ModelTable(**model), vocab, T)) == parameters


def test_the_bill_of_the_shakespeare_gpt_item_by_item() -> None:
    assert [item.count for item in itemise(ModelTable(), 65, 64)] == [
        65 * 128,
        64 * 128,
        4 * 128,
        4 * 3 * 128**2,
        4 * 128**2,
        4 * 128,
        4 * 4 * 128**2,
        4 * 4 * 128**2,
        128,
    ]


def test_heads_change_no_count_and_names_are_distinct() -> None:
    assert itemise(ModelTable(heads=2), 65, 64) == itemise(ModelTable(heads=8), 65, 64)
    for model in (ModelTable(), ModelTable(kind="mlp"), ModelTable(kind="bigram")):
        names = [item.name for item in itemise(model, 65, 64)]
        assert len(set(names)) == len(names)


def test_block_matrices_are_the_four_kinds_of_matrix_in_each_block() -> None:
    assert block_matrices(ModelTable(**GPT2)) == 12 * (3 + 1 + 4 + 4) * 768**2
    assert block_matrices(from_document({"model": {"kind": "bigram"}}, source="x").model) == 0
