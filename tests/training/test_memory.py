"""The memory estimate against what training holds: real steps, each shape in a process of its own."""

import random
import sys
from pathlib import Path
from typing import Any

import pytest

from workbench.lab.trial import trial
from workbench.plan.memory import EVALUATED, peak
from workbench.plan.parameters import total
from workbench.preset import apply, from_document, pin_context, to_document
from workbench.training.evaluate import TOKENS_A_BATCH

LETTERS, IDEOGRAPHS, MANY = 27, 2001, 8001  # tokens of the texts, newline among them; of MANY the loss is by parts
GPT: dict[str, Any] = {"batch.B": 64, "batch.T": 64, "device.name": "cpu", "device.precision": "fp32"}
WIDE = {"model.layers": 2, "model.width": 256}
DEEP = {"model.layers": 16, "model.width": 256, "batch.B": 1, "batch.T": 32, "optimizer.kind": "sgd"}
MLP = {"model.kind": "mlp", "data.layout": "windows", "data.split": "lines", "batch.T": 3}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """By vocabulary: enough of it that evaluation has its two batches of each split."""
    draw, folder = random.Random(1), tmp_path_factory.mktemp("texts")
    found = {}
    for vocab, first in ((LETTERS, ord("a")), (IDEOGRAPHS, 0x4E00), (MANY, 0x4E00)):
        alphabet = [chr(first + i) for i in range(vocab - 1)]
        words = ["".join(draw.choices(alphabet, k=6)) for _ in range(20_000)]
        found[vocab] = folder / f"{vocab}.txt"
        found[vocab].write_text("\n".join([*words, "".join(alphabet)]) + "\n", encoding="utf-8")
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel counts what a process holds on Linux only")
@pytest.mark.parametrize(
    ("edits", "vocab", "moment"),
    [
        pytest.param({}, LETTERS, "backward through the last layer", id="gpt"),
        pytest.param(
            {"device.precision": "bf16", "model.bias": True, "batch.B": 56}, IDEOGRAPHS, "the gradient of the loss",
            id="gpt in bf16 with biases",
        ),
        pytest.param(
            {"model.dropout": 0.1, "batch.B": 2, "batch.T": 512}, LETTERS, "backward through the last attention",
            id="gpt with dropout",
        ),
        pytest.param(
            WIDE | {"batch.B": 32, "batch.accum": 2}, IDEOGRAPHS, "the gradient of the loss",
            id="gpt, two micro-batches",
        ),
        pytest.param(WIDE | {"batch.B": 4}, IDEOGRAPHS, "evaluation", id="gpt, small B"),
        pytest.param(DEEP, LETTERS, "the update", id="gpt, mostly weights, sgd"),
        pytest.param(
            MLP | {"batch.B": 50_000, "model.norm": "batch", "model.hidden": 256}, LETTERS,
            "backward through the hidden layer", id="mlp with batch norm",
        ),
        pytest.param({"model.kind": "bigram"}, IDEOGRAPHS, "the gradient of the loss", id="bigram"),
        pytest.param({"batch.B": 80, "model.layers": 1}, MANY, "the gradient of the loss", id="gpt, many tokens"),
        pytest.param(
            {"batch.B": 80, "model.layers": 1, "device.precision": "bf16"}, MANY, "the gradient of the loss",
            id="gpt in bf16, many tokens",
        ),
        pytest.param({"batch.B": 8}, MANY, "evaluation", id="gpt, many tokens, small B"),
        pytest.param(
            MLP | {"batch.B": 2048}, MANY, "evaluation", id="mlp, many tokens",
        ),
    ],
)  # fmt: skip
def test_within_ten_percent_of_what_is_measured(
    edits: dict[str, Any], vocab: int, moment: str, texts: dict[int, Path]
) -> None:
    preset = apply(from_document({}, source="defaults"), GPT | {"data.dataset": str(texts[vocab])} | edits)
    expected = peak(pin_context(preset), vocab)
    assert expected.name == moment
    told = trial("probe", {"preset": to_document(preset), "limit_bytes": None, "steps": 2, "timed": False})
    assert told["memory_bytes"] > 90 * 2**20  # large enough that pages do not decide it
    assert total(expected.items) == pytest.approx(told["memory_bytes"], rel=0.1)


def test_evaluation_is_as_large_as_the_estimate_takes_it_to_be() -> None:
    assert EVALUATED == TOKENS_A_BATCH
